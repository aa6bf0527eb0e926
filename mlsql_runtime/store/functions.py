"""Functions: their packages, the pointers that say which package a name means, and the refused registrations."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Literal

from mlsql_runtime import codec, errors
from mlsql_runtime.errors import FormatError, MLSQLError, StorageError, VersionNotFound
from mlsql_runtime.storage.concurrency import map_reads
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store import layout
from mlsql_runtime.store.claims import claim_number
from mlsql_runtime.store.format_version import FORMAT_VERSION
from mlsql_runtime.store.function_records import FunctionPointer, FunctionRecord, PointerMove, Refusal, Refusals
from mlsql_runtime.store.manifest import FileEntry, check_subject, load

KEPT_REFUSALS = 100  # of each function: a gate may refuse every night


def function_dir(root: Location, function: str) -> Location:
    """Return the folder of a function's packages and pointer."""
    return root / layout.FUNCTIONS / function


def write_package(
    root: Location, function: str, pickled: bytes, record: Callable[[int, FileEntry], FunctionRecord]
) -> FunctionRecord:
    """Write a package under the next free number; no pointer points to it yet.

    :param record: makes the package's record from its number and the entry of the pickle.
    """
    folder = function_dir(root, function)
    number, place = claim_number(layout.list_numbered(folder), lambda n: folder / str(n), b"{}")
    entry = FileEntry(path=layout.FUNCTION_PICKLE, size=len(pickled), sha256=hashlib.sha256(pickled).hexdigest())
    try:
        made = record(number, entry)
        (place / layout.FUNCTION_PICKLE).write(pickled)
        (place / layout.FUNCTION).replace(codec.dumps(made).encode())
    except BaseException:
        with contextlib.suppress(StorageError):  # which may be what is wrong
            place.remove()
        raise
    return made


def remove_package(root: Location, record: FunctionRecord) -> None:
    """Remove a package that never became current."""
    folder = function_dir(root, record.function)
    (folder / str(record.function_version)).remove()
    folder.remove_if_empty()
    (root / layout.FUNCTIONS).remove_if_empty()


def read_function(root: Location, function: str, function_version: int | None = None) -> FunctionRecord:
    """Read the record of the current package, or of a numbered one.

    :raises VersionNotFound: naming the functions that exist.
    """
    pointer = read_pointer(root, function) if function_version is None else None
    number = pointer.current.function_version if pointer else function_version
    place = function_dir(root, function) / str(number) / layout.FUNCTION
    text = None if number is None else place.read_or_none()
    if text is None:
        existing = ", ".join(list_functions(root)) or "none"
        which = f"version {number} of function '{function}'" if number is not None else f"function '{function}'"
        raise VersionNotFound(f"{root.uri} holds no {which}; registered there: {existing}", path=root.uri, function=function)
    record = load(FunctionRecord, text, place.uri)
    check_subject(record, place.uri, function=function, function_version=number)
    return record


def list_functions(root: Location) -> list[str]:
    """Return the names that are registered under the model path."""
    folder = root / layout.FUNCTIONS
    return [name for name in folder.list_names() if (folder / name / layout.CURRENT).exists()]


# -- pointers


