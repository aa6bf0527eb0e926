"""One fit group: on an executor with the data and the output of its training run, in ``mlsql fit`` with those of a folder."""

from __future__ import annotations

import shutil
import socket
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from mlsql_runtime import codec
from mlsql_runtime.errors import MLSQLError
from mlsql_runtime.event_channel import EventAddress, EventClient
from mlsql_runtime.events import ScriptEvent
from mlsql_runtime.feed.interface import LocalTable, PreparedFiles, PreparedTable, ScriptTable
from mlsql_runtime.plan import NO_ACCESS, PythonEnv, StorageAccess
from mlsql_runtime.result import FitStatus
from mlsql_runtime.script.bundle import ScriptBundle
from mlsql_runtime.script.process import LOG, ScriptOutcome, run_script, scratch_dir
from mlsql_runtime.script.protocol import ScriptInput
from mlsql_runtime.script.resources import download_resources, split_resources
from mlsql_runtime.spark_errors import errors_for_driver
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store import layout
from mlsql_runtime.store.curve_files import encode_curves
from mlsql_runtime.store.manifest import FitRecord
from mlsql_runtime.store.signature import Signature
from mlsql_runtime.training.mlsql_meta_tables import write_parquet

if TYPE_CHECKING:
    from mlsql_runtime.preflight.hosts import PreflightOutcome

DATA, VALIDATE, MODEL = "data", "validate", "model"  # names in a group's folder
SAMPLES = "samples"  # beside model and log in a group's output
SAMPLE_ROWS = 5


@dataclass(frozen=True, kw_only=True)
class Group:
    """A fit group: the parameters of one run of the training script.

    ``model_path``, ``signature`` and ``columns`` are those of its :class:`ScriptInput`.
    """

    alg_index: int
    fit_params: Mapping[str, str]
    python: PythonEnv
    model_path: str
    task_cpus: int = 1  # the default of spark.task.cpus
    signature: Signature | None = None
    columns: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class GroupResult:
    """The result of a group. ``tail`` is the last output of its script.

    ``output`` is the folder of the Spark task attempt, with ``model``, ``log`` and perhaps ``samples`` and curves; None in
    ``mlsql fit``.
    """

    record: FitRecord
    tail: tuple[str, ...]
    output: str | None = None

    @property
    def is_successful(self) -> bool:
        return self.record.status == "success"


@dataclass(frozen=True, kw_only=True)
class GroupTask(Group):
    """A group with its data and the staging folder for its output, as it travels inside a Spark task.

    ``sample_columns`` are those of the few rows that are kept with the version; empty to keep none.
    """

    data: PreparedTable
    validate: PreparedFiles | None
    staging: Location
    events: EventAddress
    hosts: PreflightOutcome
    keep_local_directory: bool
    sample_columns: tuple[str, ...]


def run_group(
    group: Group,
    bundle: ScriptBundle,
    folder: Path,
    data: ScriptTable,
    validate: LocalTable | None,
    on_event: Callable[[ScriptEvent], None],
    access: StorageAccess = NO_ACCESS,
) -> GroupResult:
    """Run the group's script in ``folder``, which keeps its ``model``, its ``log`` and, if it reported metrics, their curves. A
    failure of the script is a result.

    :param on_event: called with the event of every line of the script as it comes.
    :param access: connections to the storage of the group's resources.
    :raises InputError: when a resource does not exist.
    """
    params, resources = split_resources(group.fit_params)
    script_input = ScriptInput(
        role="train",
        fit_params=params,
        system_params=group.python.system_params,
        internal_params={
            "tempModelLocalPath": str(folder / MODEL),
            "resource": download_resources(resources, folder, f"fitParam.{group.alg_index}", access),
            "algIndex": str(group.alg_index),
        },
        data=data,
        validate=validate,
        signature=group.signature,
        columns=group.columns,
        model_path=group.model_path,
    )
    started = datetime.now(timezone.utc)
    outcome = run_script(bundle, script_input, folder, group.python, on_event, group.task_cpus)
    ended = datetime.now(timezone.utc)
    lost: list[str] = []
    if outcome.problem is None:
        try:
            lost = _copy_linked_folders(folder / MODEL)
        except OSError as error:
            outcome = replace(outcome, problem=f"a folder to which its model has a link cannot be copied: {_reason(error)}")
    status, message = _assess(outcome, folder / MODEL, lost)
    if curves := outcome.report.curves.curves:
        (folder / layout.CURVES).write_bytes(encode_curves({str(group.alg_index): curves}))
    record = FitRecord(
        alg_index=group.alg_index,
        status=status,
        score=outcome.report.score if status == "success" else None,
        metrics=outcome.report.metrics or {},
        message=message,
        params=dict(group.fit_params),
        started=started,
        ended=ended,
        packages=outcome.packages,
    )
    return GroupResult(record=record, tail=outcome.tail)


