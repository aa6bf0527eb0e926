"""A server in a JVM of its own, which ends with the process that started it."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from jars import find_java_tool

_FIRST_PORT = 12_000
_USUAL_FIRST_CLIENT_PORT = 32_768
READY_SECONDS = 240.0  # far more than any server takes, on a busy machine, too
# When the process that started the server ends, the pipe to the server's standard input closes.
_UNTIL_STDIN_ENDS = (
    'exec 3<&0; "$@" <&- 3<&- & pid=$!; echo $pid; (cat <&3 >/dev/null; kill $pid 2>/dev/null) >/dev/null & wait $pid'
)


class Daemon:
    """A server that can be started, ended and started again.

    :param command: the main class and its arguments.
    :param log: a file, to which the server's output is added.
    """

    def __init__(self, command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None) -> None:
        self._command, self.log, self._environment = command, log, environment
        self._process: subprocess.Popen[str] | None = None
        self.pid = 0

    def start(self) -> None:
        """Start the server; do not wait until it responds."""
        with self.log.open("a") as log:
            self._process = subprocess.Popen(
                ["bash", "-c", _UNTIL_STDIN_ENDS, "daemon", *self._command],
                env=self._environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self._process.stdout is not None
        self.pid = int(self._process.stdout.readline())

    def is_running(self) -> bool:
        """Return whether the server has been started and not been ended since."""
        return self._process is not None

    def has_ended(self) -> bool:
        """Return whether the server has been started, and has ended by itself."""
        return self._process is not None and self._process.poll() is not None

    def kill(self) -> None:
        """End it without a chance to shut down, as a power cut does."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def _end(self, number: int) -> None:
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)
        self._process.wait()
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process = None


def wait_until(is_ready: Callable[[], object], name: str, daemons: Sequence[Daemon]) -> None:
    """Wait until ``is_ready`` returns something true.

    :param name: what the daemons are together, for the error.
    :raises RuntimeError: when a daemon ends, or they are not ready in time, with the last lines of their logs.
    """
    deadline = time.monotonic() + READY_SECONDS
    while not is_ready():
        ended = [each for each in daemons if each.has_ended()]
        if ended or time.monotonic() > deadline:
            raise RuntimeError(f"{name} did not start:\n" + "\n".join(map(_describe, ended or daemons)))
        time.sleep(0.1)


def _describe(daemon: Daemon) -> str:
    return f"the last lines of {daemon.log}:\n" + "\n".join(daemon.log.read_text(errors="replace").splitlines()[-20:])


def build_java_command(
    classes: Path, class_path: Iterable[object], heap: str, *main: object, options: Sequence[str] = ()
) -> list[str]:
    """Return the command of a JVM that starts quickly.

    :param classes: classes that an earlier one has loaded, in one file: with it a JVM starts in half the time.
    """
    quick = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", *([f"-XX:SharedArchiveFile={classes}"] if classes.exists() else [])]
    ours = [f"-Xmx{heap}", *quick, "-Xlog:disable", *options]
    return [find_java_tool("java"), *ours, "-cp", os.pathsep.join(map(str, class_path)), *map(str, main)]


def find_free_ports(count: int) -> list[int]:
    """Return ports of 127.0.0.1 that nothing listens on.

    They lie below those that the system gives to clients: among them, a client may take one before its server starts.
    """
    with contextlib.ExitStack() as stack:
        ports: list[int] = []
        for port in random.sample(range(_FIRST_PORT, _find_first_client_port()), 1000):
            with contextlib.suppress(OSError):
                stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
                ports.append(port)
            if len(ports) == count:
                return ports
    raise RuntimeError(f"only {len(ports)} of {count} free ports found below {_find_first_client_port()}")


def _find_first_client_port() -> int:
    linux = Path("/proc/sys/net/ipv4/ip_local_port_range")
    return int(linux.read_text().split()[0]) if linux.exists() else _USUAL_FIRST_CLIENT_PORT
