"""The predict statement: run a batch script over a table, once per partition, JSON lines in and JSON lines out."""

from __future__ import annotations

import json
import shutil
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlsql_runtime import codec, errors
from mlsql_runtime.errors import DataError, ScriptFailed
from mlsql_runtime.event_channel import EventAddress, EventClient
from mlsql_runtime.events import log
from mlsql_runtime.feed.decoding.lines import join_lines, read_lines
from mlsql_runtime.feed.files.export import spark_uri
from mlsql_runtime.feed.files.node_copy import application_dir
from mlsql_runtime.handlers.job_lineage import record_model
from mlsql_runtime.handlers.library_versions import warn_of_other_versions
from mlsql_runtime.handlers.training_python import find_training_python, log_what_is_not_kept
from mlsql_runtime.plan import Predict, PythonEnv
from mlsql_runtime.plan.options import format_options
from mlsql_runtime.preflight.host_check import HostNeeds
from mlsql_runtime.preflight.hosts import PreflightOutcome, run_preflight
from mlsql_runtime.scoring.arrow_batching import limit_batch_bytes
from mlsql_runtime.scoring.function_loader import local_model
from mlsql_runtime.scoring.group_signature import find_signature
from mlsql_runtime.script.bundle import ScriptBundle
from mlsql_runtime.script.interpreter import is_default_interpreter
from mlsql_runtime.script.kept_project import read_script
from mlsql_runtime.script.process import run_script, scratch_dir
from mlsql_runtime.script.protocol import ScriptInput
from mlsql_runtime.script.resources import download_resources, find_resources, share_resources
from mlsql_runtime.spark_errors import errors_for_driver
from mlsql_runtime.storage.location import Location
from mlsql_runtime.storage.patterns import escape
from mlsql_runtime.store import layout
from mlsql_runtime.store.manifest import FileEntry
from mlsql_runtime.store.signature import Signature
from mlsql_runtime.store.staging import open_staging
from mlsql_runtime.store.verification import verify_files
from mlsql_runtime.store.versions import choose_fit, open_model_path, read_manifest

if TYPE_CHECKING:
    import pyarrow as pa

    from mlsql_runtime.run_context import RunContext

FAILED = "failed"  # folder of the staging where each failed partition leaves its error


@dataclass(frozen=True, kw_only=True)
class _PartitionTask:
    """The work of every partition, as it travels inside a Spark task. ``run`` is another one for each statement that runs."""

    run: str
    statement: Predict
    python: PythonEnv
    bundle: ScriptBundle
    params: Mapping[str, str]
    resources: Mapping[str, str]
    train_options: Mapping[str, str]
    version_dir: Location
    alg_index: int
    model_files: tuple[FileEntry, ...]
    model_packages: Mapping[str, str]
    signature: Signature | None
    staging: Location
    events: EventAddress
    task_cpus: int
    hosts: PreflightOutcome

    @property
    def script(self) -> str:
        return f"the predict script {self.statement.script_path or self.bundle.entry}"


