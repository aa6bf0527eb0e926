"""A function's history: what was registered, refused and rolled back, when, by whom and why."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from mlsql_runtime import errors
from mlsql_runtime.errors import VersionNotFound
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store import layout
from mlsql_runtime.store.functions import function_dir, list_functions, read_pointer
from mlsql_runtime.store.manifest import FunctionPointer, PointerMove, Refusal
from mlsql_runtime.store.refusals import read_refusals


@dataclass(frozen=True, kw_only=True)
class HistoryEntry:
    """What happened to a name at ``at``: it was pointed to a package, or that was refused.

    A refusal has no ``function_version``. ``available``: package and version's manifest are there, so that one can go back to
    it. ``job_id`` is None for a rollback, ``by`` when nobody is known, ``reason`` when there was no gate.
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
    """All that happened to a name, oldest first, but refusals that are long past. At most one entry is current."""

    model_path: str
    function: str
    history: tuple[HistoryEntry, ...]


def read_history(root: Location, function: str) -> History:
    """What became of a name, also of one that was refused each time.

    :raises VersionNotFound: naming the functions there are, when there is neither.
    """
    refusals = read_refusals(root, function) if _is_name(function) else ()
    pointer = read_pointer(root, function) if refusals else require_pointer(root, function)
    moves = _moves(root, pointer) if pointer else []
    entries = heapq.merge(moves, map(_refused, refusals), key=lambda entry: entry.at)  # clocks differ: each keeps its order
    return History(model_path=root.uri, function=function, history=tuple(entries))


def _moves(root: Location, pointer: FunctionPointer) -> list[HistoryEntry]:
    packages = {(move.function_version, move.version) for move in pointer.history}
    available = {package: _is_available(root, pointer.function, *package) for package in packages}
    last = len(pointer.history) - 1
    return [
        _moved(move, current=index == last, available=available[move.function_version, move.version])
        for index, move in enumerate(pointer.history)
    ]


def _moved(move: PointerMove, current: bool, available: bool) -> HistoryEntry:
    return HistoryEntry(
        happened=move.happened,
        function_version=move.function_version,
        version=move.version,
        alg_index=move.alg_index,
        score=move.score,
        job_id=move.job_id,
        at=move.at,
        by=move.by,
        reason=move.reason,
        current=current,
        available=available,
    )


def _refused(refusal: Refusal) -> HistoryEntry:
    return HistoryEntry(
        happened="refused",
        function_version=None,
        version=refusal.version,
        alg_index=refusal.alg_index,
        score=refusal.score,
        job_id=refusal.job_id,
        at=refusal.at,
        by=refusal.by,
        reason=refusal.reason,
        current=False,
        available=False,
    )


def _is_available(root: Location, function: str, function_version: int, version: int) -> bool:
    package = function_dir(root, function) / str(function_version) / layout.FUNCTION
    return package.exists() and (layout.version_dir(root, version) / layout.MANIFEST).exists()


def require_pointer(root: Location, function: str) -> FunctionPointer:
    """The pointer of a function that must be registered.

    :raises VersionNotFound: naming the functions there are, or why this one was refused.
    """
    pointer = read_pointer(root, function) if _is_name(function) else None
    if pointer is None:
        raise VersionNotFound(_no_function(root, function), path=root.uri, function=function)
    return pointer


def _no_function(root: Location, function: str) -> str:
    refusals = read_refusals(root, function) if _is_name(function) else ()
    if refusals:
        return f"function {function} of {root.uri} was never registered; it was refused last because {refusals[-1].reason}"
    there = list_functions(root)
    near = errors.did_you_mean(function, there) if there else "; none is registered there"
    return f"{root.uri} holds no function '{function}'{near}"


def _is_name(function: str) -> bool:
    """Whether it can be a folder of its own: what people type may be a path."""
    return bool(function) and "/" not in function
