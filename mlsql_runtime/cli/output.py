"""What commands print: JSON for programs, tables for people."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import click

from mlsql_runtime import codec

_UNLIMITED = 10_000  # columns of a table that goes to a file or another program


def print_json(value: Any) -> None:
    """A value of dataclasses, mappings and lists as indented JSON on standard output."""
    click.echo(json.dumps(codec.encode(value), indent=2, ensure_ascii=False))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], right: Iterable[str] = ()) -> None:
    """Rows under their columns' names; cut to fit on a terminal, never elsewhere.

    :param right: the columns that hold numbers.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    aligned = set(right)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        table.add_column(Text(column), justify="right" if column in aligned else "left", overflow="ellipsis", no_wrap=True)
    for row in rows:
        table.add_row(*(Text(cell(value)) for value in row))
    Console(width=None if sys.stdout.isatty() else _UNLIMITED, highlight=False).print(table)


def cell(value: Any) -> str:
    """A value in a table: nothing for None, short numbers."""
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)
