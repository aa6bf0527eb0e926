"""Reports on functions: a summary of each, and the history of one: registrations, refusals and rollbacks."""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from mlsql_runtime import errors
from mlsql_runtime.errors import MLSQLError
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store import layout
from mlsql_runtime.store.function_records import FunctionPointer, FunctionRecord
from mlsql_runtime.store.functions import function_dir, read_function, read_pointer, read_refusals, require_pointer


@dataclass(frozen=True, kw_only=True)
class HistoryEntry:
    """A change of a function's pointer, or a refused registration, which has no ``function_version``.

    :param job_id: None for a rollback.
    :param by: the user, None if unknown.
    :param reason: None if the registration had no gate.
    :param available: whether the package and the manifest of its version exist, so that a rollback to it is possible.
    """

    happened: Literal["registered", "rolled back", "refused"]
    function_version: int | None
    version: int
    alg_index: int
    score: float | None
    job_id: str | None
    at: datetime
    by: str | None
    reason: str | None
    current: bool
    available: bool


@dataclass(frozen=True, kw_only=True)
class History:
    """The history of a function, oldest first, with its newest refusals. At most one entry is current."""

    model_path: str
    function: str
    history: tuple[HistoryEntry, ...]


def read_history(root: Location, function: str) -> History:
    """Read the history of a function, also of one whose every registration was refused.

    :raises VersionNotFound: naming the functions that exist, when there is neither a registration nor a refusal.
    """
    refusals = read_refusals(root, function)
    pointer = read_pointer(root, function) if refusals else require_pointer(root, function)
    refused = [
        HistoryEntry(happened="refused", function_version=None, current=False, available=False, **vars(each)) for each in refusals
    ]
    moves = _read_moves(root, pointer) if pointer else []
    entries = heapq.merge(moves, refused, key=lambda entry: entry.at)  # clocks differ: each list keeps its order
    return History(model_path=root.uri, function=function, history=tuple(entries))


def _read_moves(root: Location, pointer: FunctionPointer) -> list[HistoryEntry]:
    packages = {(move.function_version, move.version) for move in pointer.history}
    available = {package: _is_available(root, pointer.function, *package) for package in packages}
    return [
        HistoryEntry(current=move is pointer.current, available=available[move.function_version, move.version], **vars(move))
        for move in pointer.history
    ]


def _is_available(root: Location, function: str, function_version: int, version: int) -> bool:
    package = function_dir(root, function) / str(function_version) / layout.FUNCTION
    return package.exists() and (layout.version_dir(root, version) / layout.MANIFEST).exists()


@dataclass(frozen=True, kw_only=True)
class FunctionSummary:
    """A registered function. If its pointer or package cannot be read, ``error`` says why and the rest is None.

    :param created: when the current package was registered.
    :param at: when it became current, by ``job_id``, on behalf of ``by``, because of ``reason``.
    """

    function: str
    function_version: int | None = None
    version: int | None = None
    alg_index: int | None = None
    score: float | None = None
    created: datetime | None = None
    at: datetime | None = None
    contract: str | None = None
    python: str | None = None
    script: str | None = None
    job_id: str | None = None
    by: str | None = None
    reason: str | None = None
    error: Mapping[str, Any] | None = None  # as errors.to_json writes it


def summarize_functions(root: Location) -> list[FunctionSummary]:
    """Return every registered function, from its pointer and its current package."""
    found = []
    for name in (root / layout.FUNCTIONS).list_names():
        try:
            pointer = read_pointer(root, name)
            if pointer is not None:
                found.append(_summarize(pointer, read_function(root, name, pointer.current.function_version)))
        except MLSQLError as error:
            found.append(FunctionSummary(function=name, error=errors.to_json(error)))
    return found


def _summarize(pointer: FunctionPointer, record: FunctionRecord) -> FunctionSummary:
    return FunctionSummary(
        function=pointer.function,
        function_version=record.function_version,
        version=record.version,
        alg_index=record.alg_index,
        score=record.score,
        created=record.created,
        at=pointer.current.at,
        contract=record.contract,
        python=record.python,
        script=record.script.name,
        job_id=pointer.current.job_id,
        by=pointer.current.by,
        reason=pointer.current.reason,
    )
