"""``mlsql functions``, ``mlsql rollback``."""

from __future__ import annotations

import click


@click.command()
def functions() -> None:
    """To come."""


@click.command()
def rollback() -> None:
    """To come."""
