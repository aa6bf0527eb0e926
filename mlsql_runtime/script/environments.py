"""Environments that a node builds from requirements: one for each interpreter and content, kept for later jobs.

::

    <folder>/<key>/                 the environment; complete with complete.json, which is written last, and the files it counts
            /<key>.lock             held shared by who uses it, exclusively by who builds or removes it
            /<key>.failed           how the last try to build it ended, for those who waited for it

``key`` is a digest of the interpreter and the packages. The folder is ``mlsql-environments-<uid>`` below the one that
``MLSQL_ENVIRONMENTS`` names in the node's environment, or the system's temporary one; ``off`` forbids building there.
"""

from __future__ import annotations

import contextlib
import fcntl
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
from typing import IO

from mlsql_runtime.errors import EnvironmentBuildError, InterpreterError
from mlsql_runtime.plan import PythonEnv, hide_passwords, parse_requirements
from mlsql_runtime.script.child_process import PACKAGE, run_supervised
from mlsql_runtime.script.interpreter import inherited_variables, interpreter_path

VARIABLE = "MLSQL_ENVIRONMENTS"
KEPT = 8  # environments of a node; those in use are kept anyway
BUILD_SECONDS = 1800.0
TAIL_LINES = 12
_COMPLETE = "complete.json"
OnLine = Callable[[str], None]


@contextlib.contextmanager
def provided_interpreter(python: PythonEnv, on_line: OnLine, host: str | None = None) -> Iterator[str]:
    """The interpreter that a script runs with, which stays for the time of the block; built first if it has to be.

    :param on_line: called with what there is to see while it is built.
    :param host: what this machine is called, if not by its own name.
    :raises EnvironmentBuildError: when it cannot be built, with the last lines of the tool.
    :raises InterpreterError: when there is no interpreter to build it with.
    """
    base = interpreter_path(python)
    if python.requirements is None:
        yield base
        return
    wanted = _Wanted(base, parse_requirements(python.requirements), host or socket.gethostname())
    with _used(_folder(wanted) / wanted.key, wanted, on_line) as place:
        yield str(place / "bin/python")


@dataclass(frozen=True)
class _Wanted:
    """An environment to have: packages for an interpreter, on a host."""

    base: str
    packages: tuple[str, ...]
    host: str

    @property
    def key(self) -> str:
        """Another one when the interpreter is another, or was installed anew."""
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

    def failed(self, why: str, mend: str) -> EnvironmentBuildError:
        """The error of somebody who cannot have it."""
        return EnvironmentBuildError(
            f"the environment of requirements cannot be built on {self.host}: {why}; {mend}", host=self.host
        )


def _folder(wanted: _Wanted) -> Path:
    """The node's folder for environments, this user's own."""
    named = os.environ.get(VARIABLE)
    if named == "off":
        raise wanted.failed(
            f"{VARIABLE} is off there", "bring the environment as an archive, or name an interpreter that has the packages"
        )
    folder = Path(named or tempfile.gettempdir()) / f"mlsql-environments-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        state = folder.lstat()
    except OSError as error:
        raise wanted.failed(str(error), f"set {VARIABLE} there to a folder that can be written") from error
    if state.st_uid != os.getuid() or not stat.S_ISDIR(state.st_mode):
        raise wanted.failed(f"{folder} is no folder of this user's, so that others could change environments in it", "remove it")
    return folder


@contextlib.contextmanager
def _used(place: Path, wanted: _Wanted, on_line: OnLine) -> Iterator[Path]:
    """The environment, for as long as the block lasts."""
    begun = time.time()
    with _open_lock(place, wanted) as lock:
        _lock(lock, fcntl.LOCK_SH, wanted, on_line)
        while not _is_whole(place):  # again: between the two locks it may be removed
            _lock(lock, fcntl.LOCK_EX, wanted, on_line)
            if not _is_whole(place):
                _raise_failure_since(begun, place, wanted)
                _build(place, wanted, on_line)
                _remove_oldest(place.parent, place.name)
            _lock(lock, fcntl.LOCK_SH, wanted, on_line)
        with contextlib.suppress(OSError):
            os.utime(place / _COMPLETE)  # what was used longest ago goes first
        yield place


def _is_whole(place: Path) -> bool:
    """Complete, and nothing has gone since: what clears temporary folders by age takes sources that Python has compiled."""
    try:
        files = json.loads((place / _COMPLETE).read_text(encoding="utf-8"))["files"]
    except (OSError, ValueError, KeyError):
        return False
    return _count_files(place) >= int(files)


def _count_files(place: Path) -> int:
    """Without what Python compiles, and the note that it is complete."""
    return sum(len(files) for folder, _, files in os.walk(place) if not folder.endswith("__pycache__") and folder != str(place))


def _open_lock(place: Path, wanted: _Wanted) -> IO[bytes]:
    try:
        return open(f"{place}.lock", "a+b")  # for reading, too: NFS shares no lock of a file that is only written
    except OSError as error:
        raise wanted.failed(str(error), f"set {VARIABLE} there to a folder that can be written") from error


