"""Environments that a node builds from requirements: one for each interpreter and content, kept for later jobs.

::

    <folder>/<key>/                 the environment; complete.json, written last, says how many files it has
            /<key>.lock             shared while the environment is in use, exclusive while it is built or removed
            /<key>.failed           the error of the last build, for tasks that waited for it

``key`` is a digest of the interpreter and the packages. The folder is ``mlsql-environments-<uid>`` below the one that
``MLSQL_ENVIRONMENTS`` names in the node's environment, or the system's temporary one; ``off`` forbids building there.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import socket
import stat
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlsql_runtime import codec
from mlsql_runtime.errors import EnvironmentBuildError, InterpreterError
from mlsql_runtime.plan import PythonEnv, hide_passwords, parse_requirements
from mlsql_runtime.script.interpreter import inherited_variables, interpreter_path
from mlsql_runtime.script.output_lines import read_output
from mlsql_runtime.script.supervisor import PACKAGE, CommandEnd, read_status, run_supervised
from mlsql_runtime.storage.file_lock import FileLock

VARIABLE = "MLSQL_ENVIRONMENTS"
KEPT = 8  # environments of a node; those in use are kept anyway
BUILD_SECONDS = 1800.0
TAIL_LINES = 12
_COMPLETE = "complete.json"
OnLine = Callable[[str], None]


@contextlib.contextmanager
def provided_interpreter(python: PythonEnv, on_line: OnLine, host: str | None = None) -> Iterator[str]:
    """Build the environment of a script if it has requirements; the block has the path of the script's interpreter.

    :param on_line: called with the lines that describe the build.
    :param host: the name of this machine in messages, if it is not its own.
    :raises EnvironmentBuildError: when the environment cannot be built, with the last lines of the tool.
    :raises InterpreterError: when there is no interpreter to build it with.
    """
    base = interpreter_path(python)
    if python.requirements is None:
        yield base
        return
    environment = _Environment(base, parse_requirements(python.requirements), host or socket.gethostname(), on_line)
    with environment.use() as place:
        yield str(place / "bin/python")


@dataclass(frozen=True)
class _Environment:
    """The environment of some packages for an interpreter, on a host."""

    base: str
    packages: tuple[str, ...]
    host: str
    on_line: OnLine

    @contextlib.contextmanager
    def use(self) -> Iterator[Path]:
        """Build the environment unless it is complete; no other task removes it while the block runs."""
        started = time.time()
        place = self._folder() / self._key()
        with contextlib.ExitStack() as stack:
            try:
                lock = stack.enter_context(FileLock(f"{place}.lock"))
            except OSError as error:
                raise self._error(str(error), f"set {VARIABLE} there to a folder that can be written") from error
            self._acquire(lock, place, shared=True)
            while not _is_complete(place):  # in a loop: it may be removed while the kind of the lock changes
                self._acquire(lock, place, shared=False)
                if not _is_complete(place):
                    self._raise_failure_since(started, place)
                    self._build(place)
                    _remove_oldest(place.parent, place.name)
                self._acquire(lock, place, shared=True)
            with contextlib.suppress(OSError):
                os.utime(place / _COMPLETE)  # the environment that was used longest ago is removed first
            yield place

    def _key(self) -> str:
        """Return a digest that changes with the packages, and when the interpreter is replaced."""
        path = os.path.realpath(self.base)
        try:
            state = os.stat(path)
        except OSError:
            raise InterpreterError(
                f"there is no Python interpreter {self.base} on {self.host} to build an environment with; install it there or "
                "correct pythonPath",
                path=self.base,
                host=self.host,
            ) from None
        parts = (os.path.abspath(self.base), path, str(state.st_size), str(state.st_mtime_ns), *self.packages)
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:24]

    def _folder(self) -> Path:
        """Return the node's folder for environments of this user."""
        named = os.environ.get(VARIABLE)
        if named == "off":
            raise self._error(
                f"{VARIABLE} is off there", "bring the environment as an archive, or name an interpreter that has the packages"
            )
        folder = Path(named or tempfile.gettempdir()) / f"mlsql-environments-{os.getuid()}"
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            state = folder.lstat()
        except OSError as error:
            raise self._error(str(error), f"set {VARIABLE} there to a folder that can be written") from error
        if state.st_uid != os.getuid() or not stat.S_ISDIR(state.st_mode):
            raise self._error(
                f"{folder} is not a folder of this user, so that others could change environments in it", "remove it"
            )
        return folder

    def _acquire(self, lock: FileLock, place: Path, shared: bool) -> None:
        message = f"another task builds the environment on {self.host}; waiting for it"
        try:
            lock.acquire(shared, on_wait=lambda: self.on_line(message))
        except OSError as error:
            raise self._error(
                f"{place}.lock cannot be locked ({error})", f"set {VARIABLE} there to a folder on a disk of its own"
            ) from error

    def _raise_failure_since(self, started: float, place: Path) -> None:
        """Raise the error of the build that this task waited for: another try would fail, too."""
        failure = Path(f"{place}.failed")
        if failure.exists() and failure.stat().st_mtime >= started:
            raise EnvironmentBuildError(failure.read_text(encoding="utf-8"), host=self.host)

    def _build(self, place: Path) -> None:
        """Build the environment in its own place, since its files contain their path; ``complete.json`` is written last."""
        shutil.rmtree(place, ignore_errors=True)  # left by a process that was killed
        started = time.monotonic()
        try:
            with tempfile.TemporaryDirectory(prefix="mlsql-build-") as name:
                file = Path(name) / "requirements.txt"
                file.write_text("\n".join(self.packages) + "\n", encoding="utf-8")
                tool, commands = _build_commands(place, self.base, file)
                self.on_line(f"building an environment of {len(self.packages)} requirements on {self.host} with {tool}")
                for command in commands:
                    self._run(command, Path(name))
            facts = {
                "packages": [hide_passwords(line) for line in self.packages],
                "interpreter": self.base,
                "files": _count_files(place),
                "seconds": round(time.monotonic() - started, 1),
            }
            (place / f"{_COMPLETE}.tmp").write_text(json.dumps(facts), encoding="utf-8")
            (place / f"{_COMPLETE}.tmp").replace(place / _COMPLETE)
        except BaseException as error:
            shutil.rmtree(place, ignore_errors=True)
            if isinstance(error, OSError):
                raise _note_failure(place, self._error(str(error), "make room for it there")) from error
            if isinstance(error, EnvironmentBuildError):
                raise _note_failure(place, error) from None
            raise
        self.on_line(f"the environment is built on {self.host} ({facts['seconds']} s)")

    def _run(self, command: list[str], folder: Path) -> None:
        status = folder / "status.json"
        status.unlink(missing_ok=True)
        inherited = {name: value for name, value in inherited_variables(PythonEnv()).items() if not name.startswith("PYTHON")}
        env = inherited | {"PYTHONPATH": str(PACKAGE.parent), "NO_COLOR": "1"}
        tail: deque[str] = deque(maxlen=TAIL_LINES)
        with run_supervised(["env", "-u", "PYTHONPATH", *command], status, BUILD_SECONDS, folder, env) as running:
            for part in read_output(running.output):
                if line := hide_passwords((part.line or "").rstrip()):
                    tail.append(line)
                    self.on_line(line)
        end = read_status(status) or CommandEnd("killed", None, ())
        if end.ended == "exited" and end.exit_code == 0:
            return
        how = f"took longer than {BUILD_SECONDS:.0f} s" if end.ended == "timeout" else f"ended with {end.exit_code}"
        raise self._error(
            f"{os.path.basename(command[0])} {how}: {' | '.join(tail) or 'it printed nothing'}",
            "correct requirements, let the node reach a package index (by its own configuration of pip or uv), or bring the "
            "environment as an archive",
        )

    def _error(self, reason: str, remedy: str) -> EnvironmentBuildError:
        return EnvironmentBuildError(
            f"the environment of requirements cannot be built on {self.host}: {reason}; {remedy}", host=self.host
        )


