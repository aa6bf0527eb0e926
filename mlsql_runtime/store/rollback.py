"""Roll a function back to a package that it pointed to before, after checking that the package can still predict."""

from __future__ import annotations

from dataclasses import dataclass

from mlsql_runtime.errors import StorageError, VersionNotFound
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store import layout
from mlsql_runtime.store.function_records import FunctionPointer, FunctionRecord, PointerMove
from mlsql_runtime.store.functions import function_dir, read_function, require_pointer, set_current
from mlsql_runtime.store.verification import verify_files
from mlsql_runtime.store.versions import read_manifest


@dataclass(frozen=True)
class Rollback:
    """A rollback that was checked: the pointer as it was then, and the package to point to."""

    pointer: FunctionPointer
    target: FunctionRecord

    @property
    def before(self) -> PointerMove:
        return self.pointer.current


def choose_rollback(root: Location, function: str, to: int | None = None) -> Rollback:
    """Choose the package before the current one, or number ``to``, and check it with its model. Changes nothing.

    :raises VersionNotFound: when there is no such function, no earlier package, or package or model version are gone.
    :raises IntegrityError: when a file of the package or of the model is not the one that was registered.
    """
    pointer = require_pointer(root, function)
    number = _find_previous(root, pointer) if to is None else _check_number(root, pointer, to)
    record = read_function(root, function, number)
    verify_files(function_dir(root, function) / str(number), [record.pickle])
    home = root.at(record.model_path)  # where the function reads its model
    _require_version(home, record)
    verify_files(layout.version_dir(home, record.version), record.model_files)
    return Rollback(pointer, record)


def roll_back(root: Location, rollback: Rollback, by: str, reason: str | None = None) -> None:
    """Make the chosen package current, atomically; the history says who did it, and why if ``reason`` is given.

    :raises StorageError: when the pointer has changed meanwhile.
    :raises VersionNotFound: when the model version was pruned meanwhile.
    """
    target = rollback.target
    _require_version(root.at(target.model_path), target)
    if require_pointer(root, target.function) != rollback.pointer:
        raise StorageError(f"function {target.function} was changed by somebody else meanwhile; look at it and try again")
    set_current(root, target, by, reason, "rolled back")


def _find_previous(root: Location, pointer: FunctionPointer) -> int:
    """Return the package that was current when the present one first became so: two rollbacks go two packages back."""
    numbers = [move.function_version for move in pointer.history]
    first = numbers.index(pointer.current.function_version)
    if first == 0:
        raise VersionNotFound(
            f"function {pointer.function} of {root.uri} points to version {numbers[0]}, its first; there is no earlier one",
            function=pointer.function,
        )
    return numbers[first - 1]


def _check_number(root: Location, pointer: FunctionPointer, number: int) -> int:
    """Return ``number``, to which the function must have pointed before."""
    known = sorted({move.function_version for move in pointer.history})
    if number == pointer.current.function_version:
        raise VersionNotFound(f"version {number} of function {pointer.function} of {root.uri} is already current")
    if number not in known:
        raise VersionNotFound(
            f"function {pointer.function} of {root.uri} never pointed to version {number}; its history has "
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
