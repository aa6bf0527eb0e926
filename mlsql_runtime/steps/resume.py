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
from mlsql_runtime.feed.export import Exported
from mlsql_runtime.feed.facts import TableFacts
from mlsql_runtime.live import say
from mlsql_runtime.plan import FileFeed
from mlsql_runtime.steps.fit_group import FINISHED, FitOutput
from mlsql_runtime.store.location import Location
from mlsql_runtime.store.staging import Stage

RESUME_VERSION = 1
PROGRESS = "progress.json"


@dataclass(frozen=True, kw_only=True)
class StagedTable:
    """A table in files, as :class:`~mlsql_runtime.feed.export.Exported` says it."""

    uri: str
    feed: FileFeed
    facts: TableFacts

    @classmethod
    def of(cls, exported: Exported | None) -> StagedTable | None:
        return None if exported is None else cls(uri=exported.place.uri, feed=exported.feed, facts=exported.facts)

    def exported(self) -> Exported:
        return Exported(Location.of(self.uri), self.feed, self.facts)


@dataclass(frozen=True, kw_only=True)
class Data:
    """What the groups of an attempt were given: a table in files, or through Kafka one that ``content`` tells from others."""

    table: StagedTable | None
    content: str | None
    validate: StagedTable | None
    feature: str | None


@dataclass(frozen=True, kw_only=True)
class Progress:
    """An attempt that has its data."""

    training: str
    data: Data
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


def write_progress(stage: Stage, training: str, data: Data) -> None:
    """Note what this attempt's groups are given."""
    (stage.folder / PROGRESS).replace(codec.dumps(Progress(training=training, data=data)).encode())


def find_earlier(stage: Stage, training: str) -> Earlier | None:
    """What interrupted attempts of this training have left, if their data are still there."""
    noted = [(folder, progress) for folder in stage.earlier if (progress := _read_progress(folder, training)) is not None]
    if not noted:
        return None
    data = max((progress for _, progress in noted), key=lambda progress: progress.created).data
    if not all(table is None or Location.of(table.uri).exists() for table in (data.table, data.validate)):
        return None
    finished = {index: group for folder, progress in noted if progress.data == data for index, group in _finished(folder)}
    return Earlier(data, finished)


def _read_progress(folder: Location, training: str) -> Progress | None:
    """What an attempt noted; None when it is of another training, or of another version of this software."""
    place = folder / PROGRESS
    try:
        text = place.read_if_there()
        progress = None if text is None else codec.loads(Progress, text, place.uri, version=("resume_version", RESUME_VERSION))
    except (FormatError, StorageError) as error:
        say(f"train: what an earlier attempt left is of no use: {error}")
        return None
    return progress if progress is not None and progress.training == training else None


def _finished(folder: Location) -> Iterator[tuple[int, Finished]]:
    for name in folder.names():
        if name.startswith("fit-") and (text := (folder / name / FINISHED).read_if_there()) is not None:
            output = codec.loads(FitOutput, text, (folder / name / FINISHED).uri)
            yield output.read().alg_index, Finished(output, folder)