@errors_for_driver()
def run_group_task(task: GroupTask, bundle: ScriptBundle) -> GroupResult:
    """Run the group on an executor: open its data, run its script, copy the model to the staging folder.

    :raises PreflightFailed: when the executor joined after the preflight, and lacks something.
    """
    from pyspark import TaskContext

    task.hosts.check_this_host()
    task_context = TaskContext.get()
    attempt = task_context.taskAttemptId() if task_context else 0  # no other attempt writes to its output
    scratch = tempfile.gettempdir() if task.keep_local_directory else scratch_dir()  # Spark removes its own folder
    output = task.staging / f"fit-{task.alg_index}-{attempt}"
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix=f"mlsql-fit-{task.alg_index}-", dir=scratch))
        if not task.keep_local_directory:
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
        private = Path(tempfile.mkdtemp(prefix="mlsql-private-", dir=scratch_dir()))  # removed even when the folder is kept
        stack.callback(shutil.rmtree, private, ignore_errors=True)
        events = EventClient(task.events, f"fit {task.alg_index}")
        stack.callback(events.close)
        data = task.data.open(folder / DATA, task.keep_local_directory, private, task.alg_index)
        validate = None
        if task.validate is not None:
            validate = task.validate.open(folder / VALIDATE, task.keep_local_directory, private, task.alg_index)
        result = replace(run_group(task, bundle, folder, data, validate, events.send, output.access), output=output.uri)
        if result.is_successful:
            (output / MODEL).upload(folder / MODEL)
            if task.sample_columns:
                _write_samples(data, task.sample_columns, output / SAMPLES)
        (output / LOG).write((folder / LOG).read_bytes())
        if result.record.metrics:
            (output / layout.CURVES).write((folder / layout.CURVES).read_bytes())
        if task.keep_local_directory:
            notes = (result.record.message, f"its folder is kept: {socket.gethostname()}:{folder}")
            result = replace(result, record=replace(result.record, message="; ".join(filter(None, notes))))
        if result.is_successful:  # last: what has this file is complete, and a later attempt may use it
            (output / layout.FINISHED).replace(codec.dumps(result).encode())
        return result


def _copy_linked_folders(model: Path) -> list[str]:
    """Replace links to folders in the model by copies, as links to files are later, and return the links that cannot be kept."""
    lost = []
    links = sorted(path for path in model.rglob("*") if path.is_symlink())
    for link in filter(_leads_nowhere, links):
        link.unlink()
        lost.append(link.relative_to(model).as_posix())
    for link in links:
        if link.is_dir():
            copy = link.with_name(f".{link.name}.copy")
            shutil.copytree(link, copy, ignore=lambda folder, names: [n for n in names if not _is_copyable(Path(folder, n))])
            link.unlink()
            copy.rename(link)
    return lost


def _is_copyable(path: Path) -> bool:
    """Return whether a path is a file or a folder, and not a pipe, a device, or a link to nothing or to a folder around it."""
    return not _leads_nowhere(path) and (path.is_file() or path.is_dir())


def _reason(error: OSError) -> str:
    """Return the first of the errors of copytree, which carries on after an error."""
    return str(error.args[0][0][-1]) if isinstance(error, shutil.Error) else str(error)


def _leads_nowhere(link: Path) -> bool:
    """Return whether a path is a link to nothing, or to a folder in which it is itself."""
    return link.is_symlink() and (not link.exists() or link.resolve() in {folder.resolve() for folder in link.parents})


def _assess(outcome: ScriptOutcome, model: Path, lost: Sequence[str]) -> tuple[FitStatus, str | None]:
    """Return the group's status, and one sentence about it if there is something to know.

    :param lost: links in the model that lead nowhere.
    """
    notes = [outcome.problem] if outcome.problem else []
    status: FitStatus = "timeout" if outcome.timed_out else "failed" if outcome.problem else "success"
    if status == "success" and not any(path.is_file() for path in model.rglob("*")):
        status = "failed"
        notes.append(
            "it wrote a file to tempModelLocalPath, which is the name of a folder: write files into it"
            if model.is_file()
            else "it wrote no model: tempModelLocalPath was empty when it ended (save with mlsql_model.sk_save_model)"
        )
    if status == "success" and outcome.report.score_lines == 0:
        notes.append("it printed no mlsql_validation_score, so it has no score")
    if status == "success" and lost:
        notes.append(f"its model has links that lead nowhere, or into themselves, and are not kept: {', '.join(lost)}")
    notes.extend(outcome.notes)
    return status, "; ".join(notes) or None


def _write_samples(data: ScriptTable, columns: Sequence[str], place: Location) -> None:
    """Write a few rows of features and labels, on which functions of this version are tried."""
    import pyarrow as pa

    from mlsql_runtime.feed.reader import read_arrow, rebatch

    try:
        first = next(rebatch(read_arrow(data, columns), SAMPLE_ROWS))
    except (MLSQLError, OSError, pa.ArrowException):
        return  # a format or a compression that only the script reads
    write_parquet(first, place)
