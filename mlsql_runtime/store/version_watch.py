"""Whether a version that somebody waits for has landed, has failed, or is not good enough; and which versions are new."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from mlsql_runtime import errors
from mlsql_runtime.errors import MLSQLError, ScriptFailed, TrainingFailed
from mlsql_runtime.result import to_xcom
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store import layout
from mlsql_runtime.store.manifest import FailureRecord, Manifest, load
from mlsql_runtime.store.versions import open_model_path

LowScoreAction = Literal["wait", "skip", "fail"]
Record = Manifest | FailureRecord
Answer = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class VersionCondition:
    """What is waited for; every condition given must hold. With none, any complete version will do.

    ``run_id`` and ``external_dag_id`` say in which DAG run the version was trained. ``min_score`` is about the best group's
    score, or about its metric ``metric``; the best group is the one with the best score, whatever the metric says.
    ``greater_is_better`` is about the metric; None is what holds for the version's score.
    """

    min_version: int | None = None
    published_after: datetime | None = None
    job_id: str | None = None
    external_dag_id: str | None = None
    run_id: str | None = None
    min_score: float | None = None
    metric: str | None = None
    greater_is_better: bool | None = None
    on_low_score: LowScoreAction = "wait"

    @property
    def names_a_training(self) -> bool:
        """Whether a failure can be told to be the condition one, and not an old story."""
        return any(named is not None for named in (self.min_version, self.published_after, self.job_id, self.run_id))

    def matches(self, record: Record) -> bool:
        return (
            (self.min_version is None or record.version >= self.min_version)
            and (self.published_after is None or record.created > self.published_after)
            and (self.job_id is None or record.job_id == self.job_id)
            and _trained_in(record.job_id, self.external_dag_id, self.run_id)
        )

    def is_good(self, manifest: Manifest) -> bool:
        if self.min_score is None:
            return True
        value = self._value(manifest)
        return value is not None and (value >= self.min_score if self._wants_more(manifest) else value <= self.min_score)

    def shortfall(self, manifest: Manifest, where: str) -> str:
        """Why the version is not good enough."""
        wanted = f"{'at least' if self._wants_more(manifest) else 'at most'} {self.min_score} is asked for"
        measured = f"{self.metric or 'score'} {self._value(manifest)}"
        if self.metric is not None and self.metric not in self._metrics(manifest):
            others = ", ".join(sorted(self._metrics(manifest))) or "none"
            measured = f"no metric '{self.metric}' in its best group (it has {others})"
        return f"version {manifest.version} of {where} has {measured}, and {wanted}"

    def _wants_more(self, manifest: Manifest) -> bool:
        if self.metric is None or self.greater_is_better is None:
            return manifest.greater_is_better
        return self.greater_is_better

    def _value(self, manifest: Manifest) -> float | None:
        return manifest.best.score if self.metric is None else self._metrics(manifest).get(self.metric)

    def _metrics(self, manifest: Manifest) -> dict[str, float | None]:
        best = manifest.fit(manifest.best.alg_index)
        return {} if best is None else dict(best.metrics)


def _trained_in(job_id: str, dag_id: str | None, run_id: str | None) -> bool:
    """Whether a job was of this DAG (None: any) and run. Operators' job ids are ``dag.task[map index]/run/tries``.

    No name has a slash in it, but DAGs and tasks have dots: ``a`` takes the runs of ``a.b`` for its own if they have one name.
    """
    task, _, run = job_id.partition("/")
    return (dag_id is None or task.startswith(f"{dag_id}.")) and (run_id is None or run.rpartition("/")[0] == run_id)


@dataclass(frozen=True)
class Sighting:
    """``found`` is the newest version that is wanted and good enough; ``low`` the newest wanted one that is not;
    ``failure`` why the condition training published nothing. At most ``low`` and ``failure`` come together."""

    found: Manifest | None = None
    low: Manifest | None = None
    failure: FailureRecord | None = None


@dataclass(frozen=True)
class _Seen:
    """What somebody has been told, and from where a later look goes on: numbers up to ``newest`` are dealt with but for
    ``unfinished`` ones."""

    sighting: Sighting = Sighting()
    newest: int = -1
    unfinished: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """How far somebody who wants to hear of every version has heard.

    Numbers up to ``newest`` are dealt with but for ``unfinished`` ones: of two trainings the one that claimed its number first
    may publish last. ``published`` is the latest time of publication: when a store is begun anew, it tells versions that are
    new from those that were there.
    """

    newest: int = 0
    published: datetime | None = None
    unfinished: tuple[int, ...] = ()


@dataclass(frozen=True)
class NewVersions:
    """The versions to tell of, oldest first, and how far that is."""

    versions: tuple[Manifest, ...]
    checkpoint: Checkpoint


class VersionWatch:
    """A model path that is looked at again and again, for many who ask different questions.

    Each :meth:`refresh` is one listing. Records are read when a question needs them and then kept, since a version never
    changes; the newest one alone is read again, because it would be another one in a store that was removed and begun anew.
    Whoever asks the same again is answered by what has come since, so that a thousand questions cost little beside a training
    under way, or what a killed one has left.
    """

    def __init__(self, root: Location) -> None:
        self.root = root
        self._numbers: list[int] = []
        self._records: dict[int, Record] = {}
        self._unfinished: set[int] = set()
        self._seen: dict[VersionCondition, _Seen] = {}
        self._seen_before: dict[VersionCondition, _Seen] = {}  # what nobody asks between two looks is forgotten

    def refresh(self) -> None:
        """Look what is there now.

        :raises StorageError: when the path cannot be listed.
        :raises InputError: when it is a file.
        """
        numbers = layout.list_claimed_versions(self.root)
        if not numbers:
            open_model_path(self.root.uri)
        anew = self._is_begun_anew(numbers)
        has_only_grown = not anew and numbers[: len(self._numbers)] == self._numbers
        self._seen_before, self._seen = self._seen if has_only_grown else {}, {}
        listed = set(numbers)
        self._records = {} if anew else {number: record for number, record in self._records.items() if number in listed}
        self._unfinished.clear()
        self._numbers = numbers

    def _is_begun_anew(self, numbers: list[int]) -> bool:
        if not numbers or not self._numbers:
            return False
        known = self._records.get(numbers[-1])
        return numbers[-1] < self._numbers[-1] or (known is not None and _read(self.root, numbers[-1]) != known)

    def answer(self, condition: VersionCondition) -> Answer:
        """What the waiting one has to do, as JSON: ``status`` is one of

        ``success`` (and ``result``, the XCom), ``skipped`` (and ``message``), ``failed`` (and ``error``, as of
        :func:`errors.to_json`) and ``waiting`` (and ``message``).
        """
        seen = self.look(condition)
        if seen.found is not None:
            return {"status": "success", "result": to_xcom(seen.found.result(self.root.uri))}
        if seen.failure is not None and (seen.low is None or seen.failure.version > seen.low.version):
            tails = {group: list(tail) for group, tail in seen.failure.tails.items()}
            return failure(TrainingFailed(seen.failure.message, version=seen.failure.version, tails=tails))
        if seen.low is None:
            return {"status": "waiting", "message": f"No such version in {self.root.uri} yet"}
        message = condition.shortfall(seen.low, self.root.uri)
        if condition.on_low_score == "fail":
            return failure(ScriptFailed(message, version=seen.low.version))
        if condition.on_low_score == "skip":
            return {"status": "skipped", "message": message}
        return {"status": "waiting", "message": f"{message}; waiting for a better one"}

    def look(self, condition: VersionCondition) -> Sighting:
        """What there is of the version that is awaited."""
        if condition not in self._seen:
            self._seen[condition] = self._go_on(condition, self._seen_before.get(condition, _Seen()))
        return self._seen[condition].sighting

    def _go_on(self, condition: VersionCondition, seen: _Seen) -> _Seen:
        numbers = [*seen.unfinished, *self._numbers[bisect_right(self._numbers, seen.newest) :]]
        if not numbers:
            return seen
        found, low, failure = seen.sighting.found, seen.sighting.low, seen.sighting.failure
        oldest = max(condition.min_version or 0, found.version if found else 0)
        unfinished: list[int] = []
        for number in reversed(numbers):
            if number < oldest:
                break
            record = self._record(number)
            if record is None:
                unfinished.insert(0, number)
            elif not condition.matches(record):
                continue
            elif isinstance(record, FailureRecord):
                if condition.names_a_training and (failure is None or number > failure.version):
                    failure = record
            elif condition.is_good(record):
                found = record
                break
            elif low is None or number > low.version:
                low = record
        sighting = Sighting(low=low, failure=failure) if found is None else Sighting(found=found)
        return _Seen(sighting, self._numbers[-1], tuple(unfinished))

    def new_versions(self, condition: VersionCondition, checkpoint: Checkpoint | None) -> NewVersions:
        """Return the versions since ``checkpoint``; without one, none, and the checkpoint to begin with."""
        last = checkpoint or Checkpoint()
        if not self._numbers:
            return NewVersions((), last)  # unmounted storage looks empty for a moment; that does not begin the store anew
        newest = self._numbers[-1]
        records = {number: self._record(number) for number in self._numbers if _is_open(number, checkpoint, newest)}
        published = [record for record in records.values() if isinstance(record, Manifest)]
        after = last.published if newest < last.newest else None
        fresh = () if checkpoint is None else tuple(each for each in published if after is None or each.created > after)
        times = [record.created for record in published] + ([last.published] if last.published else [])
        unfinished = tuple(number for number, record in records.items() if record is None)
        reached = Checkpoint(newest=newest, published=max(times, default=None), unfinished=unfinished)
        return NewVersions(tuple(each for each in fresh if condition.matches(each) and condition.is_good(each)), reached)

    def _record(self, number: int) -> Record | None:
        if number not in self._records and number not in self._unfinished:
            record = _read(self.root, number)
            if record is None:
                self._unfinished.add(number)
            else:
                self._records[number] = record
        return self._records.get(number)


def _is_open(number: int, checkpoint: Checkpoint | None, newest: int) -> bool:
    """Whether a number has to be looked at: all of them at the beginning, and in a store that was begun anew."""
    return checkpoint is None or newest < checkpoint.newest or number > checkpoint.newest or number in checkpoint.unfinished


def _read(root: Location, number: int) -> Record | None:
    """What became of a number; None while its training is under way, or when it was killed or pruned."""
    manifest, failure = (layout.version_dir(root, number) / name for name in (layout.MANIFEST, layout.FAILURE))
    if (data := manifest.read_or_none()) is not None:
        return load(Manifest, data, manifest.uri)
    if (data := failure.read_or_none()) is not None:
        return load(FailureRecord, data, failure.uri)
    return None


def failure(error: MLSQLError) -> Answer:
    """The answer that is an error."""
    return {"status": "failed", "error": errors.to_json(error)}