def set_current(
    root: Location,
    record: FunctionRecord,
    by: str | None = None,
    reason: str | None = None,
    happened: Literal["registered", "rolled back"] = "registered",
    threshold: float | None = None,
) -> None:
    """Make a package current, atomically, and add that to the history of the function.

    :param by: the user on whose behalf.
    :param reason: how the package passed its gates, or why it is current again.
    :param threshold: the score that the gates asked for.
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
        threshold=threshold,
    )
    history = (*(before.history if before else ()), move)
    pointer = FunctionPointer(format_version=FORMAT_VERSION, function=record.function, history=history)
    (function_dir(root, record.function) / layout.CURRENT).replace(codec.dumps(pointer).encode())


def read_pointer(root: Location, function: str) -> FunctionPointer | None:
    """Read the pointer of a function; None if the function was never registered."""
    place = function_dir(root, function) / layout.CURRENT
    text = place.read_or_none()
    if text is None:
        return None
    pointer = load(FunctionPointer, text, place.uri)
    check_subject(pointer, place.uri, function=function)
    if not pointer.history:
        raise FormatError(f"{place.uri}: its history is empty; the file is damaged or was written by something else")
    return pointer


def require_pointer(root: Location, function: str) -> FunctionPointer:
    """Read the pointer of a function that must be registered.

    :raises VersionNotFound: naming the functions that exist, or the reason of this function's last refusal.
    """
    pointer = read_pointer(root, function) if is_name(function) else None
    if pointer is None:
        raise VersionNotFound(_explain_missing_function(root, function), path=root.uri, function=function)
    return pointer


def _explain_missing_function(root: Location, function: str) -> str:
    refusals = read_refusals(root, function)
    if refusals:
        return f"function {function} of {root.uri} was never registered; its last registration was refused: {refusals[-1].reason}"
    existing = list_functions(root)
    near = errors.did_you_mean(function, existing) if existing else "; none is registered there"
    return f"{root.uri} holds no function '{function}'{near}"


def is_name(function: str) -> bool:
    """Return whether text can be the name of a function. What people type may be a path."""
    return bool(function) and "/" not in function


@dataclass(frozen=True, kw_only=True)
class FunctionPackage:
    """A package that was made from a version. ``current`` means that its function points to it now, and not only before."""

    function: str
    function_version: int
    alg_index: int
    current: bool


@dataclass(frozen=True)
class FunctionPointers:
    """The pointers of all functions by name, and the errors of those that cannot be read."""

    by_name: Mapping[str, FunctionPointer]
    problems: tuple[MLSQLError, ...]

    def packages_of(self, version: int) -> tuple[FunctionPackage, ...]:
        """Return all packages of a version that a function points to or pointed to, current ones first."""
        found = []
        for name, pointer in self.by_name.items():
            moves = {move.function_version: move for move in pointer.history if move.version == version}
            for number, move in moves.items():
                current = number == pointer.current.function_version
                found.append(FunctionPackage(function=name, function_version=number, alg_index=move.alg_index, current=current))
        return tuple(sorted(found, key=lambda each: (not each.current, each.function, -each.function_version)))


def read_pointers(root: Location) -> FunctionPointers:
    """Read all pointers under the model path: one listing, and one document each."""

    def read(name: str) -> FunctionPointer | MLSQLError | None:
        try:
            return read_pointer(root, name)
        except MLSQLError as error:
            return error

    names = (root / layout.FUNCTIONS).list_names()
    found = dict(zip(names, map_reads(root, read, names), strict=True))
    return FunctionPointers(
        {name: each for name, each in found.items() if isinstance(each, FunctionPointer)},
        tuple(each for each in found.values() if isinstance(each, MLSQLError)),
    )


def find_versions_in_use(root: Location) -> dict[int, tuple[str, ...]]:
    """Return the model versions that functions point to now, each with the functions' names.

    :raises MLSQLError: when a pointer cannot be read: nobody knows which version it needs.
    """
    pointers = read_pointers(root)
    if pointers.problems:
        raise pointers.problems[0]
    found: dict[int, tuple[str, ...]] = {}
    for name, pointer in pointers.by_name.items():
        found[pointer.current.version] = (*found.get(pointer.current.version, ()), name)
    return found


# -- refusals


def add_refusal(root: Location, function: str, refusal: Refusal) -> None:
    """Add a refused registration, atomically; the newest hundred are kept.

    Of two refusals added at the same moment one may be lost. The pointer is another document and does not change.
    """
    kept = (*read_refusals(root, function), refusal)[-KEPT_REFUSALS:]
    document = Refusals(format_version=FORMAT_VERSION, function=function, refusals=kept)
    (function_dir(root, function) / layout.REFUSALS).replace(codec.dumps(document).encode())


def read_refusals(root: Location, function: str) -> tuple[Refusal, ...]:
    """Read the refusals kept for a name, oldest first, whether or not it was ever registered."""
    place = function_dir(root, function) / layout.REFUSALS
    text = place.read_or_none() if is_name(function) else None
    if text is None:
        return ()
    document = load(Refusals, text, place.uri)
    check_subject(document, place.uri, function=function)
    return document.refusals


def list_refused_functions(root: Location) -> list[str]:
    """Return the names whose every registration was refused."""
    folder = root / layout.FUNCTIONS
    return [
        name
        for name in folder.list_names()
        if not (folder / name / layout.CURRENT).exists() and (folder / name / layout.REFUSALS).exists()
    ]
