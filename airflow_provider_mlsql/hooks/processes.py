"""End every process of a job, wherever in the process tree it hides.

Killing spark-submit ends only its JVM: the Python driver, Spark's workers and users' scripts live on under another
parent. They all inherit a mark in their environment, and by that they are found.
"""

from __future__ import annotations

import contextlib
import os

import psutil

MARK = "MLSQL_JOB_MARK"
GRACE = 5.0  # seconds between SIGTERM and SIGKILL


def marked(mark: str) -> list[psutil.Process]:
    """The live processes that inherited ``mark``, this one excepted."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and process.environ().get(MARK) == mark and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def end_marked(mark: str) -> int:
    """SIGTERM, and after a grace SIGKILL, until no marked process is left; answers how many there were."""
    first = processes = marked(mark)
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.terminate()
    psutil.wait_procs(processes, timeout=GRACE)
    while processes := marked(mark):
        for process in processes:
            with contextlib.suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(processes, timeout=1)
    return len(first)
