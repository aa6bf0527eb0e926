"""End the processes of a test environment, even when the test run is interrupted or killed.

A watcher in a session of its own reads its standard input, which closes when the process of the tests ends, however that
happens. It then ends every process that has a certain variable in its environment.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator

import psutil

CLUSTER = "MLSQL_TEST_CLUSTER"  # in the environment of all processes of a cluster: its folder
GRACE_SECONDS = 10.0


@contextlib.contextmanager
def ending_processes(name: str, value: str) -> Iterator[None]:
    """End all processes with ``name=value`` in their environment when the block ends, or when this process does."""
    watcher = subprocess.Popen([sys.executable, __file__, name, value], stdin=subprocess.PIPE, start_new_session=True)
    with watcher:  # which closes its standard input at the end, and waits for it
        yield


def find_processes(name: str, value: str) -> list[psutil.Process]:
    """Return the live processes with ``name=value`` in their environment."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.environ().get(name) == value and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def end_processes(name: str, value: str) -> None:
    """Send SIGTERM to these processes and, after 10 s, SIGKILL until none is left."""
    processes = find_processes(name, value)
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.terminate()
    psutil.wait_procs(processes, timeout=GRACE_SECONDS)
    while processes := find_processes(name, value):
        for process in processes:
            with contextlib.suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(processes, timeout=1)


if __name__ == "__main__":
    sys.stdin.buffer.read()
    end_processes(*sys.argv[1:])
