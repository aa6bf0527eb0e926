"""The seed's data and scripts, and small helpers that the Spark and the Airflow tests share."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pyspark

from mlsql_runtime.plan import Load
from mlsql_runtime.result import RunResult

TESTS = Path(__file__).parents[1]
SAMPLE = str(Path(pyspark.__file__).parent / "data" / "mllib" / "sample_libsvm_data.txt")
WIDTH = 692
EXAMPLES = TESTS.parent / "example_dags" / "scripts"
SEED = TESTS / "spark" / "seed"
DATA = Load(table="data", format="libsvm", path=SAMPLE, options={"numFeatures": str(WIDTH)})

RunPlan = Callable[..., RunResult]
Script = Callable[..., str]


def processes_with(text: str) -> list[str]:
    """Return the command lines of live processes that contain ``text``."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        line = " ".join(process.info["cmdline"] or [])
        if text in line and process.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(line)
    return found


def leave_process(job_id: str) -> str:
    """Start a process of a job whose submitter is gone, and return its mark."""
    submit = (
        "import os, subprocess, sys\nfrom mlsql_runtime.submission.processes import MARK, new_mark\n"
        f"os.environ[MARK] = new_mark({job_id!r})\nprint(os.environ[MARK])\n"
        "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], stdout=-3, stderr=-3)"
    )
    return subprocess.run([sys.executable, "-c", submit], capture_output=True, text=True, check=True).stdout.strip()
