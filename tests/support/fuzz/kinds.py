"""All kinds of input."""

from __future__ import annotations

from support.fuzz import jobs, projects, stores, streams, tables

KINDS = (*projects.KINDS, *stores.KINDS, *jobs.KINDS, *streams.KINDS, *tables.KINDS)
