"""Function packages, and the pointer that says which of them a function's name means."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Literal

from mlsql_runtime import codec
from mlsql_runtime.errors import FormatError, VersionNotFound
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store import layout
from mlsql_runtime.store.manifest import (
    FORMAT_VERSION,
    FileEntry,
    FunctionPointer,
    FunctionRecord,
    PointerMove,
    load,
)


def function_dir(root: Location, function: str) -> Location:
    """The folder of a function's packages and pointer."""
    return root / layout.FUNCTIONS / function


def write_package(
    root: Location, function: str, pickled: bytes, record: Callable[[int, FileEntry], FunctionRecord]
) -> FunctionRecord:
    """Write a package under the next free number; nothing points to it yet.

    :param record: makes the package's record from its number and the entry of the pickle.
    """
    folder = function_dir(root, function)
    number = max(layout.numbered(folder), default=0) + 1
    while True:
        place = folder / str(number)
        try:
            (place / layout.CLAIM).create(b"{}")
            break
        except FileExistsError:
            number += 1
    entry = FileEntry(path=layout.FUNCTION_PICKLE, size=len(pickled), sha256=hashlib.sha256(pickled).hexdigest())
    made = record(number, entry)
    (place / layout.FUNCTION_PICKLE).write(pickled)
    (place / layout.FUNCTION).replace(codec.dumps(made).encode())
    return made


def remove_package(root: Location, record: FunctionRecord) -> None:
    """Remove a package that never became current."""
    folder = function_dir(root, record.function)
    (folder / str(record.function_version)).remove()
    folder.remove_if_empty()
    (root / layout.FUNCTIONS).remove_if_empty()


def set_current(
    root: Location,
    record: FunctionRecord,
    by: str | None = None,
    reason: str | None = None,
    happened: Literal["registered", "rolled back"] = "registered",
) -> None:
    """Make a package current, atomically, and add that to the history of the function.

    :param by: the user on whose behalf.
    :param reason: how the package passed its gates, or why it is current again.
    """
    before = read_pointer(root, record.function)
    move = PointerMove(
        happened=happened,
        function_version=record.function_version,
        version=record.version,
        alg_index=record.alg_index,
        score=record.score,
        job_id=record.job_id if happened == "registered" else None,
        at=datetime.now(timezone.utc),
        by=by,
        reason=reason,
    )
    pointer = FunctionPointer(
        format_version=FORMAT_VERSION,
        function=record.function,
        history=(*(before.history if before else ()), move),
    )
    (function_dir(root, record.function) / layout.CURRENT).replace(codec.dumps(pointer).encode())


def read_pointer(root: Location, function: str) -> FunctionPointer | None:
    """What the function means now and meant before, or None when it was never registered."""
    place = function_dir(root, function) / layout.CURRENT
    text = place.read_or_none()
    if text is None:
        return None
    pointer = load(FunctionPointer, text, place.uri)
    if not pointer.history:
        raise FormatError(f"{place.uri}: its history is empty; the file is damaged or was written by something else")
    return pointer


def read_function(root: Location, function: str, function_version: int | None = None) -> FunctionRecord:
    """The record of the current package, or of a numbered one.

    :raises VersionNotFound: naming the functions there are.
    """
    pointer = read_pointer(root, function)
    number = function_version if function_version is not None else pointer.current.function_version if pointer else None
    place = function_dir(root, function) / str(number) / layout.FUNCTION
    text = None if number is None else place.read_or_none()
    if text is None:
        there = ", ".join(list_functions(root)) or "none"
        which = f"version {number} of function '{function}'" if number is not None else f"function '{function}'"
        raise VersionNotFound(f"{root.uri} holds no {which}; registered there: {there}", path=root.uri, function=function)
    return load(FunctionRecord, text, place.uri)


def list_functions(root: Location) -> list[str]:
    """The names registered under the model path."""
    folder = root / layout.FUNCTIONS
    return [name for name in folder.list_names() if (folder / name / layout.CURRENT).exists()]


def find_versions_in_use(root: Location) -> dict[int, tuple[str, ...]]:
    """The model versions that current functions need, each with the functions' names.

    :raises FormatError: when a pointer cannot be understood: what it needs is not known.
    """
    found: dict[int, tuple[str, ...]] = {}
    for name in (root / layout.FUNCTIONS).list_names():
        pointer = read_pointer(root, name)
        if pointer is not None:
            found[pointer.current.version] = (*found.get(pointer.current.version, ()), name)
    return found