def _note_failure(place: Path, error: EnvironmentBuildError) -> EnvironmentBuildError:
    """Leave the error for tasks that wait for this build."""
    with contextlib.suppress(OSError):
        Path(f"{place}.failed").write_text(error.message, encoding="utf-8")
    return error


def _is_complete(place: Path) -> bool:
    """Return whether no file is missing. Jobs that clear temporary folders by age remove sources that Python has compiled."""
    files = read_completed_files(place / _COMPLETE)
    return files is not None and _count_files(place) >= files


def read_completed_files(path: Path) -> int | None:
    """Return the number of files of an environment when it was complete; None when it never was."""
    facts = codec.read_or_none(dict[str, Any], path) or {}
    files = facts.get("files")
    return files if isinstance(files, int) else None


def _count_files(place: Path) -> int:
    """Return the number of files, without compiled ones and those at the top."""
    return sum(len(files) for folder, _, files in os.walk(place) if not folder.endswith("__pycache__") and folder != str(place))


def _build_commands(place: Path, base: str, file: Path) -> tuple[str, list[list[str]]]:
    """Return the tool and its commands: uv if the node has it, which is many times faster, else pip."""
    python = str(place / "bin/python")
    beside = [os.path.dirname(sys.executable), os.path.dirname(base)]
    uv = shutil.which("uv", path=os.pathsep.join([*beside, os.environ.get("PATH", os.defpath)]))
    if uv is not None:
        install = [uv, "pip", "install", "--python", python, "--requirement", str(file)]
        return "uv", [[uv, "venv", "--quiet", "--python", base, str(place)], install]
    install = [python, "-m", "pip", "install", "--no-input", "--disable-pip-version-check", "--requirement", str(file)]
    return "pip", [[base, "-m", "venv", str(place)], install]


def _remove_oldest(folder: Path, but: str) -> None:
    """Remove the environments that were used longest ago, and incomplete ones, unless they are in use."""
    places = [path for path in folder.iterdir() if path.is_dir() and path.name != but]
    used = {place: _used_at(place) for place in places}
    kept = sorted((place for place in places if used[place]), key=lambda place: used[place], reverse=True)[: KEPT - 1]
    for place in places:
        if place not in kept:
            with contextlib.suppress(OSError), FileLock(f"{place}.lock") as lock:
                if lock.try_acquire():
                    (place / _COMPLETE).unlink(missing_ok=True)  # first, so that no task uses an incomplete environment
                    shutil.rmtree(place, ignore_errors=True)


def _used_at(place: Path) -> float:
    """Return when an environment was used last; 0 when it is incomplete."""
    try:
        return (place / _COMPLETE).stat().st_mtime
    except OSError:
        return 0.0
