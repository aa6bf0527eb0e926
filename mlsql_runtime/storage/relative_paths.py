"""Paths below a folder that come from documents, archives and listings which somebody else may have written."""

from __future__ import annotations

from mlsql_runtime.errors import InputError

_NO_NAMES = frozenset(("", ".", ".."))
MAX_NAME, MAX_PATH = 255, 4000  # bytes, of Linux: a path has 4096 with the folder before it


def is_plain(path: str) -> bool:
    """Return whether a path, with slashes, leads to a place below the folder that it is relative to, and nowhere else."""
    parts = path.split("/")
    if "\0" in path or not _NO_NAMES.isdisjoint(parts):
        return False
    if path.isascii() and len(path) <= MAX_NAME:
        return True
    try:
        return len(path.encode()) <= MAX_PATH and all(len(part.encode()) <= MAX_NAME for part in parts)
    except UnicodeEncodeError:
        return False


def check_plain(path: str, where: str) -> str:
    """Return a path that is plain; see :func:`is_plain`.

    :param where: what holds it, for the error.
    :raises InputError: when it is not.
    """
    if not is_plain(path):
        raise InputError(f"{where} has the path {path[:100]!r}, which is not one below its folder; rename it", path=path[:100])
    return path
