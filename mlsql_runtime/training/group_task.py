"""One fit group, on an executor: bring the data, run the script, leave its model in the staging folder."""

from __future__ import annotations

import io
import shutil
import socket
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from mlsql_runtime import codec
from mlsql_runtime.errors import MLSQLError
from mlsql_runtime.events import EventAddress, EventClient
from mlsql_runtime.feed.files.export import ExportedTable
from mlsql_runtime.feed.files.table import TableFiles
from mlsql_runtime.feed.topic.send import SentTable
from mlsql_runtime.feed.topic.table import TableTopic
from mlsql_runtime.script.process import scratch_dir
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store import layout
from mlsql_runtime.store.manifest import FitRecord
from mlsql_runtime.training.group import DATA, LOG, MODEL, VALIDATE, Group, run_group

SAMPLE_ROWS = 5


@dataclass(frozen=True, kw_only=True)
class FitTask(Group):
    """A group, and where its data are and its output goes, as it travels inside the Spark task."""

    data: ExportedTable | SentTable
    validate: ExportedTable | None
    staging: Location
    live: EventAddress
    keep_local_directory: bool
    sample_column: str | None

    def output(self, attempt: int) -> Location:
        """Where this attempt of the Spark task leaves ``model/``, ``log`` and perhaps ``samples``; no other one writes there."""
        return self.staging / f"fit-{self.alg_index}-{attempt}"


@dataclass(frozen=True)
class FitOutput:
    """``record`` is a FitRecord as JSON; ``attempt`` tells which output counts; ``tail`` is the script's last output."""

    record: str
    attempt: int
    tail: tuple[str, ...]

    def read(self) -> FitRecord:
        return codec.loads(FitRecord, self.record, "the answer of a fit group")


def run_fit(task: FitTask, attempt: int) -> FitOutput:
    """Run the group. A script's failure is an answer; only what is not the script's fault raises."""
    scratch = tempfile.gettempdir() if task.keep_local_directory else scratch_dir()  # Spark removes its own folder
    folder = Path(tempfile.mkdtemp(prefix=f"mlsql-fit-{task.alg_index}-", dir=scratch))
    private = Path(tempfile.mkdtemp(prefix="mlsql-private-", dir=scratch_dir()))  # goes, even when the folder stays
    live = EventClient(task.live, f"fit {task.alg_index}")
    try:
        if isinstance(task.data, SentTable):
            data: TableFiles | TableTopic = task.data.bring(private, task.alg_index)
        else:
            data = task.data.bring(folder / DATA, task.keep_local_directory)
        validate = None if task.validate is None else task.validate.bring(folder / VALIDATE, task.keep_local_directory)
        end = run_group(task, folder, data, validate, _kafka_params(task, data), live.send)
        record, output = end.record, task.output(attempt)
        if record.status == "success":
            (output / "model").upload(folder / MODEL)
            if task.sample_column is not None:
                _write_samples(data, task.sample_column, output / "samples")
        (output / "log").write((folder / LOG).read_bytes())
        if task.keep_local_directory:
            where = f"its folder is kept: {socket.gethostname()}:{folder}"
            record = replace(record, message=f"{record.message}; {where}" if record.message else where)
        answer = FitOutput(codec.dumps(record), attempt, end.tail)
        if record.status == "success":
            (output / layout.FINISHED).replace(codec.dumps(answer).encode())
        return answer
    finally:
        live.close()
        shutil.rmtree(private, ignore_errors=True)
        if not task.keep_local_directory:
            shutil.rmtree(folder, ignore_errors=True)


def _kafka_params(task: FitTask, data: TableFiles | TableTopic) -> dict[str, str]:
    """Topic and group, for scripts that read Kafka themselves; empty when the data are files."""
    if not isinstance(data, TableTopic):
        return {}
    assert isinstance(task.data, SentTable)
    return {"bootstrap.servers": task.data.settings.servers, "topic": data.topic, "group_id": data.group}


def _write_samples(data: TableFiles | TableTopic, column: str, place: Location) -> None:
    """A few feature vectors, for trying functions that are made from this version."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from mlsql_runtime.feed.reader import read_arrow, rebatch

    try:
        first = next(rebatch(read_arrow(data, [column]), SAMPLE_ROWS))
    except (MLSQLError, OSError, pa.ArrowException):
        return  # a format or a compression that only the script reads
    buffer = io.BytesIO()
    pq.write_table(first, buffer)
    place.write(buffer.getvalue())
