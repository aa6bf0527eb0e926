"""End every process of a job, wherever it is in the process tree.

Killing spark-submit ends only its JVM: the Python driver, Spark's workers and users' scripts live on under another parent. They
all inherit a mark in their environment, by which they are found. The mark names the job and the process that submitted it, so
that the processes of an earlier attempt are found after that process is gone.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
import uuid
from collections.abc import Iterator, Sequence

import psutil

from mlsql_runtime.errors import JobFailed

MARK = "MLSQL_JOB_MARK"
GRACE = 5.0  # seconds between SIGTERM and SIGKILL
CLOCK = 2  # seconds by which a process's start time seems to change when the clock is set
_POLL_SECONDS = 0.02
LIMIT = 30.0  # seconds after which a process that does not die is reported


def new_mark(job_id: str) -> str:
    """Return a mark for one attempt of a job that this process submits."""
    return f"{mark_prefix(job_id)}{os.getpid()}.{_start_time(os.getpid())}.{uuid.uuid4().hex}"


def mark_prefix(job_id: str) -> str:
    """Return what the marks of all attempts of a job begin with."""
    return f"{hashlib.sha256(job_id.encode()).hexdigest()[:16]}."


def marked(mark: str) -> list[psutil.Process]:
    """Return the live processes that inherited ``mark``, but not this one."""
    return [process for process, found in _all_marked() if found == mark]


def end_orphans(job_id: str) -> int:
    """End the processes on this machine of earlier attempts of a job whose submitters are gone; return their number."""
    marks = {mark for _, mark in _all_marked() if mark.startswith(mark_prefix(job_id)) and not has_submitter(mark)}
    return sum(end_marked(mark) for mark in marks)


def end_marked(mark: str) -> int:
    """Send SIGTERM and, after a grace period, SIGKILL until no marked process is left; return how many there were.

    :raises JobFailed: when some survive SIGKILL, naming them.
    """
    first = processes = marked(mark)
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.terminate()
    _wait_for_end(processes, GRACE)
    deadline = time.monotonic() + LIMIT
    while processes := marked(mark):
        if time.monotonic() > deadline:
            raise JobFailed(f"processes {', '.join(str(process.pid) for process in processes)} of the job cannot be ended")
        for process in processes:
            with contextlib.suppress(psutil.Error):
                process.kill()
        _wait_for_end(processes, 1.0)
    return len(first)


def _wait_for_end(processes: Sequence[psutil.Process], seconds: float) -> None:
    """Wait until none of the processes runs, for some seconds at most.

    psutil's own function would take the exit status of a child of this process, and the child's ``Popen`` would return 0.
    """
    deadline = time.monotonic() + seconds
    while any(map(_is_live, processes)) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)


def _is_live(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _all_marked() -> Iterator[tuple[psutil.Process, str]]:
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            mark = process.environ().get(MARK)
            if mark and process.pid != os.getpid() and process.status() != psutil.STATUS_ZOMBIE:
                yield process, mark


def has_submitter(mark: str) -> bool:
    """Return whether the process that made a mark still runs."""
    _, pid, start, _ = mark.split(".")
    found = _start_time(int(pid))
    return found is not None and abs(found - int(start)) <= CLOCK


def _start_time(pid: int) -> int | None:
    """Return when a process started, in whole seconds; with its number that identifies it. None when there is none."""
    try:
        return int(psutil.Process(pid).create_time())
    except psutil.Error:
        return None
