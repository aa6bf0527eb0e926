"""The processes of a case, by what they do."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator

import psutil

from support.shared_run import RUN

CASE = "MLSQL_FAULTS_CASE"  # in the environment of all processes of a case that a try has started: its folder
_OF_EXECUTORS = (
    "CONTAINER_ID",
    "SPARK_EXECUTOR_DIRS",
)  # variables of YARN's containers, and of executors of a standalone cluster
ROLES = {
    "JVM of the driver": r"^\S*java .*org\.apache\.spark\.deploy\.SparkSubmit ",
    "spark-submit": r"^\S*java .*org\.apache\.spark\.deploy\.SparkSubmit ",  # of YARN, where it only submits
    "application master": r"^\S*java .*org\.apache\.spark\.deploy\.yarn\.ApplicationMaster ",  # the driver's JVM on YARN
    "driver": r"^\S*python\S* \S*mlsql_job\.py --plan",
    "Spark's Python worker": r"-m pyspark\.daemon",
    "supervisor": r"^\S*python\S* -S -c",
    "script": r"^\S*python\S* \S*/start\.py ",
    "executor": r"^\S*java .*CoarseGrainedExecutorBackend",
}  # a pattern of the command line


def of_case(folder: str) -> Iterator[psutil.Process]:
    """Return the live processes that tries of a case have started, and those that a cluster runs, for one case at a time."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.status() != psutil.STATUS_ZOMBIE and _is_of_case(process.environ(), folder):
                yield process


def with_role(folder: str, role: str) -> list[psutil.Process]:
    """Return the processes of a case with a role, oldest first."""
    pattern = re.compile(ROLES[role])
    return sorted((each for each in of_case(folder) if pattern.search(command(each))), key=lambda each: each.pid)


def command(process: psutil.Process) -> str:
    """Return a process's command line, empty when it has ended."""
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def _is_of_case(environment: dict[str, str], folder: str) -> bool:
    if environment.get(CASE) == folder:
        return True
    return environment.get(RUN) == os.environ[RUN] and any(name in environment for name in _OF_EXECUTORS)
