"""All kinds of input."""

from __future__ import annotations

from support.fuzz import stores

KINDS = (*stores.KINDS,)
