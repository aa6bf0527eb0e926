"""Run one command under a supervisor process, and leave nothing behind, whatever the command does.

:func:`run_supervised` starts ``main([STATUS_FILE, TIMEOUT, COMMAND, …])`` in a process of its own, which runs the command.
It ends every process that the command started, detached ones too, when the command ends, when TIMEOUT seconds (0: none) have
passed, or when standard input closes, which happens when the parent dies however it dies. Time between the bytes PAUSE and RESUME
on standard input does not count. Then it writes ``{"ended", "exit_code", "left"}`` to STATUS_FILE, as JSON. If a signal asks it
to end, it ends the processes, too, and writes nothing. Standard output is the command's own.

If the supervisor itself is killed, the process that started it finds what the command has left by a mark in the environment.

On Linux the supervisor is a *child subreaper* (prctl(2)): orphans become its children, so none can hide by forking twice or by
a new session. Standard library only, no psutil: it runs before any package of the user's environment is looked at.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import mlsql_runtime
from mlsql_runtime import codec
from mlsql_runtime.errors import FormatError

PACKAGE = Path(mlsql_runtime.__file__).absolute().parent  # in a folder, or in the zip that Spark shipped

# With ``-E``, and its own path, because PYTHONHOME and PYTHONPATH are for the command's interpreter, which may be another one.
# Not ``-m``: that would look for modules beside the script first, and one of them may be called signal.py.
# Not ``sys.exit``: while Python shuts down, signals have their default effect again, and one more would change the exit code.
SUPERVISE = """
import os, sys
sys.path[:] = [sys.argv.pop(1), *filter(None, sys.path)]
from mlsql_runtime.script.supervisor import main
os._exit(main(sys.argv[1:]))
"""
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)  # that ask a process to end
PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
GRACE = 3.0  # seconds between SIGTERM and SIGKILL
LINGER = 0.5  # seconds that helpers of the command, such as joblib's resource tracker, get to end by themselves
PAUSE, RESUME = b"p", b"r"
MARK = "MLSQL_SCRIPT_MARK"  # in the environment of the command and of all that it starts: a word of its own


@dataclass(frozen=True)
class CommandEnd:
    """How a command ended: ``exited``, ``timeout`` or ``parent gone``, its exit code, and the processes (pid and command) that it
    left running.
    """

    ended: str
    exit_code: int | None
    left: tuple[tuple[int | str, ...], ...]

    def __post_init__(self) -> None:
        if not all(self.left):
            raise FormatError("left: expected a pid and a command for each process")


def read_status(path: Path) -> CommandEnd | None:
    """Read how a command ended; None when its supervisor was killed before it had written that."""
    return codec.read_or_none(CommandEnd, path)


class SupervisedCommand:
    """A command that runs. ``output`` has its output and its errors."""

    def __init__(self, output: IO[bytes], control: IO[bytes]) -> None:
        self.output, self._control = output, control

    @contextlib.contextmanager
    def pause_timeout(self) -> Iterator[None]:
        """Stop the clock of the command's timeout while the block runs."""
        self._send(PAUSE)
        try:
            yield
        finally:
            self._send(RESUME)

    def _send(self, message: bytes) -> None:
        with contextlib.suppress(BrokenPipeError):  # the supervisor has ended
            os.write(self._control.fileno(), message)


