from __future__ import annotations

import ctypes
import errno
import itertools
import json
import os
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from mlsql_runtime.script.supervisor import PACKAGE, SUPERVISE, descendants, run_supervised

pytestmark = pytest.mark.timeout(60)  # a process that gets away keeps the output open, and its reader waiting
Processes = Callable[[str], list[psutil.Process]]
WaitUntil = Callable[..., None]
Supervise = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def supervise(tmp_path: Path) -> Iterator[Supervise]:
    """Start a supervisor of a command; its status file is ``tmp_path / "status"``."""
    started = []

    def start(*command: str, timeout: float = 0, **how: Any) -> subprocess.Popen[bytes]:
        arguments = [sys.executable, "-E", "-S", "-c", SUPERVISE, str(PACKAGE.parent), str(tmp_path / "status"), str(timeout)]
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        process = subprocess.Popen([*arguments, *command], **pipes, **how)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            assert stream is not None
            stream.close()


def refuse_process_descriptors() -> None:
    """Let the kernel answer pidfd_open with ENOSYS in this process and those that it starts."""
    load, equals, answer = 0x20, 0x15, 0x06  # instructions of the kernel's filters: BPF_LD, BPF_JMP | BPF_JEQ, BPF_RET
    instructions = [(load, 0, 0, 0), (equals, 0, 1, 434), (answer, 0, 0, 0x50000 | errno.ENOSYS), (answer, 0, 0, 0x7FFF0000)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *each) for each in instructions))
    program = ctypes.create_string_buffer(struct.pack("HP", len(instructions), ctypes.addressof(code)))
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(38, 1, 0, 0, 0) == 0  # PR_SET_NO_NEW_PRIVS
    assert libc.prctl(22, 2, program, 0, 0) == 0  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER


def status(tmp_path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((tmp_path / "status").read_text())
    return found


@pytest.mark.parametrize(("command", "code"), [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", -9)])
def test_the_exit_code_is_written(supervise: Supervise, tmp_path: Path, command: str, code: int) -> None:
    assert supervise("sh", "-c", command).wait(30) == 0
    assert status(tmp_path) == {"ended": "exited", "exit_code": code, "left": []}


@pytest.mark.skipif(sys.platform != "linux", reason="seccomp is Linux")
def test_a_system_that_refuses_descriptors_of_processes(supervise: Supervise, tmp_path: Path) -> None:
    """As old kernels and sandboxes of containers do."""
    ask = "import os; os.pidfd_open(os.getpid())"
    assert supervise(sys.executable, "-c", ask, preexec_fn=refuse_process_descriptors).wait(30) == 0
    assert status(tmp_path) == {"ended": "exited", "exit_code": 1, "left": []}


def test_standard_output_is_the_command_s_own(supervise: Supervise) -> None:
    process = supervise("sh", "-c", "echo out; echo err >&2")
    assert process.stdout is not None
    assert process.stderr is not None
    assert (process.stdout.read(), process.stderr.read()) == (b"out\n", b"err\n")


def test_the_end_of_standard_input_ends_everything(
    supervise: Supervise, tmp_path: Path, marker: str, processes_with: Processes, wait_until: WaitUntil
) -> None:
    process = supervise("sh", "-c", f"sleep {marker} & setsid sleep {marker} & wait")
    wait_until(lambda: len(processes_with(marker)) == 2, "both run")
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(30) == 0
    assert processes_with(marker) == []
    assert status(tmp_path)["ended"] == "parent gone"


def test_words_on_standard_input_end_nothing(supervise: Supervise, tmp_path: Path) -> None:
    process = supervise("sh", "-c", "read -r line; sleep 0.2; exit 4")
    assert process.stdin is not None
    process.stdin.write(b"words\n")
    process.stdin.flush()
    assert process.wait(30) == 0
    assert status(tmp_path)["exit_code"] == 4


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_to_the_supervisor_ends_everything(
    supervise: Supervise, tmp_path: Path, marker: str, processes_with: Processes, wait_until: WaitUntil, number: int
) -> None:
    process = supervise("sh", "-c", f"setsid sleep {marker} & sleep {marker}")
    wait_until(lambda: len(processes_with(marker)) == 2, "both run")
    process.send_signal(number)
    assert process.wait(30) == 1
    assert processes_with(marker) == []
    assert not (tmp_path / "status").exists()


def test_however_many_signals_come_everything_ends(
    supervise: Supervise, marker: str, processes_with: Processes, wait_until: WaitUntil
) -> None:
    """Send signals until the supervisor has ended, also while it ends."""
    process = supervise("sh", "-c", f"setsid sleep {marker} & sleep {marker}")
    wait_until(lambda: len(processes_with(marker)) == 2, "both run")
    for number in itertools.cycle([signal.SIGINT, signal.SIGTERM, signal.SIGHUP]):
        if process.poll() is not None:
            break
        process.send_signal(number)
        time.sleep(0.0005)
    assert process.returncode == 1
    assert processes_with(marker) == []


def test_the_command_dies_with_a_killed_supervisor(
    supervise: Supervise, marker: str, processes_with: Processes, wait_until: WaitUntil
) -> None:
    process = supervise("sleep", marker)
    wait_until(lambda: len(processes_with(marker)) == 2, "the command runs")  # the supervisor has the marker, too
    process.kill()
    process.wait()
    wait_until(lambda: not processes_with(marker), "the command has died")


def test_what_a_killed_supervisor_leaves_is_ended_and_the_output_ends(
    tmp_path: Path, marker: str, processes_with: Processes
) -> None:
    command = ["sh", "-c", f"setsid sleep {marker} & echo started; wait"]
    env = {**os.environ, "PYTHONPATH": str(PACKAGE.parent)}
    with run_supervised(command, tmp_path / "status", None, tmp_path, env) as running:
        assert running.output.readline() == b"started\n"
        (supervisor,) = (each for each in psutil.Process().children() if str(tmp_path / "status") in each.cmdline())
        supervisor.kill()
        assert running.output.read() == b""
    assert processes_with(marker) == []


def test_a_timeout_is_written(supervise: Supervise, tmp_path: Path, marker: str, processes_with: Processes) -> None:
    assert supervise("sh", "-c", f"sleep {marker}", timeout=0.2).wait(30) == 0
    assert status(tmp_path) == {"ended": "timeout", "exit_code": None, "left": []}
    assert processes_with(marker) == []


def test_a_command_that_does_not_exist_leaves_no_status(supervise: Supervise, tmp_path: Path) -> None:
    process = supervise("/nonexistent/command")
    assert process.wait(30) != 0
    assert process.stderr is not None
    assert b"/nonexistent/command" in process.stderr.read()
    assert not (tmp_path / "status").exists()


def test_descendants_are_found_parents_first(marker: str, processes_with: Processes, wait_until: WaitUntil) -> None:
    child = subprocess.Popen(["sh", "-c", f"sh -c 'sleep {marker}; true'; true"])
    try:
        wait_until(lambda: processes_with(marker), "the grandchild runs")
        found = descendants(os.getpid())
        [sleeper] = processes_with(marker)
        assert found.index(child.pid) < found.index(sleeper.ppid()) < found.index(sleeper.pid)
        assert os.getpid() not in found
    finally:
        for process in psutil.Process(child.pid).children(recursive=True):
            process.kill()
        child.wait()
    assert child.pid not in descendants(os.getpid())
