"""Included files, which have to be in the folder of the script or below it."""

from __future__ import annotations

from pathlib import Path

from mlsql_runtime.errors import InputError
from mlsql_runtime.language.source import shorten

KINDS = ("local", "project", "file", "path", "script")
MAX_DEPTH = 16
MAX_BYTES = 4 << 20


def find_included(folder: Path | None, path: str) -> Path:
    """Return the file that ``path`` names, with symbolic links resolved.

    :raises InputError: when it is not a readable file below ``folder``.
    """
    if folder is None:
        raise InputError("this script has no folder, so it cannot include files; give its folder, or put all into one script")
    if not path.strip() or "\0" in path:
        raise InputError(f"include of {shorten(path)}, which is not a path; name a file beside the script")
    if Path(path).is_absolute() or ".." in Path(path).parts or "://" in path:
        raise InputError(f"include of {shorten(path)}, which leads out of the script's folder; put the file there")
    try:
        root = folder.resolve()
        found = (root / path).resolve()
        if not found.is_relative_to(root):
            raise InputError(f"include of {shorten(path)}, which is a link out of the script's folder; put the file there")
        if not found.is_file():
            raise InputError(f"include of {shorten(path)}, but there is no such file in {root}")
    except (OSError, RuntimeError) as error:  # a name too long, or links in a circle
        raise InputError(f"include of {shorten(path)}, which cannot be read: {error}") from error
    return found


def read_included(found: Path, path: str) -> str:
    """Return the text of an included file.

    :raises InputError: when it cannot be read, is too large, or is not UTF-8.
    """
    try:
        if found.stat().st_size > MAX_BYTES:
            raise InputError(f"include of {shorten(path)}, which is larger than {MAX_BYTES >> 20} MiB")
        return found.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"include of {shorten(path)}, which cannot be read as UTF-8 text: {error}") from error
