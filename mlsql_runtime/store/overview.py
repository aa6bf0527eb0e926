"""The overview of a model path: its newest versions, its functions with their histories, its last failure and refusal.

It costs one listing of the path, one document per version that is shown, and four requests per function. Documents of versions
that have ended never change: a :class:`VersionCache` keeps what an overview shows of them.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime

from mlsql_runtime import codec
from mlsql_runtime.errors import MLSQLError, VersionNotFound
from mlsql_runtime.plan import TaskTry
from mlsql_runtime.result import Best
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store import layout
from mlsql_runtime.store.claims import read_claim
from mlsql_runtime.store.function_history import HistoryEntry, read_history
from mlsql_runtime.store.manifest import FailureRecord, Manifest
from mlsql_runtime.store.summary import REQUESTS, State, shorten_failure
from mlsql_runtime.store.versions import ModelStore, read_record

CACHED_VERSIONS = 10_000  # of all model paths
MAX_FUNCTIONS = 100  # whose histories are read


@dataclass(frozen=True, kw_only=True)
class VersionFacts:
    """What an overview shows of a version. Fields that its state does not have are None.

    :param metrics: of the best group, without its score.
    :param code: a digest of the script and its project.
    :param environment: a digest of what the best group ran with: Python, packages, system parameters.
    :param sources: where the rows came from, in short.
    :param reason: why it failed, or why it cannot be read.
    """

    version: int
    state: State
    created: datetime | None = None
    task: TaskTry | None = None
    job_id: str | None = None
    groups: int | None = None
    groups_succeeded: int | None = None
    best: Best | None = None
    score: float | None = None
    greater_is_better: bool | None = None
    metrics: Mapping[str, float | None] = field(default_factory=dict)
    rows: int | None = None
    description: str | None = None
    code: str | None = None
    environment: str | None = None
    sources: tuple[str, ...] = ()
    reason: str | None = None


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
        functions=tuple(read_functions(store.root)),
    )


def read_functions(root: Location) -> list[FunctionOverview]:
    """Read the functions of a model path, also those whose every registration was refused."""
    found = []
    for name in (root / layout.FUNCTIONS).list_names()[:MAX_FUNCTIONS]:
        try:
            found.append(FunctionOverview(name=name, history=read_history(root, name).history))
        except VersionNotFound:
            continue  # its first package is being written
        except MLSQLError as error:
            found.append(FunctionOverview(name=name, error=error.message))
    return found


def _read_versions(root: Location, numbers: Iterable[int], cache: VersionCache) -> list[VersionFacts]:
    """Read versions, those that are not in the cache.

    One that is there is read again each time: when it is another by now, somebody has removed the model path, and trainings
    have made it again with the same numbers.
    """
    wanted = list(numbers)
    if known := [number for number in wanted if cache.get(root, number) is not None]:
        facts = read_version_facts(root, known[-1])
        if facts != cache.get(root, known[-1]):
            cache.drop(root)
    missing = [number for number in wanted if cache.get(root, number) is None]
    if root.is_local or len(missing) < 2:
        read = {number: read_version_facts(root, number) for number in missing}
    else:
        with ThreadPoolExecutor(REQUESTS) as pool:
            read = dict(zip(missing, pool.map(lambda number: read_version_facts(root, number), missing), strict=True))
    for facts in read.values():
        cache.put(root, facts)
    found = ((cache.get(root, number) or read.get(number)) for number in wanted)
    return [facts for facts in found if facts is not None]


def read_version_facts(root: Location, version: int) -> VersionFacts:
    """Read the facts of a version, of any state."""
    try:
        record = read_record(root, version)
        if record is None:
            claim = read_claim(layout.version_dir(root, version))
            return VersionFacts(version=version, state="unfinished", created=claim.created, job_id=claim.job_id)
    except MLSQLError as error:
        return VersionFacts(version=version, state="unreadable", reason=error.message)
    return find_facts(record)


def find_facts(record: Manifest | FailureRecord) -> VersionFacts:
    """Return what an overview shows of a document."""
    succeeded = sum(fit.status == "success" for fit in record.fits)
    if isinstance(record, FailureRecord):
        return VersionFacts(
            version=record.version,
            state="failed",
            created=record.created,
            task=record.task,
            job_id=record.job_id,
            groups=len(record.fits),
            groups_succeeded=succeeded,
            reason=shorten_failure(record),
        )
    best = record.best
    fit = record.fit(best.alg_index)
    return VersionFacts(
        version=record.version,
        state="complete",
        created=record.created,
        task=record.task,
        job_id=record.job_id,
        groups=len(record.fits),
        groups_succeeded=succeeded,
        best=best,
        score=best.score,
        greater_is_better=record.greater_is_better,
        metrics=fit.metrics if fit else {},
        rows=record.data.rows,
        description=record.description,
        code=record.script.sha256,
        environment=_digest(record.environment, fit.packages if fit else {}, record.parameters, record.requirements),
        sources=tuple(_describe_sources(record)),
    )


def _describe_sources(manifest: Manifest) -> Iterable[str]:
    for source in manifest.sources:
        if source.kind not in ("select", "view"):
            version = f"version {source.version.id}" if source.version else None
            place = source.path if source.path is not None else source.table
            yield " ".join(filter(None, (source.format, place, version)))


def _digest(*values: object) -> str:
    return hashlib.sha256(json.dumps(codec.encode(values), sort_keys=True).encode()).hexdigest()
