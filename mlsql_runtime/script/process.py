"""Run a user's script in a child process: in its own folder, with live output, and with nothing left at its end."""

from __future__ import annotations

import os
import signal
import tempfile
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

from mlsql_runtime import HELPERS, codec, script
from mlsql_runtime.events import LogLine, ScriptEvent
from mlsql_runtime.plan import PythonEnv
from mlsql_runtime.script.bundle import ScriptBundle
from mlsql_runtime.script.data_request import answering_requests
from mlsql_runtime.script.environments import provided_interpreter
from mlsql_runtime.script.interpreter import inherited_variables
from mlsql_runtime.script.output import CappedLog, Tail, is_startup_notice
from mlsql_runtime.script.output_lines import read_output
from mlsql_runtime.script.package_report import read_package_report
from mlsql_runtime.script.protocol import INPUT_VARIABLE, ScriptInput, ScriptReport
from mlsql_runtime.script.supervisor import PACKAGE, read_status, run_supervised
from mlsql_runtime.script.task_resources import assigned_resources, device_variables
from mlsql_runtime.script.thread_limits import thread_variables

# Files in a script's folder: its output, how it ended, the exception that ended it, the packages that it imported.
LOG, STATUS, EXCEPTION, PACKAGES = "log", "status.json", "exception.json", "packages.json"
START = "start.py"
_LOCAL_FOLDERS = ("SPARK_EXECUTOR_DIRS", "SPARK_LOCAL_DIRS", "LOCAL_DIRS")
_SHOWN = 2000  # characters of an exception, more than start.py writes


@dataclass(frozen=True)
class ScriptOutcome:
    """How a script ended.

    ``problem`` is None for a good end, else one sentence. ``notes`` are worth knowing either way. ``tail`` is the last output.
    ``packages`` are Python and the packages that the script imported, with versions; empty when it ended without a report.
    """

    problem: str | None
    timed_out: bool
    notes: tuple[str, ...]
    report: ScriptReport
    tail: tuple[str, ...]
    packages: Mapping[str, str]


def scratch_dir() -> str:
    """Return the folder for temporary files of executors: ``MLSQL_SCRATCH``, Spark's own local folder, or the system's.

    A driver in a container of YARN has that of the container in ``LOCAL_DIRS``.
    """
    if named := os.environ.get("MLSQL_SCRATCH"):
        return os.path.abspath(named)
    spark = next(filter(None, map(os.environ.get, _LOCAL_FOLDERS)), "")
    first = spark.replace(":", ",").split(",")[0]
    return first if first and os.access(first, os.W_OK) else tempfile.gettempdir()


def run_script(
    bundle: ScriptBundle,
    script_input: ScriptInput,
    folder: Path,
    python: PythonEnv,
    on_event: Callable[[ScriptEvent], None],
    task_cpus: int = 1,
) -> ScriptOutcome:
    """Run the script to its end, its timeout, or the end of this process.

    :param folder: a folder of its own; the bundle's files are written to ``work`` in it, the script's working directory, and the
        whole output, up to a limit, to ``log``.
    :param on_event: called with the event of every line as it comes, except notices that libraries print when they start.
    :param task_cpus: the number of cores for numeric libraries.
    """
    workdir = folder / "work"
    entry = bundle.write_to(workdir)
    data, request = script_input.data, folder / "data.request"
    write_files = data.file_writer if data else None
    script_input = replace(
        script_input,
        packages_file=str(folder / PACKAGES),
        data_request=str(request) if write_files is not None else None,
        internal_params=_with_project(script_input, workdir),
        project=str(workdir),
        resources=assigned_resources(),
    )
    input_file = folder / "input.json"
    input_file.touch(mode=0o600)
    input_file.write_text(codec.dumps(script_input), encoding="utf-8")
    report, tail = ScriptReport(), Tail()
    sending = threading.Lock()

    def send(event: ScriptEvent) -> None:
        with sending:
            on_event(event)

    with ExitStack() as stack:
        interpreter = stack.enter_context(provided_interpreter(python, lambda line: send(LogLine(line))))
        (folder / START).write_bytes((resources.files(script) / START).read_bytes())
        command = [interpreter, *python.flags, str(folder / START), str(folder / EXCEPTION), str(entry.relative_to(workdir))]
        command += bundle.command_line(script_input.fit_params)
        env = _environment(python, folder, input_file, task_cpus, device_variables(script_input.resources))
        running = stack.enter_context(run_supervised(command, folder / STATUS, python.timeout, workdir, env))
        if data is not None and write_files is not None:

            def write(is_cancelled: Callable[[], bool]) -> None:
                send(LogLine(f"writing {data.rows} rows as JSON files to {data.local_path}, for which the script asks"))
                with running.pause_timeout():
                    write_files(is_cancelled)

            stack.enter_context(answering_requests(request, write))
        log = stack.enter_context(CappedLog(folder / LOG))
        for part in read_output(running.output):
            event = LogLine("") if part.line is None else report.read(part.line)
            if part.shown is None:
                continue
            log.write(part.shown)
            if not is_startup_notice(part.shown):
                event = LogLine(part.shown) if isinstance(event, LogLine) else event
                tail.add(event.text)
                send(event)
    return _outcome(folder, bundle, python, report, tail.lines())


