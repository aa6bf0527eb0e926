"""The work of interrupted attempts of a training, which the next attempt does not repeat.

An attempt's staging folder has ``progress.json`` once its data are prepared, and the output of each group that succeeded has
``finished.json``, written last. Both count only for the next attempt of the same training: the same job, statements and script.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone

from mlsql_runtime import codec
from mlsql_runtime.errors import FormatError, StorageError
from mlsql_runtime.events import log
from mlsql_runtime.feed.table_facts import TableIdentity
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store import layout
from mlsql_runtime.store.sources import Source
from mlsql_runtime.store.staging import Staging
from mlsql_runtime.training.group import GroupResult

RESUME_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class StagedData:
    """The data of an attempt."""

    table: TableIdentity
    validate: TableIdentity | None

    def is_same_as(self, other: StagedData) -> bool:
        """Return whether the data of both attempts are known to be the same."""
        return self == other and self.table.is_known


@dataclass(frozen=True, kw_only=True)
class Progress:
    """An attempt that has its data. ``environment`` are the versions of Python and packages that its groups run with.

    ``sources`` are what the data were read from.
    """

    training: str
    data: StagedData
    sources: tuple[Source, ...]
    environment: Mapping[str, str]
    created: datetime = field(default_factory=lambda: datetime.now(timezone.utc))
    resume_version: int = RESUME_VERSION


@dataclass(frozen=True)
class EarlierAttempts:
    """The data of interrupted attempts, and the results of the groups that succeeded on them, by ``alg_index``.

    ``sources`` are what the data were read from.
    """

    data: StagedData | None = None
    results: Mapping[int, GroupResult] = field(default_factory=dict)
    sources: tuple[Source, ...] = ()

    def sources_of(self, data: StagedData) -> tuple[Source, ...] | None:
        """Return what the data were read from, if they are those of the earlier attempts; by now the tables may hold others."""
        return self.sources if self.data is not None and data.is_same_as(self.data) else None

    def results_on(self, data: StagedData) -> Mapping[int, GroupResult]:
        """Return the results that were trained on the same data."""
        if self.data is None or data.is_same_as(self.data):
            return self.results
        has = "has" if data.table.is_known else "may have"
        log(f"train: the table {has} changed since the earlier attempt; all groups are trained again")
        return {}


def write_progress(
    stage: Staging, training: str, data: StagedData, sources: tuple[Source, ...], environment: Mapping[str, str]
) -> None:
    """Note the data that this attempt's groups are given, and what they were read from."""
    progress = Progress(training=training, data=data, sources=sources, environment=environment)
    (stage.folder / layout.PROGRESS).replace(codec.dumps(progress).encode())


def find_earlier(stage: Staging, training: str, environment: Mapping[str, str]) -> EarlierAttempts:
    """Return what interrupted attempts of this training have left, if their data still exist.

    :param environment: results count only if their groups ran with the same Python and packages.
    """
    noted = [(folder, progress) for folder in stage.earlier if (progress := _read_progress(folder, training)) is not None]
    if not noted:
        return EarlierAttempts()
    newest = max((progress for _, progress in noted), key=lambda progress: progress.created)
    data = newest.data
    places = [table.uri for table in (data.table, data.validate) if table is not None and table.uri is not None]
    if not all(stage.folder.at(uri).exists() for uri in places):
        return EarlierAttempts()
    alike = [folder for folder, progress in noted if (progress.data, progress.environment) == (data, environment)]
    results = {result.record.alg_index: result for folder in alike for result in _read_results(folder)}
    return EarlierAttempts(data, results, newest.sources)


def _read_progress(folder: Location, training: str) -> Progress | None:
    """Return what an attempt noted; None when it is of another training, or of another version of this software."""
    place = folder / layout.PROGRESS
    try:
        text = place.read_or_none()
        progress = None if text is None else codec.loads(Progress, text, place.uri, version=("resume_version", RESUME_VERSION))
    except (FormatError, StorageError) as error:
        _log_unusable(error)
        return None
    return progress if progress is not None and progress.training == training else None


def _read_results(folder: Location) -> Iterator[GroupResult]:
    for name in folder.list_names():
        output = folder / name
        place = output / layout.FINISHED
        try:
            text = place.read_or_none() if name.startswith("fit-") else None
            if text is not None:
                yield replace(codec.loads(GroupResult, text, place.uri), output=output.uri)
        except (FormatError, StorageError) as error:
            _log_unusable(error)


def _log_unusable(error: Exception) -> None:
    log(f"train: the work of an earlier attempt cannot be used: {error}")
