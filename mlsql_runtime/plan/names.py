"""Checks of names and texts that statements share."""

from __future__ import annotations

import re

from mlsql_runtime.errors import InputError

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def is_identifier(name: str) -> bool:
    """Return whether ``name`` can stand unquoted in SQL as the name of a table or function."""
    return _IDENTIFIER.fullmatch(name) is not None


def require_identifier(name: str, what: str) -> None:
    """Raise InputError unless ``name`` can stand unquoted in SQL. ``what`` says what it names."""
    if not is_identifier(name):
        raise InputError(
            f"{what} is {name!r}, which is not an SQL identifier; use letters, digits and underscores, not starting with a digit",
            name=name,
        )


def require_text(value: str | None, what: str) -> None:
    """Raise InputError when ``value`` is None or blank. ``what`` says what it is."""
    if not value or not value.strip():
        raise InputError(f"{what} is empty; give it")