def _lock(lock: IO[bytes], kind: int, wanted: _Wanted, on_line: OnLine) -> None:
    try:
        try:
            fcntl.flock(lock, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            on_line(f"another task builds the environment on {wanted.host}; waiting for it")
            fcntl.flock(lock, kind)
    except OSError as error:
        raise wanted.failed(
            f"{lock.name} cannot be locked ({error})", f"set {VARIABLE} there to a folder on a disk of its own"
        ) from error


def _raise_failure_since(begun: float, place: Path, wanted: _Wanted) -> None:
    """Who waited for somebody that failed fails alike: the next one would, too."""
    failure = Path(f"{place}.failed")
    if failure.exists() and failure.stat().st_mtime >= begun:
        raise EnvironmentBuildError(failure.read_text(encoding="utf-8"), host=wanted.host)


def _build(place: Path, wanted: _Wanted, on_line: OnLine) -> None:
    """Make it where it stays, since an environment has its own path in it; complete once ``complete.json`` is there."""
    shutil.rmtree(place, ignore_errors=True)  # of somebody who was killed
    begun = time.monotonic()
    try:
        with tempfile.TemporaryDirectory(prefix="mlsql-build-") as name:
            file = Path(name) / "requirements.txt"
            file.write_text("\n".join(wanted.packages) + "\n", encoding="utf-8")
            tool, commands = _commands(place, wanted.base, file)
            on_line(f"building an environment of {len(wanted.packages)} requirements on {wanted.host} with {tool}")
            for command in commands:
                _run(command, Path(name), wanted, on_line)
        facts = {
            "packages": [hide_passwords(line) for line in wanted.packages],
            "interpreter": wanted.base,
            "files": _count_files(place),
            "seconds": round(time.monotonic() - begun, 1),
        }
        (place / f"{_COMPLETE}.tmp").write_text(json.dumps(facts), encoding="utf-8")
        (place / f"{_COMPLETE}.tmp").replace(place / _COMPLETE)
    except OSError as error:
        raise _noted(place, wanted.failed(str(error), "make room for it there")) from error
    except EnvironmentBuildError as error:
        shutil.rmtree(place, ignore_errors=True)
        raise _noted(place, error) from None
    on_line(f"the environment is built on {wanted.host} ({facts['seconds']} s)")


def _noted(place: Path, error: EnvironmentBuildError) -> EnvironmentBuildError:
    with contextlib.suppress(OSError):
        Path(f"{place}.failed").write_text(error.message, encoding="utf-8")
    return error


def _commands(place: Path, base: str, file: Path) -> tuple[str, list[list[str]]]:
    """The tool there is, and what to run: uv, which is many times faster, or pip."""
    python = str(place / "bin/python")
    beside = [os.path.dirname(sys.executable), os.path.dirname(base)]
    uv = shutil.which("uv", path=os.pathsep.join([*beside, os.environ.get("PATH", os.defpath)]))
    if uv is not None:
        install = [uv, "pip", "install", "--python", python, "--requirement", str(file)]
        return "uv", [[uv, "venv", "--quiet", "--python", base, str(place)], install]
    install = [python, "-m", "pip", "install", "--no-input", "--disable-pip-version-check", "--requirement", str(file)]
    return "pip", [[base, "-m", "venv", str(place)], install]


def _run(command: list[str], folder: Path, wanted: _Wanted, on_line: OnLine) -> None:
    status = folder / "status.json"
    status.unlink(missing_ok=True)
    inherited = {name: value for name, value in inherited_variables(PythonEnv()).items() if not name.startswith("PYTHON")}
    env = inherited | {"PYTHONPATH": str(PACKAGE.parent), "NO_COLOR": "1"}
    tail: deque[str] = deque(maxlen=TAIL_LINES)
    with run_supervised(["env", "-u", "PYTHONPATH", *command], status, BUILD_SECONDS, folder, env) as output:
        for raw in output:
            line = hide_passwords(raw.decode(errors="replace").rstrip())
            if line:
                tail.append(line)
                on_line(line)
    ended = json.loads(status.read_text()) if status.exists() else {"ended": "killed", "exit_code": None}
    if ended["ended"] == "exited" and ended["exit_code"] == 0:
        return
    how = f"took longer than {BUILD_SECONDS:.0f} s" if ended["ended"] == "timeout" else f"ended with {ended['exit_code']}"
    said = " | ".join(tail) or "nothing was said"
    raise wanted.failed(
        f"{os.path.basename(command[0])} {how}: {said}",
        "correct requirements, let the node reach a package index (by its own configuration of pip or uv), or bring the "
        "environment as an archive",
    )


def _remove_oldest(folder: Path, but: str) -> None:
    """Remove what was used longest ago, and what somebody who was killed had begun, unless it is in use."""
    places = [path for path in folder.iterdir() if path.is_dir() and path.name != but]
    used = {place: _used_at(place) for place in places}
    kept = sorted((place for place in places if used[place]), key=lambda place: used[place], reverse=True)[: KEPT - 1]
    for place in places:
        if place not in kept:
            with contextlib.suppress(OSError), open(f"{place}.lock", "a+b") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                (place / _COMPLETE).unlink(missing_ok=True)  # first: half of it is of no use
                shutil.rmtree(place, ignore_errors=True)


def _used_at(place: Path) -> float:
    """When it was used last; 0 when it is not complete."""
    try:
        return (place / _COMPLETE).stat().st_mtime
    except OSError:
        return 0.0
