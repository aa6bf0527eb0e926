"""One fit group, on an executor: bring the data, run the script, leave its model in the staging folder."""

from __future__ import annotations

import io
import shutil
import socket
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from mlsql_runtime import codec
from mlsql_runtime.errors import InputError, MLSQLError
from mlsql_runtime.feed.export import Exported
from mlsql_runtime.feed.send import Sent
from mlsql_runtime.feed.table_files import TableFiles
from mlsql_runtime.feed.table_topic import TableTopic
from mlsql_runtime.live import LiveAddress, LiveClient
from mlsql_runtime.plan import RESOURCE, PythonEnv
from mlsql_runtime.result import FitStatus
from mlsql_runtime.script.bundle import ScriptBundle
from mlsql_runtime.script.process import Outcome, run_script, scratch_dir
from mlsql_runtime.script.protocol import PROTOCOL_VERSION, ScriptInput
from mlsql_runtime.store.location import Location
from mlsql_runtime.store.manifest import FitRecord

SAMPLE_ROWS = 5


@dataclass(frozen=True)
class FitTask:
    """Everything that a group needs, as it travels inside the Spark task."""

    alg_index: int
    fit_params: Mapping[str, str]
    bundle: ScriptBundle
    python: PythonEnv
    system_params: Mapping[str, str]
    data: Exported | Sent
    validate: Exported | None
    staging: Location
    live: LiveAddress
    task_cpus: int
    keep_local_directory: bool
    sample_column: str | None

    def output(self, attempt: int) -> Location:
        """Where this attempt leaves ``model/``, ``log`` and perhaps ``samples``; no other attempt writes there."""
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
    live = LiveClient(task.live, f"fit {task.alg_index}")
    try:
        if isinstance(task.data, Sent):
            data: TableFiles | TableTopic = task.data.bring(private, task.alg_index)
        else:
            data = task.data.bring(folder / "data")
        validate = None if task.validate is None else task.validate.bring(folder / "validate")
        script_input = ScriptInput(
            protocol_version=PROTOCOL_VERSION,
            role="train",
            params=_params(task, folder, data),
            data=data,
            validate=validate,
        )
        started = datetime.now(timezone.utc)
        outcome = run_script(task.bundle, script_input, folder, folder / "log", task.python, live.send, task.task_cpus)
        ended = datetime.now(timezone.utc)
        model = folder / "model"
        status, message = _judge(outcome, model)
        if status == "success":
            (task.output(attempt) / "model").upload(model)
            if task.sample_column is not None:
                _write_samples(data, task.sample_column, task.output(attempt) / "samples")
        (task.output(attempt) / "log").write((folder / "log").read_bytes())
        if task.keep_local_directory:
            where = f"its folder is kept: {socket.gethostname()}:{folder}"
            message = f"{message}; {where}" if message else where
        record = FitRecord(
            alg_index=task.alg_index,
            status=status,
            score=outcome.answers.score if status == "success" else None,
            metrics=outcome.answers.metrics or {},
            message=message,
            params=dict(task.fit_params),
            started=started,
            ended=ended,
        )
        return FitOutput(codec.dumps(record), attempt, outcome.tail)
    finally:
        live.close()
        shutil.rmtree(private, ignore_errors=True)
        if not task.keep_local_directory:
            shutil.rmtree(folder, ignore_errors=True)


def _params(task: FitTask, folder: Path, data: TableFiles | TableTopic) -> dict[str, dict[str, Any]]:
    own = {key: value for key, value in task.fit_params.items() if not key.startswith(RESOURCE)}
    resources = {}
    for key, uri in task.fit_params.items():
        if key.startswith(RESOURCE):
            name = key[len(RESOURCE) :]
            source, target = Location.of(uri), folder / "resource" / name
            if not source.exists():
                raise InputError(
                    f"fitParam.{task.alg_index}.{key} is {uri}, and there is nothing on {socket.gethostname()}", path=uri
                )
            source.download(target)
            resources[name] = str(target / source.name) if source.is_file() else str(target)
    internal = {
        "tempModelLocalPath": str(folder / "model"),
        "resource": resources,
        "algIndex": str(task.alg_index),
    }
    kafka = {}
    if isinstance(data, TableTopic):
        assert isinstance(task.data, Sent)
        kafka = {"bootstrap.servers": task.data.settings.servers, "topic": data.topic, "group_id": data.group}
    else:
        internal["tempDataLocalPath"] = data.path
    return {"fitParam": own, "kafkaParam": kafka, "internalSystemParam": internal, "systemParam": dict(task.system_params)}


def _judge(outcome: Outcome, model: Path) -> tuple[FitStatus, str | None]:
    """The group's status, and in one sentence what there is to say about it."""
    said = [outcome.problem] if outcome.problem else []
    status: FitStatus = "timeout" if outcome.timed_out else "failed" if outcome.problem else "success"
    if status == "success" and not any(path.is_file() for path in model.rglob("*")):
        status = "failed"
        said.append("it wrote no model: tempModelLocalPath was empty when it ended (save with mlsql_model.sk_save_model)")
    if status == "success" and outcome.answers.score_lines == 0:
        said.append("it printed no mlsql_validation_score, so it has no score")
    said.extend(outcome.notes)
    return status, "; ".join(said) or None


def _write_samples(data: TableFiles | TableTopic, column: str, place: Location) -> None:
    """A few feature vectors, for trying functions that are made from this version."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from mlsql_runtime.feed.reader import read_arrow, rebatch

    try:
        first = next(rebatch(read_arrow(data), SAMPLE_ROWS)).select([column])
    except (MLSQLError, OSError, pa.ArrowException):
        return  # a format or a compression that only the script reads
    buffer = io.BytesIO()
    pq.write_table(first, buffer)
    place.write(buffer.getvalue())