@contextlib.contextmanager
def run_supervised(
    command: Sequence[str], status_file: Path, timeout: float | None, folder: Path, env: Mapping[str, str]
) -> Iterator[SupervisedCommand]:
    """Start a command; the block reads its output and errors as they come. At its end no process of the command is left.

    :param status_file: receives how the command ended; missing when the supervisor was killed, or could not start it.
    :param timeout: seconds after which the command is ended; None for never.
    :param folder: its working directory.
    :param env: of the command, with a PYTHONPATH that begins with the runtime.
    """
    runtime = env["PYTHONPATH"].partition(os.pathsep)[0]
    supervisor = [sys.executable, "-E", "-S", "-c", SUPERVISE, runtime, str(status_file), str(timeout or 0)]
    mark = os.urandom(16).hex()
    child = subprocess.Popen(
        [*supervisor, *command],
        cwd=folder,
        env={**env, MARK: mark},
        stdin=subprocess.PIPE,  # open as long as this process lives, which is how the supervisor knows that it does
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert child.stdout is not None
    assert child.stdin is not None
    watch = threading.Thread(target=_watch, args=(child, status_file, mark), daemon=True)
    watch.start()
    try:
        yield SupervisedCommand(child.stdout, child.stdin)
    finally:
        child.stdin.close()  # on an exception, the supervisor ends the command
        child.stdout.close()
        child.wait()
        watch.join()


def _watch(supervisor: subprocess.Popen[bytes], status_file: Path, mark: str) -> None:
    """Wait for the end of a supervisor. If it was killed, end what the command has started.

    Such a process would keep the output open, and its reader waiting.
    """
    supervisor.wait()
    deadline = time.monotonic() + GRACE
    while not status_file.exists() and _kill_marked(mark) and time.monotonic() < deadline:
        time.sleep(0.02)


def _kill_marked(mark: str) -> bool:
    """Send SIGKILL to all processes with a mark; return whether there was one."""
    import psutil

    found = False
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.environ().get(MARK) == mark and process.status() != psutil.STATUS_ZOMBIE:
                found = True
                process.kill()
    return found


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def _die_with_supervisor() -> None:
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _parents() -> dict[int, int]:
    """Return the parent of every live process, by pid."""
    if os.path.isdir("/proc/self"):
        table = {}
        for name in os.listdir("/proc"):
            if name.isdecimal():
                with (
                    contextlib.suppress(OSError, IndexError),
                    open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as file,
                ):
                    state, parent = file.read().rpartition(")")[2].split()[:2]
                    if state not in "ZX":
                        table[int(name)] = int(parent)
        return table
    listing = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    return {int(line.split()[0]): int(line.split()[1]) for line in listing.splitlines()}


def descendants(root: int) -> list[int]:
    """Return every live process below ``root``, parents first."""
    children: dict[int, list[int]] = {}
    for pid, parent in _parents().items():
        children.setdefault(parent, []).append(pid)
    found = [root]
    for pid in found:
        found.extend(children.get(pid, []))
    return found[1:]


def _command_of(pid: int) -> str:
    with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as file:
        return file.read().replace(b"\0", b" ").decode(errors="replace").strip()[:200]
    return ""


def _reap() -> None:
    """Collect processes that ended, except the command itself, which subprocess collects."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _signal_all(pids: list[int], number: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def end_descendants() -> None:
    """Send SIGTERM to all, and after GRACE seconds SIGKILL to those that are left, until none is."""
    me = os.getpid()
    _signal_all(descendants(me), signal.SIGTERM)
    deadline = time.monotonic() + GRACE
    while pids := descendants(me):
        if time.monotonic() > deadline:
            _signal_all(pids, signal.SIGKILL)
        _reap()
        time.sleep(0.02)


def _listen() -> int:
    """Return a descriptor that can be read once a signal has asked this process to end.

    No handler raises: a second signal would keep this process from ending the others.
    """
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    for number in SIGNALS:
        signal.signal(number, lambda *_: None)
    return reading


def _open_process(pid: int) -> int | None:
    """Return a descriptor that can be read once the process has ended; None where the system has none or refuses it."""
    if hasattr(os, "pidfd_open"):
        with contextlib.suppress(OSError):
            return os.pidfd_open(pid)
    return None


def _wait(command: subprocess.Popen[bytes], timeout: float, signalled: int) -> str:
    """Return ``exited``, ``timeout``, ``parent gone`` or ``interrupted``, whichever happens first."""
    deadline = time.monotonic() + timeout if timeout else None
    pidfd = _open_process(command.pid)
    watched = [sys.stdin.fileno(), signalled] + ([] if pidfd is None else [pidfd])
    paused_since: float | None = None
    while command.poll() is None:
        step = 0.1 if pidfd is None else 60.0
        left = step if deadline is None or paused_since is not None else min(step, deadline - time.monotonic())
        if left <= 0:
            return "timeout"
        ready = select.select(watched, [], [], left)[0]
        if signalled in ready:
            return "interrupted"
        if sys.stdin.fileno() in ready:
            message = os.read(sys.stdin.fileno(), 1)
            if not message:
                return "parent gone"
            if message == PAUSE:
                paused_since = time.monotonic()
            elif deadline is not None and paused_since is not None:
                deadline, paused_since = deadline + time.monotonic() - paused_since, None
    return "exited"


def main(argv: list[str]) -> int:
    """Supervise one command to its end; the status file is written only then."""
    status_file, timeout, *command_line = argv
    _prctl(PR_SET_CHILD_SUBREAPER, 1)
    signalled = _listen()
    try:
        command = subprocess.Popen(command_line, stdin=subprocess.DEVNULL, preexec_fn=_die_with_supervisor)
        ended = _wait(command, float(timeout), signalled)
        left: list[tuple[int, str]] = []
        if ended == "exited":
            deadline = time.monotonic() + LINGER
            while (pids := descendants(os.getpid())) and time.monotonic() < deadline:
                _reap()
                time.sleep(0.02)
            left = [(pid, _command_of(pid)) for pid in pids]
        status = {"ended": ended, "exit_code": command.returncode, "left": left}
    finally:
        end_descendants()
    if ended == "interrupted":
        return 1
    with open(status_file, "w", encoding="utf-8") as file:
        json.dump(status, file)
    return 0
