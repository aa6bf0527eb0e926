"""Find columns by name as Spark does: in either case. Standard library only."""

from __future__ import annotations

from collections.abc import Iterable

FEATURES, LABEL = "features", "label"  # columns, where nothing names others


def find_column(name: str, columns: Iterable[str]) -> str | None:
    """Return the column's own spelling of ``name``; None when there is no such column, or several in other cases."""
    return find_columns([name], columns)[0]


def find_columns(names: Iterable[str], columns: Iterable[str]) -> list[str | None]:
    """Return for each name what :func:`find_column` returns, at the cost of one look at all columns."""
    spellings: dict[str, list[str]] = {}
    for column in columns:
        spellings.setdefault(column.lower(), []).append(column)

    def choose(name: str) -> str | None:
        found = spellings.get(name.lower(), [])
        if name in found:
            return name
        return found[0] if len(found) == 1 else None

    return list(map(choose, names))