def _with_project(script_input: ScriptInput, workdir: Path) -> Mapping[str, Any]:
    """Return the internal parameters; those of predict scripts name the folder of the script's project, as MLSQL's did."""
    params = script_input.internal_params
    if script_input.role == "train":
        return params
    return {**params, "resource": {**params.get("resource", {}), "mlFlowProjectPath": str(workdir)}}


def _environment(python: PythonEnv, folder: Path, input_file: Path, task_cpus: int, devices: dict[str, str]) -> dict[str, str]:
    seed = {} if python.seed is None else {"PYTHONHASHSEED": str(python.seed)}
    env = thread_variables(task_cpus) | inherited_variables(python) | devices | seed | dict(python.envs)
    runtime = _runtime_path(folder)
    inherited = [path for path in env.get("PYTHONPATH", "").split(os.pathsep) if path and path != runtime]
    return env | {
        INPUT_VARIABLE: str(input_file),
        "PYTHONPATH": os.pathsep.join([runtime, *inherited]),
        "PYTHONUNBUFFERED": "1",
        "PYTHONIOENCODING": "utf-8:replace",
    }


def _runtime_path(folder: Path) -> str:
    """Return a path with the runtime and the helper packages, and with no other package of this interpreter."""
    root = PACKAGE.parent
    if not root.is_dir():
        return str(root)
    path = folder / "runtime"
    path.mkdir()
    for name in (PACKAGE.name, *HELPERS):
        (path / name).symlink_to(root / name)
    return str(path)


def _outcome(folder: Path, bundle: ScriptBundle, python: PythonEnv, report: ScriptReport, tail: tuple[str, ...]) -> ScriptOutcome:
    notes = [report.warning] if report.warning else []
    problem, timed_out = None, False
    status = read_status(folder / STATUS)
    if status is None:
        problem = f"its supervisor was killed or could not start it{f': {tail[-1]}' if tail else ''}"
    else:
        if left := status.left:
            names = ", ".join(f"{process[0]} ({process[-1]})" for process in left)
            notes.append(f"it left {len(left)} process{'es' if len(left) > 1 else ''} running, ended now: {names}")
        code, timed_out = status.exit_code, status.ended == "timeout"
        if timed_out:
            problem = f"it ran longer than its timeout of {python.timeout:g} s and was ended"
        elif code is not None and code < 0:
            problem = f"it was killed by {_signal_name(-code)}"
        elif code != 0:
            problem = f"it ended with exit code {code}{read_exception(folder / EXCEPTION, bundle)}"
    return ScriptOutcome(problem, timed_out, tuple(notes), report, tail, read_package_report(folder / PACKAGES))


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return f"signal {number}"


@dataclass(frozen=True)
class ExceptionRecord:
    """The exception that ended a script, as ``start.py`` writes it: its text, and the line of the script that raised it."""

    text: str
    place: str | None


def read_exception(path: Path, bundle: ScriptBundle) -> str:
    """Return the exception that ended a script, as the end of a sentence; empty if there was none, or no record of it.

    Users have no use for lines of a built-in script.
    """
    record = codec.read_or_none(ExceptionRecord, path)
    if record is None:
        return ""
    place = record.place if bundle.name is None else None
    return f": {record.text[:_SHOWN]}" + (f" ({place[:_SHOWN]})" if place else "")
