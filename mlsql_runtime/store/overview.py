"""The overview of a model path: its newest versions, its functions with their histories, its last failure and refusal.

It costs one listing of the path, one document per version that is shown, and three requests per function. Documents of versions
that have ended never change: a :class:`VersionCache` keeps what an overview shows of them.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from mlsql_runtime.errors import MLSQLError, VersionNotFound
from mlsql_runtime.storage.concurrency import map_reads
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store import layout
from mlsql_runtime.store.function_history import HistoryEntry, read_history
from mlsql_runtime.store.version_facts import VersionFacts, read_facts
from mlsql_runtime.store.versions import ModelStore

CACHED_VERSIONS = 10_000  # of all model paths
MAX_FUNCTIONS = 100  # whose histories are read


@dataclass(frozen=True, kw_only=True)
class FunctionOverview:
    """A function and its history, oldest first. ``error`` says why it cannot be read; the history is empty then."""

    name: str
    history: tuple[HistoryEntry, ...] = ()
    error: str | None = None

    @property
    def current(self) -> HistoryEntry | None:
        return next((entry for entry in self.history if entry.current), None)

    @property
    def refusals(self) -> tuple[HistoryEntry, ...]:
        return tuple(entry for entry in self.history if entry.happened == "refused")


@dataclass(frozen=True, kw_only=True)
class ModelOverview:
    """A model path. ``versions`` are the newest ones, newest first; ``more`` older ones are left out."""

    model_path: str
    versions: tuple[VersionFacts, ...]
    more: int
    functions: tuple[FunctionOverview, ...]

    @property
    def newest(self) -> VersionFacts | None:
        """The newest complete version, among those that are shown."""
        return next((version for version in self.versions if version.state == "complete"), None)

    @property
    def last_failure(self) -> VersionFacts | None:
        return next((version for version in self.versions if version.state == "failed"), None)

    @property
    def last_refusal(self) -> tuple[str, HistoryEntry] | None:
        """The newest refusal of any function, with the function's name."""
        found = [(function.name, function.refusals[-1]) for function in self.functions if function.refusals]
        return max(found, key=lambda pair: pair[1].at, default=None)


class VersionCache:
    """Facts of versions that have ended, by model path and number; the least recently used ones are dropped."""

    def __init__(self, size: int = CACHED_VERSIONS) -> None:
        self._size = size
        self._facts: OrderedDict[tuple[str, int], VersionFacts] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, root: Location, version: int) -> VersionFacts | None:
        with self._lock:
            if (found := self._facts.get((root.uri, version))) is not None:
                self._facts.move_to_end((root.uri, version))
            return found

    def put(self, root: Location, facts: VersionFacts) -> None:
        """Keep the facts of a version, if they cannot change any more."""
        if facts.state in ("complete", "failed"):
            with self._lock:
                self._facts[root.uri, facts.version] = facts
                while len(self._facts) > self._size:
                    self._facts.popitem(last=False)

    def drop(self, root: Location) -> None:
        """Forget the versions of a model path."""
        with self._lock:
            for key in [key for key in self._facts if key[0] == root.uri]:
                del self._facts[key]


def read_overview(store: ModelStore, limit: int | None = None, cache: VersionCache | None = None) -> ModelOverview:
    """Read the newest ``limit`` versions, all of them if None, and all functions."""
    shown = store.versions[:limit]
    return ModelOverview(
        model_path=store.root.uri,
        versions=tuple(_read_versions(store.root, shown, cache or VersionCache())),
        more=len(store.versions) - len(shown),
        functions=tuple(read_functions(store)),
    )


def read_functions(store: ModelStore) -> list[FunctionOverview]:
    """Read the functions of a model path, also those whose every registration was refused."""

    def read(name: str) -> FunctionOverview | None:
        try:
            return FunctionOverview(name=name, history=read_history(store.root, name, store.versions).history)
        except VersionNotFound:
            return None  # its first package is being written
        except MLSQLError as error:
            return FunctionOverview(name=name, error=error.message)

    names = (store.root / layout.FUNCTIONS).list_names()[:MAX_FUNCTIONS]
    return [found for found in map_reads(store.root, read, names) if found is not None]


def _read_versions(root: Location, numbers: Sequence[int], cache: VersionCache) -> list[VersionFacts]:
    """Read versions, those that are not in the cache.

    One that is there is read again each time: when it is another by now, somebody has removed the model path, and trainings
    have made it again with the same numbers.
    """
    known = {number: facts for number in numbers if (facts := cache.get(root, number)) is not None}
    if known:
        checked = min(known)
        if read_facts(root, [checked]) != [known[checked]]:
            cache.drop(root)
            known = {}
    for facts in read_facts(root, [number for number in numbers if number not in known]):
        cache.put(root, facts)
        known[facts.version] = facts
    return [known[number] for number in numbers]
