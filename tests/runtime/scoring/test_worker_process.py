"""A function in a new process of Python, for jobs that have started no Spark."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid

from support.waiting import wait_until

from mlsql_runtime.submission.processes import MARK, marked

_KILLED = """
import os, signal, time
from mlsql_runtime.scoring.worker_process import start_worker

with start_worker() as worker:
    print(worker.submit(os.getpid).result(), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_process_ends_when_the_job_is_killed() -> None:
    mark = uuid.uuid4().hex
    killed = subprocess.run(
        [sys.executable, "-c", _KILLED], env={**os.environ, MARK: mark}, stdout=subprocess.PIPE, text=True, check=False
    )
    assert (killed.returncode, killed.stdout.strip().isdigit()) == (-9, True)
    wait_until(lambda: marked(mark) == [])
