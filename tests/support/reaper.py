"""End the processes of a test environment, which are found by a variable in their environments."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import psutil

CLUSTER = "MLSQL_TEST_CLUSTER"  # in the environment of all processes of a cluster: its folder
GRACE_SECONDS = 10.0


@contextlib.contextmanager
def ending_processes(name: str, value: str) -> Iterator[None]:
    """End all processes with ``name=value`` in their environment after the block; the keeper does if this process is killed."""
    try:
        yield
    finally:
        end_processes(name, value)


def find_processes(name: str, value: str) -> list[psutil.Process]:
    """Return the live processes with ``name=value`` in their environment, except this one."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            marked = process.pid != os.getpid() and process.environ().get(name) == value
            if marked and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def end_processes(name: str, value: str, grace: float = GRACE_SECONDS) -> None:
    """Send SIGTERM to these processes and, after ``grace`` seconds, SIGKILL until none is left."""
    processes = find_processes(name, value)
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.terminate()
    psutil.wait_procs(processes, timeout=grace)
    while processes := find_processes(name, value):
        for process in processes:
            with contextlib.suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(processes, timeout=1)
