"""The output of commands: JSON for programs, tables for people.

On a terminal, tables are cut to its width, down to a few letters of each column, and headers are bold. Elsewhere lines are
whole, plain and without trailing blanks.
"""

from __future__ import annotations

import contextlib
import json
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

import click

from mlsql_runtime import codec

_NARROWEST = 12  # characters to which a column may be cut
_BELOW = 4  # blanks before a sentence below its row
_GAP = 2  # blanks between columns
_CONTROL = dict.fromkeys((*range(32), *range(127, 160))) | {ord("\n"): " ", ord("\t"): " "}


def print_json(value: Any) -> None:
    """Print a value of dataclasses, mappings and lists as indented JSON on standard output. NaN and infinities are refused."""
    click.echo(json.dumps(codec.encode(value), indent=2, ensure_ascii=False, allow_nan=False))


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[Any]], right: Iterable[str] = (), long: str | None = None, indent: int = 0
) -> None:
    """Print rows below the names of their columns.

    :param right: the columns that hold numbers.
    :param long: a column of sentences: on a terminal that is too narrow for the table, each is printed below its row.
    :param indent: spaces before each line.
    """
    from rich.cells import cell_len
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    numbers, lines = set(right), [list(columns), *([format_value(value) for value in row] for row in rows)]
    console = Console(force_terminal=sys.stdout.isatty(), highlight=False, markup=False)
    room = console.width - indent if console.is_terminal else None
    widths = [max(map(cell_len, texts)) for texts in zip(*lines, strict=True)]
    below = [""] * len(lines)
    if room is not None and long is not None and _measure(widths) > room:
        place = lines[0].index(long)
        del widths[place]
        below = ["", *(line.pop(place) for line in lines[1:])]
        del lines[0][place]
    fitted = widths if room is None else _fit(widths, room)
    table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="bold")
    for name, width in zip(lines[0], fitted, strict=True):
        heading = Text(name, no_wrap=True, overflow="ellipsis")
        table.add_column(heading, justify="right" if name in numbers else "left", width=width)
    for line in lines[1:]:
        table.add_row(*(Text(text, no_wrap=True, overflow="ellipsis") for text in line))
    console.width = max(1, _measure(fitted))
    with console.capture() as printed:
        console.print(table, crop=False, no_wrap=True)
    for text, sentence in zip(printed.get().splitlines(), below, strict=True):
        click.echo(" " * indent + text.rstrip())  # without colours where no terminal is
        for piece in textwrap.wrap(sentence, max(room or 0, _NARROWEST) - _BELOW):
            click.echo(" " * (indent + _BELOW) + piece)


def _measure(widths: Sequence[int]) -> int:
    """Return how wide a line of columns is, with the gap behind each."""
    return sum(widths) + _GAP * len(widths)


def _fit(widths: Sequence[int], room: int) -> list[int]:
    """Return the widths of columns of which the widest are cut until a line fits, but none is cut to less than the narrowest."""
    fitted = list(widths)
    while _measure(fitted) - _GAP > room and max(fitted) > _NARROWEST:
        fitted[fitted.index(max(fitted))] -= 1
    return fitted


def echo_progress(text: str, *, to_stderr: bool) -> None:
    """Print a line about work under way. The work goes on when nobody reads its output any more."""
    with contextlib.suppress(BrokenPipeError):
        click.echo(text, err=to_stderr)


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
