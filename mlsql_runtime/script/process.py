"""Run a user's script in a child process: its own folder, live output, a tail for errors, and nothing left at the end."""

from __future__ import annotations

import codecs
import json
import os
import signal
import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO

from mlsql_runtime import HELPERS, codec
from mlsql_runtime.events import LogLine, ScriptEvent
from mlsql_runtime.plan import PythonEnv
from mlsql_runtime.script.bundle import ScriptBundle
from mlsql_runtime.script.child_process import PACKAGE, run_supervised
from mlsql_runtime.script.data_request import WriteFiles, answering_requests
from mlsql_runtime.script.environments import provided_interpreter
from mlsql_runtime.script.interpreter import inherited_variables
from mlsql_runtime.script.package_report import read_package_report
from mlsql_runtime.script.protocol import INPUT_VARIABLE, ScriptAnswers, ScriptInput
from mlsql_runtime.script.thread_limits import is_startup_notice, thread_variables

TAIL_LINES = 100
TAIL_CHARACTERS = 32 << 10
LOG_CHARACTERS = 8 << 20  # kept from the beginning of a script's output; the last lines are kept too
LINE_BYTES = 16 << 10


@dataclass(frozen=True)
class Outcome:
    """How the script ended. ``problem`` is None for a good end, else one sentence; ``notes`` are worth knowing either way.

    ``packages`` are Python and what the script imported, with their versions; empty when it ended without telling.
    """

    problem: str | None
    timed_out: bool
    notes: tuple[str, ...]
    answers: ScriptAnswers
    tail: tuple[str, ...]
    packages: Mapping[str, str] = field(default_factory=dict)


def scratch_dir() -> str:
    """Where executors keep temporary files: the folder ``MLSQL_SCRATCH``, or Spark's own local folder, else the system's."""
    if named := os.environ.get("MLSQL_SCRATCH"):
        return os.path.abspath(named)
    spark = os.environ.get("SPARK_EXECUTOR_DIRS") or os.environ.get("SPARK_LOCAL_DIRS") or ""
    first = spark.replace(":", ",").split(",")[0]
    return first if first and os.access(first, os.W_OK) else tempfile.gettempdir()


def _runtime_path(folder: Path) -> str:
    """Where the child finds the runtime and the helper packages, and nothing else of this interpreter's packages."""
    root = PACKAGE.parent
    if not root.is_dir():
        return str(root)
    path = folder / "runtime"
    path.mkdir()
    for name in (PACKAGE.name, *HELPERS):
        (path / name).symlink_to(root / name)
    return str(path)


def _environment(python: PythonEnv, folder: Path, input_file: Path, task_cpus: int) -> dict[str, str]:
    seed = {} if python.seed is None else {"PYTHONHASHSEED": str(python.seed)}
    env = thread_variables(task_cpus) | inherited_variables(python) | seed | dict(python.envs)
    runtime = _runtime_path(folder)
    inherited = [path for path in env.get("PYTHONPATH", "").split(os.pathsep) if path and path != runtime]
    return env | {
        INPUT_VARIABLE: str(input_file),
        "PYTHONPATH": os.pathsep.join([runtime, *inherited]),
        "PYTHONUNBUFFERED": "1",
        "PYTHONIOENCODING": "utf-8:replace",
    }