def predict(statement: Predict, context: RunContext) -> None:
    """Define the result table. The scripts of all partitions have run when this returns.

    :raises ScriptFailed: when a partition's script fails.
    :raises DataError: when a script writes another number of rows than it got, or no script wrote any.
    """
    root = open_model_path(statement.model_path, context.access)
    manifest = read_manifest(root, statement.model_version or context.trained.get(root.uri))
    fit = choose_fit(manifest, statement.alg_index, root.uri)
    bundle = read_script(context.locate_script(statement.script_path), statement.tag, root, manifest)
    record_model(context, root, manifest, fit, "predict", bundle.facts)
    training = find_training_python(root, manifest, context)
    log_what_is_not_kept("predict", statement.python, training, manifest)
    python = statement.python.or_of_training(training)
    if not is_default_interpreter(python) and python.path != statement.python.path:
        log(f"predict: the script runs with {python.path}, as the training of version {manifest.version} did")
    version_dir = layout.version_dir(root, manifest.version)
    files = manifest.files_below(layout.model_dir(fit.alg_index))
    verify_files(version_dir, files)
    params, resources = find_resources(statement.params, bundle, fit.params, "predict", context.access)
    table = context.table(statement.table)
    stage = context.cleanup.enter_context(open_staging(root, context.job_id)).folder
    hosts = run_preflight(context, HostNeeds.of_script(bundle, python), stage)
    warn_of_other_versions(f"predict: {bundle.entry}", fit.packages, [hosts.versions])
    log(f"predict: {bundle.entry} over {statement.table} with model version {manifest.version}, group {fit.alg_index}")
    target = spark_uri(stage / "predicted")
    from pyspark.sql import functions as F

    lines = table.select(F.to_json(F.struct("*"), {"ignoreNullFields": "false"}).alias("value"))
    with context.create_event_server() as server:
        task = _PartitionTask(
            run=uuid.uuid4().hex,
            statement=statement,
            python=python,
            bundle=bundle,
            params=params,
            resources=resources,
            train_options=manifest.train_options,
            version_dir=version_dir,
            alg_index=fit.alg_index,
            model_files=files,
            model_packages=fit.packages,
            signature=find_signature(manifest, fit),
            staging=stage,
            events=server.address,
            task_cpus=context.task_cpus,
            hosts=hosts,
        )

        def run_partition(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            with errors_for_driver():
                yield from _run_partition(task, batches)

        with limit_batch_bytes(context.spark):
            lines.mapInArrow(run_partition, "value string").write.text(target)
    _raise_first_failure(stage)
    if not any(size for name, size in (stage / "predicted").list_files().items() if name.startswith("part-")):
        raise DataError(
            f"predict: table '{statement.table}' gave no rows: it is empty, or the script wrote none", table=statement.table
        )
    context.define(statement.result, context.spark.read.option("mode", "FAILFAST").json(escape(target)))


def _raise_first_failure(stage: Location) -> None:
    failed = sorted(filter(str.isdecimal, (stage / FAILED).list_names()), key=int)
    if failed:
        place = stage / FAILED / failed[0]
        raise errors.from_json(codec.loads(dict[str, Any], place.read(), place.uri))


def _run_partition(task: _PartitionTask, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    from pyspark import TaskContext

    task_context = TaskContext.get()
    partition = task_context.partitionId() if task_context else 0
    folder = Path(tempfile.mkdtemp(prefix=f"mlsql-predict-{partition}-", dir=scratch_dir()))
    try:
        task.hosts.check_this_host()
        rows = _write_lines(batches, folder / "data.json")
        if rows:
            _run_script(task, partition, folder)
            yield from _read_lines(task, folder / "output.json", partition, rows)
    except (ScriptFailed, DataError) as error:  # a failure of the script is a result: Spark would try it again
        (task.staging / FAILED / str(partition)).replace(json.dumps(errors.to_json(error)).encode())
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _write_lines(batches: Iterator[pa.RecordBatch], path: Path) -> int:
    """Write the lines to a file, and return their number."""
    rows = 0
    with path.open("wb") as file:
        for batch in batches:
            rows += batch.num_rows
            file.write(join_lines(batch.column(0)))
    return rows


def _run_script(task: _PartitionTask, partition: int, folder: Path) -> None:
    model = folder / "model"
    shutil.copytree(local_model(task.version_dir, task.alg_index, task.model_files), model)  # the script may change its copy
    script_input = ScriptInput(
        role="predict",
        fit_params=task.bundle.fill(task.params, "fitParam.0"),
        system_params=task.python.system_params,
        options=format_options(task.statement),
        train_options=task.train_options,
        internal_params={
            "tempDataLocalPath": str(folder / "data.json"),
            "tempOutputLocalPath": str(folder / "output.json"),
            "tempModelLocalPath": str(model),
            "partition": str(partition),
            "resource": _bring_resources(task, folder),
        },
        signature=task.signature,
        model_packages=task.model_packages,
    )
    with closing(EventClient(task.events, f"predict {partition}")) as events:
        outcome = run_script(task.bundle, script_input, folder, task.python, events.send, task.task_cpus)
    if outcome.problem:
        raise ScriptFailed(f"{task.script} failed on partition {partition}: {outcome.problem}", tail=list(outcome.tail))


def _bring_resources(task: _PartitionTask, folder: Path) -> dict[str, str]:
    """Copy the resources to this node, once for all partitions if Spark has a folder for that."""
    application, access = application_dir(), task.staging.access
    if application is None or not task.resources:
        return download_resources(task.resources, folder, "fitParam.0", access)
    return share_resources(task.resources, application / f"mlsql-resources-{task.run}", "fitParam.0", access)


def _read_lines(task: _PartitionTask, path: Path, partition: int, expected: int) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa

    if not path.exists():
        raise ScriptFailed(f"{task.script} wrote no tempOutputLocalPath on partition {partition}")
    if not path.is_file():
        raise ScriptFailed(f"{task.script} made a folder of tempOutputLocalPath on partition {partition}; write one file there")
    rows = 0
    with path.open("rb") as file:
        for lines in read_lines(file, f"the output of {task.script} on partition {partition}"):
            rows += len(lines)
            yield pa.RecordBatch.from_arrays([lines], names=["value"])
    if task.statement.same_rows and rows != expected:
        raise DataError(
            f"{task.script} got {expected} rows on partition {partition} and wrote {rows}; "
            "write one line per row, or set same_rows=False (sameRows in MLSQL)",
            expected=expected,
            found=rows,
        )
