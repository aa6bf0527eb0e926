"""Requirements files, read from any storage into the text that a plan carries."""

from __future__ import annotations

from mlsql_runtime.errors import InputError, StorageError
from mlsql_runtime.plan import parse_requirements
from mlsql_runtime.storage.location import Location


def read_requirements(path: str) -> str:
    """Return the text of a requirements file.

    :raises InputError: when there is no such file, or it names anything but packages.
    """
    try:
        content = Location.of(path).read_or_none()
        text = None if content is None else content.decode()
    except (StorageError, ValueError) as error:  # not UTF-8, or not a path
        raise InputError(f"{path} cannot be read as a requirements file: {error}; check requirements", path=path) from error
    if text is None:
        raise InputError(f"requirements file {path} does not exist; check requirements", path=path)
    parse_requirements(text)
    return text
