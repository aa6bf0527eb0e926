"""Pointing a function to a package it meant before, once it is sure that the package can answer."""

from __future__ import annotations

from dataclasses import dataclass

from mlsql_runtime.errors import StorageError, VersionNotFound
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store import functions, layout
from mlsql_runtime.store.functions import function_dir, read_function
from mlsql_runtime.store.history import require_pointer
from mlsql_runtime.store.manifest import FunctionPointer, FunctionRecord, PointerMove
from mlsql_runtime.store.versions import read_manifest, verify_files


@dataclass(frozen=True)
class Rollback:
    """What a rollback would do: the pointer as it is, and the checked package that it would point to."""

    pointer: FunctionPointer
    target: FunctionRecord

    @property
    def before(self) -> PointerMove:
        return self.pointer.current


def choose_rollback(root: Location, function: str, to: int | None = None) -> Rollback:
    """The package before the current one, or number ``to``, checked with its model. Changes nothing.

    :raises VersionNotFound: when there is no such function, nothing before, or package or model version are gone.
    :raises IntegrityError: when a file of the package or of the model is not the one that was registered.
    """
    pointer = require_pointer(root, function)
    number = _before(root, pointer) if to is None else _numbered(root, pointer, to)
    record = read_function(root, function, number)
    verify_files(function_dir(root, function) / str(number), [record.pickle])
    home = Location.of(record.model_path)  # where the function looks for its model when it is called
    _require_version(home, record)
    verify_files(layout.version_dir(home, record.version), record.model_files)
    return Rollback(pointer, record)


def roll_back(root: Location, rollback: Rollback, by: str, reason: str | None = None) -> None:
    """Make the chosen package current, atomically; the history says who did it, and why when there is something to say.

    :raises StorageError: when somebody else has pointed the function elsewhere meanwhile.
    :raises VersionNotFound: when the model version was pruned meanwhile.
    """
    target = rollback.target
    _require_version(Location.of(target.model_path), target)
    if require_pointer(root, target.function) != rollback.pointer:
        raise StorageError(f"function {target.function} was changed by somebody else meanwhile; look at it and try again")
    functions.set_current(root, target, by, reason, "rolled back")


def _before(root: Location, pointer: FunctionPointer) -> int:
    """The package that was current when the present one first became so: rolling back twice goes two packages back."""
    numbers = [move.function_version for move in pointer.history]
    first = numbers.index(pointer.current.function_version)
    if first == 0:
        raise VersionNotFound(
            f"function {pointer.function} of {root.uri} means version {numbers[0]}, its first; there is nothing before it",
            function=pointer.function,
        )
    return numbers[first - 1]


def _numbered(root: Location, pointer: FunctionPointer, number: int) -> int:
    """``number``, which the function must have meant before."""
    known = sorted({move.function_version for move in pointer.history})
    if number == pointer.current.function_version:
        raise VersionNotFound(f"version {number} of function {pointer.function} of {root.uri} is already current")
    if number not in known:
        raise VersionNotFound(
            f"function {pointer.function} of {root.uri} never meant version {number}; its history knows "
            f"{', '.join(map(str, known))}",
            function=pointer.function,
        )
    return number


def _require_version(home: Location, record: FunctionRecord) -> None:
    try:
        read_manifest(home, record.version)
    except VersionNotFound as error:
        raise VersionNotFound(
            f"version {record.function_version} of function {record.function} needs model version {record.version}, "
            f"which is gone (pruned?): {error.message}",
            function=record.function,
            version=record.version,
        ) from error
