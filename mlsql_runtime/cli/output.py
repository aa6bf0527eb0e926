"""What commands print: JSON for programs, tables for people."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

import click

from mlsql_runtime import codec

_GAP = "  "
_NARROWEST = 12  # to which a column may be cut
_CONTROL = dict.fromkeys((*range(32), *range(127, 160))) | {ord("\n"): " ", ord("\t"): " "}


def print_json(value: Any) -> None:
    """A value of dataclasses, mappings and lists as indented JSON on standard output; NaN and infinities are refused."""
    click.echo(json.dumps(codec.encode(value), indent=2, ensure_ascii=False, allow_nan=False))


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[Any]], right: Iterable[str] = (), cut: str | None = None, indent: int = 0
) -> None:
    """Rows under their columns' names; on a terminal cut to its width, elsewhere whole.

    :param right: the columns that hold numbers.
    :param cut: the column that is cut before all others are, such as one of sentences.
    :param indent: spaces before each line.
    """
    texts = [[cell(value) for value in row] for row in rows]
    widths = [max(map(_cells, column)) for column in zip(columns, *texts, strict=True)]
    if sys.stdout.isatty():
        flexible = None if cut is None else list(columns).index(cut)
        widths = _fitted(widths, shutil.get_terminal_size().columns - indent, flexible)
    aligned = [column in set(right) for column in columns]
    for number, row in enumerate([list(columns), *texts]):
        line = _GAP.join(_padded(text, width, is_right) for text, width, is_right in zip(row, widths, aligned, strict=True))
        line = " " * indent + line.rstrip()
        click.echo(line if number else click.style(line, bold=True))


def print_fields(fields: Mapping[str, Any], indent: int = 0) -> None:
    """Names and values, one to a line, the values below each other; those that are None are left out."""
    shown = {name: cell(value) for name, value in fields.items() if value is not None}
    width = max(map(_cells, shown), default=0)
    for name, text in shown.items():
        click.echo(f"{' ' * indent}{_padded(name, width, False)}{_GAP}{text}".rstrip())


def print_heading(text: str) -> None:
    """A line above what belongs together."""
    click.echo()
    click.echo(click.style(text, bold=True))


def cell(value: Any) -> str:
    """A value in one line: nothing for None, short numbers, minutes of UTC, no control characters."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, datetime):
        return value.astimezone(timezone.utc).strftime("%Y-%m-%d %H:%M")
    return str(value).translate(_CONTROL)


def size_text(size: int | None) -> str:
    """Bytes for people: ``17 B``, ``1.5 KiB``; nothing for None."""
    if size is None:
        return ""
    amount, unit = float(size), "B"
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if amount < 1023.95 or unit == "TiB":
            break
        amount /= 1024
    return f"{size} B" if unit == "B" else f"{amount:.1f} {unit}"


def count_text(count: int, thing: str) -> str:
    """``1 file``, ``2 files``."""
    return f"{count} {thing}{'' if count == 1 else 's'}"


def _cells(text: str) -> int:
    """How many columns of a terminal a text takes."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def _padded(text: str, width: int, is_right: bool) -> str:
    """A text cut or filled to a width."""
    if _cells(text) > width:
        text = text[:width]
        while text and _cells(text) > width - 1:
            text = text[:-1]
        text += "…"
    blank = " " * (width - _cells(text))
    return blank + text if is_right else text + blank


def _fitted(widths: Sequence[int], available: int, flexible: int | None) -> list[int]:
    """Widths that fit, if that can be: first one column gives way, then always the widest."""
    fitted = list(widths)
    excess = sum(fitted) + len(_GAP) * (len(fitted) - 1) - available
    if excess > 0 and flexible is not None:
        given = min(excess, max(0, fitted[flexible] - _NARROWEST))
        fitted[flexible] -= given
        excess -= given
    while excess > 0 and max(fitted) > _NARROWEST:
        fitted[fitted.index(max(fitted))] -= 1
        excess -= 1
    return fitted
