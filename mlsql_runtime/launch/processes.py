"""End every process of a job, wherever in the process tree it hides.

Killing spark-submit ends only its JVM: the Python driver, Spark's workers and users' scripts live on under another
parent. They all inherit a mark in their environment, and by that they are found.
"""

from __future__ import annotations

import contextlib
import os
import time

import psutil

from mlsql_runtime.errors import JobFailed

MARK = "MLSQL_JOB_MARK"
GRACE = 5.0  # seconds between SIGTERM and SIGKILL
LIMIT = 30.0  # seconds after which a process that does not die is reported


def marked(mark: str) -> list[psutil.Process]:
    """The live processes that inherited ``mark``, this one excepted."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and process.environ().get(MARK) == mark and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def end_marked(mark: str) -> int:
    """SIGTERM, and after a grace SIGKILL, until no marked process is left; answers how many there were.

    :raises JobFailed: when some do not even die of SIGKILL, naming them.
    """
    first = processes = marked(mark)
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.terminate()
    psutil.wait_procs(processes, timeout=GRACE)
    deadline = time.monotonic() + LIMIT
    while processes := marked(mark):
        if time.monotonic() > deadline:
            raise JobFailed(f"processes {', '.join(str(process.pid) for process in processes)} of the job cannot be ended")
        for process in processes:
            with contextlib.suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(processes, timeout=1)
    return len(first)
