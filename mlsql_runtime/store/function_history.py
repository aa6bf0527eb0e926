"""Reports on functions: a summary of each, and the history of one: registrations, refusals and rollbacks."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from mlsql_runtime import errors
from mlsql_runtime.errors import MLSQLError
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store import layout
from mlsql_runtime.store.function_records import FunctionEvent, FunctionPointer, FunctionRecord
from mlsql_runtime.store.function_types import FunctionInput
from mlsql_runtime.store.functions import function_dir, read_function, read_pointer, read_refusals, require_pointer


@dataclass(frozen=True, kw_only=True)
class HistoryEntry(FunctionEvent):
    """A change of a function's pointer, or a refused registration, which has no ``function_version``.

    :param available: whether the package and its version exist, so that a rollback to it is possible.
    """

    happened: Literal["registered", "rolled back", "refused"]
    function_version: int | None
    current: bool
    available: bool


@dataclass(frozen=True, kw_only=True)
class History:
    """The history of a function, oldest first, with its newest refusals. At most one entry is current."""

    model_path: str
    function: str
    history: tuple[HistoryEntry, ...]


def read_history(root: Location, function: str, versions: Collection[int] | None = None) -> History:
    """Read the history of a function, also of one whose every registration was refused.

    :param versions: the numbers of all versions, if they are known; otherwise they are listed.
    :raises VersionNotFound: naming the functions that exist, when there is neither a registration nor a refusal.
    """
    refusals = read_refusals(root, function)
    pointer = read_pointer(root, function) if refusals else require_pointer(root, function)
    refused = [
        HistoryEntry(happened="refused", function_version=None, current=False, available=False, **vars(each)) for each in refusals
    ]
    moves = _read_moves(root, pointer, versions) if pointer else []
    entries = heapq.merge(moves, refused, key=lambda entry: entry.at)  # clocks differ: each list keeps its order
    return History(model_path=root.uri, function=function, history=tuple(entries))


def _read_moves(root: Location, pointer: FunctionPointer, versions: Collection[int] | None) -> list[HistoryEntry]:
    """Return the moves of a pointer; listings say what is available, however many they are."""
    packages = set(layout.list_numbered(function_dir(root, pointer.function)))
    existing = set(layout.list_claimed_versions(root) if versions is None else versions)
    return [
        HistoryEntry(
            current=move is pointer.current,
            available=move.function_version in packages and move.version in existing,
            **vars(move),
        )
        for move in pointer.history
    ]


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
    input: FunctionInput | None = None
    returns: str | None = None
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
    of_package = ("function_version", "version", "alg_index", "score", "created", "contract", "input", "returns", "python")
    of_move = ("at", "job_id", "by", "reason")
    return FunctionSummary(
        function=pointer.function,
        script=record.script.name,
        **{name: getattr(record, name) for name in of_package},
        **{name: getattr(pointer.current, name) for name in of_move},
    )
