"""Wait for versions: look at a model path again and again, for tasks that wait for one version or for every new one."""

from __future__ import annotations

import contextlib
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypedDict

from mlsql_runtime import errors
from mlsql_runtime.errors import MLSQLError, ScriptFailed, TrainingFailed
from mlsql_runtime.result import to_xcom
from mlsql_runtime.storage.concurrency import REQUESTS, map_reads
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store import layout
from mlsql_runtime.store.manifest import FailureRecord, Manifest
from mlsql_runtime.store.version_condition import VersionCondition
from mlsql_runtime.store.versions import open_model_path, read_record

Record = Manifest | FailureRecord


class Succeeded(TypedDict):
    """The version is there; ``result`` is the XCom."""

    status: Literal["success"]
    result: dict[str, Any]


class Failed(TypedDict):
    """The awaited training failed, or cannot be waited for; ``error`` as :func:`errors.to_json` writes it."""

    status: Literal["failed"]
    error: dict[str, Any]


class Waiting(TypedDict):
    """The version is not there, or its score is too low."""

    status: Literal["waiting"]
    message: str


class Skipped(TypedDict):
    """The score is too low, and the task is to be skipped then."""

    status: Literal["skipped"]
    message: str


class TimedOut(TypedDict):
    """The deadline has passed."""

    status: Literal["timeout"]


FinalAnswer = Succeeded | Failed | Skipped | TimedOut  # as JSON, what a trigger sends to its sensor
Answer = FinalAnswer | Waiting


class VersionWatch:
    """A model path that is looked at again and again, for many searches.

    Each :meth:`refresh` is one listing. Records are read when a search needs them, and kept, since a version never changes. Only
    the newest one is read again: it differs if the store was removed and a new one started at version 1.

    :ivar numbers: all version numbers that were ever claimed, oldest first.
    :ivar generation: changes whenever numbers have gone, so that searches have to start again.
    """

    def __init__(self, root: Location) -> None:
        self.root = root
        self.numbers: list[int] = []
        self.generation = 0
        self._records: dict[int, Record] = {}
        self._unfinished: set[int] = set()

    def refresh(self) -> None:
        """List the versions that there are now.

        :raises StorageError: when the path cannot be listed.
        :raises InputError: when it is a file.
        """
        numbers = layout.list_claimed_versions(self.root)
        if not numbers:
            open_model_path(self.root.uri, self.root.access)
        if self._is_replaced(numbers):
            self._records.clear()
            self.generation += 1
        elif numbers[: len(self.numbers)] != self.numbers:
            self._records = {number: self._records[number] for number in numbers if number in self._records}
            self.generation += 1
        self._unfinished.clear()
        self.numbers = numbers

    def _is_replaced(self, numbers: list[int]) -> bool:
        """Return whether another store has taken the place of the one that was there."""
        if not numbers or not self.numbers:
            return False
        known = self._records.get(numbers[-1])
        return numbers[-1] < self.numbers[-1] or (known is not None and read_record(self.root, numbers[-1]) != known)

    def read_each(self, numbers: Iterable[int]) -> Iterator[tuple[int, Record | None]]:
        """Yield versions with their records, as :meth:`read` returns them, and read more and more of them ahead."""
        rest, ahead = list(numbers), 1
        while rest:
            several, rest = rest[:ahead], rest[ahead:]
            if len(several) > 1:
                self._read_ahead([number for number in several if number not in self._records])
            yield from ((number, self.read(number)) for number in several)
            ahead = min(2 * ahead, REQUESTS)

    def _read_ahead(self, numbers: list[int]) -> None:
        def read(number: int) -> Record | None:
            with contextlib.suppress(MLSQLError):  # raised again if somebody needs this one
                return read_record(self.root, number)
            return None

        for number, record in zip(numbers, map_reads(self.root, read, numbers), strict=True):
            if record is not None:
                self._records[number] = record

    def read(self, number: int) -> Record | None:
        """Return the record of a version; None for one that is unfinished, or was pruned."""
        if number not in self._records and number not in self._unfinished:
            record = read_record(self.root, number)
            if record is None:
                self._unfinished.add(number)
            else:
                self._records[number] = record
        return self._records.get(number)


