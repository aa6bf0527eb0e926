"""What an interrupted attempt of a training had done, so that the next one trains only what is missing.

In its staging folder stand ``progress.json``, once the data are there, and beside the output of each group that
succeeded ``finished.json``, written last. Both count for the next attempt of the same training only: the same job,
statements and script.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone

from mlsql_runtime import codec
from mlsql_runtime.errors import FormatError, StorageError
from mlsql_runtime.events import log
from mlsql_runtime.feed.files.export import ExportedTable, written_as
from mlsql_runtime.feed.table_facts import TableFacts
from mlsql_runtime.plan import FileFeed
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store import layout
from mlsql_runtime.store.staging import Staging
from mlsql_runtime.training.group_task import FitOutput

RESUME_VERSION = 1
_OF_NO_USE = "train: what an earlier attempt left is of no use"


@dataclass(frozen=True, kw_only=True)
class StagedTable:
    """A table in files. How it was written stands in the statement, since options of writers may be secret."""

    uri: str
    facts: TableFacts

    @classmethod
    def of(cls, exported: ExportedTable | None) -> StagedTable | None:
        return None if exported is None else cls(uri=exported.place.uri, facts=exported.facts)

    def exported(self, feed: FileFeed) -> ExportedTable:
        return ExportedTable(Location.of(self.uri), *written_as(feed), self.facts)


@dataclass(frozen=True, kw_only=True)
class Data:
    """What the groups of an attempt were given: a table in files, or through Kafka one that ``content`` tells from others."""

    table: StagedTable | None
    content: str | None
    validate: StagedTable | None
    feature: str | None


@dataclass(frozen=True, kw_only=True)
class Progress:
    """An attempt that has its data. ``environment`` are the versions of Python and packages that its groups run with."""

    training: str
    data: Data
    environment: Mapping[str, str]
    created: datetime = field(default_factory=lambda: datetime.now(timezone.utc))
    resume_version: int = RESUME_VERSION


@dataclass(frozen=True)
class Finished:
    """A group that need not be trained: its answer, and the staging folder that has its output."""

    output: FitOutput
    staging: Location


@dataclass(frozen=True)
class Earlier:
    """The data of interrupted attempts, and the groups that were trained on them, by ``alg_index``."""

    data: Data
    finished: Mapping[int, Finished]


def write_progress(stage: Staging, training: str, data: Data, environment: Mapping[str, str]) -> None:
    """Note what this attempt's groups are given."""
    progress = Progress(training=training, data=data, environment=environment)
    (stage.folder / layout.PROGRESS).replace(codec.dumps(progress).encode())


def find_earlier(stage: Staging, training: str, environment: Mapping[str, str]) -> Earlier | None:
    """What interrupted attempts of this training have left, if their data are still there; groups only if they ran with the same
    Python and packages.
    """
    noted = [(folder, progress) for folder in stage.earlier if (progress := _read_progress(folder, training)) is not None]
    if not noted:
        return None
    data = max((progress for _, progress in noted), key=lambda progress: progress.created).data
    if not all(table is None or Location.of(table.uri).exists() for table in (data.table, data.validate)):
        return None
    alike = [folder for folder, progress in noted if (progress.data, progress.environment) == (data, environment)]
    finished = {index: group for folder in alike for index, group in _finished(folder)}
    return Earlier(data, finished)


def _read_progress(folder: Location, training: str) -> Progress | None:
    """What an attempt noted; None when it is of another training, or of another version of this software."""
    place = folder / layout.PROGRESS
    try:
        text = place.read_or_none()
        progress = None if text is None else codec.loads(Progress, text, place.uri, version=("resume_version", RESUME_VERSION))
    except (FormatError, StorageError) as error:
        log(f"{_OF_NO_USE}: {error}")
        return None
    return progress if progress is not None and progress.training == training else None


def _finished(folder: Location) -> Iterator[tuple[int, Finished]]:
    for name in folder.list_names():
        place = folder / name / layout.FINISHED
        try:
            text = place.read_or_none() if name.startswith("fit-") else None
            output = None if text is None else codec.loads(FitOutput, text, place.uri)
            index = None if output is None else output.read().alg_index
        except (FormatError, StorageError) as error:
            log(f"{_OF_NO_USE}: {error}")
            continue
        if output is not None and index is not None:
            yield index, Finished(output, folder)