def run_script(
    bundle: ScriptBundle,
    script_input: ScriptInput,
    folder: Path,
    log_file: Path,
    python: PythonEnv,
    on_event: Callable[[ScriptEvent], None],
    task_cpus: int = 1,
    write_data: WriteFiles | None = None,
) -> Outcome:
    """Run the script to its end, its timeout, or the end of this process.

    :param folder: a folder of its own; the bundle's files go to ``work`` in it, the script's working directory.
    :param log_file: where the whole output goes, capped.
    :param on_event: called with the event of every line as it comes; a library's notices at its start are left out.
    :param write_data: writes the files of ``tempDataLocalPath`` once the script asks for them; None when they exist already.
    """
    workdir = folder / "work"
    entry = bundle.write_to(workdir)
    input_file = folder / "input.json"
    input_file.touch(mode=0o600)
    status_file, packages_file = folder / "status.json", folder / "packages.json"
    request = folder / "data.request"
    script_input = replace(
        script_input, packages_file=str(packages_file), data_request=str(request) if write_data is not None else None
    )
    input_file.write_text(codec.dumps(script_input), encoding="utf-8")
    answers = ScriptAnswers()
    tail: deque[str] = deque(maxlen=TAIL_LINES)
    with ExitStack() as stack:
        interpreter = stack.enter_context(provided_interpreter(python, lambda line: on_event(LogLine(line))))
        if write_data is not None:
            stack.enter_context(answering_requests(request, write_data))
        command = [interpreter, *python.flags, str(entry.relative_to(workdir))]
        command += bundle.command_line(script_input.params.get("fitParam", {}))
        env = _environment(python, folder, input_file, task_cpus)
        output = stack.enter_context(run_supervised(command, status_file, python.timeout, workdir, env))
        log = stack.enter_context(CappedLog(log_file))
        for line in _lines(output):
            log.write(line)
            if not is_startup_notice(line):
                event = answers.read(line)
                tail.append(event.text)
                on_event(event)
    return replace(_outcome(status_file, python, answers, _capped(tail)), packages=read_package_report(packages_file))


def _capped(tail: deque[str]) -> tuple[str, ...]:
    """The last lines that together are not too much for an error."""
    kept: list[str] = []
    room = TAIL_CHARACTERS
    for line in reversed(tail):
        room -= len(line) + 1
        if room < 0:
            break
        kept.append(line)
    return tuple(reversed(kept))


def _lines(stream: IO[bytes]) -> Iterator[str]:
    """The lines; longer ones in pieces of LINE_BYTES, none of which ends within a character."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    while raw := stream.readline(LINE_BYTES):
        yield decoder.decode(raw, final=raw.endswith(b"\n")).rstrip("\r\n")
    if rest := decoder.decode(b"", final=True):
        yield rest


def _outcome(status_file: Path, python: PythonEnv, answers: ScriptAnswers, tail: tuple[str, ...]) -> Outcome:
    notes = [answers.warning] if answers.warning else []
    if not status_file.exists():
        last = f": {tail[-1]}" if tail else ""
        return Outcome(f"its supervisor was killed or could not start it{last}", False, tuple(notes), answers, tail)
    status: Mapping[str, object] = json.loads(status_file.read_text(encoding="utf-8"))
    left = status["left"]
    if isinstance(left, list) and left:
        names = ", ".join(f"{pid} ({command})" for pid, command in left)
        notes.append(f"it left {len(left)} process{'es' if len(left) > 1 else ''} running, ended now: {names}")
    code = status["exit_code"]
    timed_out = status["ended"] == "timeout"
    problem = None
    if timed_out:
        problem = f"it ran longer than its timeout of {python.timeout:g} s and was ended"
    elif isinstance(code, int) and code < 0:
        problem = f"it was killed by {_signal_name(-code)}"
    elif code != 0:
        problem = f"it ended with exit code {code}{_exception(tail)}"
    return Outcome(problem, timed_out, tuple(notes), answers, tail)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return f"signal {number}"


def _exception(tail: tuple[str, ...]) -> str:
    """The last line of a traceback at the end of the output, which is the exception and its message."""
    if any(line.startswith("Traceback (most recent call last)") for line in tail):
        last = next((line for line in reversed(tail) if line.strip()), "")
        return f": {last}"
    return ""


class CappedLog:
    """A log file that keeps the beginning and the end of what is written to it."""

    def __init__(self, path: Path, limit: int = LOG_CHARACTERS) -> None:
        self._path, self._room = path, limit
        self._tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._left_out = 0

    def __enter__(self) -> CappedLog:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._path.open("w", encoding="utf-8")
        return self

    def write(self, line: str) -> None:
        if self._room > 0:
            self._room -= len(line) + 1
            self._file.write(line + "\n")
        else:
            if len(self._tail) == TAIL_LINES:
                self._left_out += len(self._tail[0]) + 1
            self._tail.append(line)

    def __exit__(self, *_: object) -> None:
        if self._left_out:
            self._file.write(f"… {self._left_out} characters left out …\n")
        self._file.writelines(line + "\n" for line in self._tail)
        self._file.close()