class VersionSearch:
    """A search for one version. Each call reads only the records that are new since the call before."""

    def __init__(self, condition: VersionCondition) -> None:
        self.condition = condition
        self._generation = -1
        self._start()

    def _start(self) -> None:
        self._found: Manifest | None = None  # the newest version that is good enough
        self._low: Manifest | None = None  # the newest one that is not
        self._failure: FailureRecord | None = None  # the newest failure of the awaited training
        self._newest = -1
        self._unfinished: list[int] = []

    def answer(self, watch: VersionWatch) -> Answer:
        """Return what the waiting task has to do, after the last look of ``watch``."""
        self._update(watch)
        path, low, failure = watch.root.uri, self._low, self._failure
        if self._found is not None:
            return {"status": "success", "result": to_xcom(self._found.result(path))}
        if failure is not None and (low is None or failure.version > low.version):
            tails = {group: list(tail) for group, tail in failure.tails.items()}
            return to_answer(TrainingFailed(failure.message, model_path=path, version=failure.version, tails=tails))
        if low is None:
            return {"status": "waiting", "message": f"No such version in {path} yet"}
        message = self.condition.explain_shortfall(low, path)
        if self.condition.on_low_score == "fail":
            return to_answer(ScriptFailed(message, model_path=path, version=low.version))
        if self.condition.on_low_score == "skip":
            return {"status": "skipped", "message": message}
        return {"status": "waiting", "message": f"{message}; waiting for a better one"}

    def _update(self, watch: VersionWatch) -> None:
        if watch.generation != self._generation:
            self._start()
            self._generation = watch.generation
        condition = self.condition
        oldest = max(condition.min_version or 0, self._found.version if self._found else 0)
        unfinished: list[int] = []
        numbers = [*self._unfinished, *watch.numbers[bisect_right(watch.numbers, self._newest) :]]
        for number, record in watch.read_each(number for number in reversed(numbers) if number >= oldest):
            if record is None:
                unfinished.insert(0, number)
            elif not condition.matches(record):
                continue
            elif isinstance(record, FailureRecord):
                if condition.names_a_training and (self._failure is None or number > self._failure.version):
                    self._failure = record
            elif condition.is_good(record):
                self._found = record
                break
            elif self._low is None or number > self._low.version:
                self._low = record
        self._newest = watch.numbers[-1] if watch.numbers else -1
        self._unfinished = unfinished


def to_answer(error: MLSQLError) -> Failed:
    """Return the answer that is an error."""
    return {"status": "failed", "error": errors.to_json(error)}


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """How far a task that wants every new version has come.

    :param newest: numbers up to this one are done, except the ``unfinished``: of two trainings the one that claimed its number
        first may publish last.
    :param published: the latest time of publication so far. If a new store starts at version 1, this tells new versions from
        old ones.
    """

    newest: int = 0
    published: datetime | None = None
    unfinished: tuple[int, ...] = ()


@dataclass(frozen=True)
class NewVersions:
    """The new versions, oldest first, and the checkpoint after them."""

    versions: tuple[Manifest, ...]
    checkpoint: Checkpoint


def find_new_versions(watch: VersionWatch, condition: VersionCondition, checkpoint: Checkpoint | None) -> NewVersions:
    """Return the versions since ``checkpoint``; without one, none, and the checkpoint to begin with."""
    last = checkpoint or Checkpoint()
    if not watch.numbers:
        return NewVersions((), last)  # unmounted storage looks empty for a moment; that is not a new store
    newest = watch.numbers[-1]
    is_everything_new = checkpoint is None or newest < last.newest
    numbers = [n for n in watch.numbers if is_everything_new or n > last.newest or n in last.unfinished]
    records = dict(watch.read_each(numbers))
    published = [record for record in records.values() if isinstance(record, Manifest)]
    after = last.published if newest < last.newest else None
    fresh = [] if checkpoint is None else [each for each in published if after is None or each.created > after]
    reached = Checkpoint(
        newest=newest,
        published=max([each.created for each in published] + ([last.published] if last.published else []), default=None),
        unfinished=tuple(number for number, record in records.items() if record is None),
    )
    return NewVersions(tuple(each for each in fresh if condition.matches(each) and condition.is_good(each)), reached)
