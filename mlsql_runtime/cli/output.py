"""The output of commands: JSON for programs, tables for people.

On a terminal, tables are cut to its width and headers are bold. Elsewhere lines are whole, plain and without trailing blanks.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

import click

from mlsql_runtime import codec

_NARROWEST = 12  # characters to which a column may be cut
_ANY_WIDTH = 1 << 30
_CONTROL = dict.fromkeys((*range(32), *range(127, 160))) | {ord("\n"): " ", ord("\t"): " "}


def print_json(value: Any) -> None:
    """Print a value of dataclasses, mappings and lists as indented JSON on standard output. NaN and infinities are refused."""
    click.echo(json.dumps(codec.encode(value), indent=2, ensure_ascii=False, allow_nan=False))


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[Any]], right: Iterable[str] = (), cut: str | None = None, indent: int = 0
) -> None:
    """Print rows below the names of their columns.

    :param right: the columns that hold numbers.
    :param cut: the column that is cut before all others on a terminal, such as one of sentences.
    :param indent: spaces before each line.
    """
    from rich.cells import cell_len
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    names, numbers = list(columns), set(right)
    lines = [[format_value(value) for value in row] for row in rows]
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name, *texts in zip(names, *lines, strict=True):
        table.add_column(
            Text(name),
            justify="right" if name in numbers else "left",
            no_wrap=cut not in (None, name),  # rich shortens columns that may wrap first
            min_width=min(_NARROWEST, max(map(cell_len, (name, *texts)))),
        )
    for line in lines:
        table.add_row(*(Text(text, no_wrap=True, overflow="ellipsis") for text in line))
    is_terminal = sys.stdout.isatty()
    console = Console(width=None if is_terminal else _ANY_WIDTH, force_terminal=is_terminal, highlight=False, markup=False)
    console.width -= indent
    with console.capture() as printed:
        console.print(table, crop=False, no_wrap=True)
    for text in printed.get().splitlines():
        click.echo(" " * indent + text.rstrip())  # without colours where no terminal is


def print_fields(fields: Mapping[str, Any], indent: int = 0) -> None:
    """Print names and values, one pair to a line, the values below each other; values of None are left out."""
    from rich.cells import cell_len

    shown = {name: format_value(value) for name, value in fields.items() if value is not None}
    width = max(map(cell_len, shown), default=0)
    for name, text in shown.items():
        click.echo(f"{' ' * indent}{name}{' ' * (width - cell_len(name))}  {text}".rstrip())


def print_heading(text: str) -> None:
    """Print a line above what belongs together."""
    click.echo()
    click.echo(click.style(text, bold=True))


def format_value(value: Any, none: str = "") -> str:
    """Return a value in one line: short numbers, minutes of UTC, no control characters; ``none`` for None."""
    if value is None:
        return none
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, datetime):
        return value.astimezone(timezone.utc).strftime("%Y-%m-%d %H:%M")
    return str(value).translate(_CONTROL)


def format_size(size: int | None) -> str:
    """Return bytes for people: ``17 B``, ``1.5 KiB``; nothing for None."""
    if size is None:
        return ""
    amount, unit = float(size), "B"
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if amount < 1023.95 or unit == "TiB":
            break
        amount /= 1024
    return f"{size} B" if unit == "B" else f"{amount:.1f} {unit}"


def format_count(count: int, thing: str) -> str:
    """Return ``1 file``, ``2 files``."""
    return f"{count} {thing}{'' if count == 1 else 's'}"
