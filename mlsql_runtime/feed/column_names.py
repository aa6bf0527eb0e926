"""Find columns by name as Spark does: in either case. Standard library only."""

from __future__ import annotations

from collections.abc import Iterable

FEATURES, LABEL = "features", "label"  # columns, where nothing names others


def find_column(name: str, columns: Iterable[str]) -> str | None:
    """Return the column's own spelling of ``name``; None when there is no such column, or several in other cases."""
    found = [column for column in columns if column.lower() == name.lower()]
    if name in found:
        return name
    return found[0] if len(found) == 1 else None
