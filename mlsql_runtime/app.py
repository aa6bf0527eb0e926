"""The Spark application: reads a plan, which goes then, runs it, writes its result.

``spark-submit … launcher.py --plan URI --result URI``; the exit code is 0 when the plan succeeded, 1 when it did not. The
result is written either way, so a missing one means that the application was killed.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import shutil
import signal
import sys
import threading
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlsql_runtime import codec
from mlsql_runtime.errors import MLSQLError
from mlsql_runtime.events import log
from mlsql_runtime.plan import Plan, Secrets, load_plan
from mlsql_runtime.result import RunResult
from mlsql_runtime.spark_errors import translate
from mlsql_runtime.storage.location import Location
from mlsql_runtime.submission.announcement import Announcement, history_address

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_HEAVY = ("mlsql_runtime.engine", "pyspark.ml.linalg")  # NumPy, Arrow, pandas and SciPy come with them
FOLDER_PREFIX = "mlsql-job-"  # of a job's own folder
PARENT_CHECK_SECONDS = 1.0
CANCEL_AGAIN_SECONDS = 0.5
CANCEL_SECONDS = 4.0  # for cleaning up, once cancelled: less than launch waits before it kills


@dataclass
class _Orphan:
    """The folder of the job's files, which nobody else removes when the process that submitted the job is gone."""

    folder: str | None = None
    is_alone: bool = False

    def remove(self) -> None:
        if self.is_alone and self.folder and os.path.basename(self.folder).startswith(FOLDER_PREFIX):
            shutil.rmtree(self.folder, ignore_errors=True)


_orphan = _Orphan()


def main(argv: Sequence[str] | None = None) -> int:
    """Run the plan that the arguments name; answers the exit code."""
    parser = argparse.ArgumentParser(prog="mlsql-app", description=__doc__)
    parser.add_argument("--plan", required=True, help="URI of the plan, JSON")
    parser.add_argument("--result", required=True, help="URI to write the result to, JSON")
    parser.add_argument("--secrets", help="file with what neither the plan nor a process list may show, JSON")
    parser.add_argument("--parent", type=int, help="process to end with")
    args = parser.parse_args(argv)
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=_cancel, daemon=True).start())
    if args.parent is not None:
        _orphan.folder = os.path.dirname(args.plan)
        threading.Thread(target=_end_with, args=(args.parent,), name="mlsql-parent", daemon=True).start()
    try:
        plan = load_plan(_read_once(args.plan), args.plan)
        secrets = codec.loads(Secrets, _read_once(args.secrets), args.secrets) if args.secrets else Secrets()
        outcome = run(plan, secrets)
    except MLSQLError as error:
        outcome = RunResult.of_error("unknown", (), error)
    Location.of(args.result).replace(codec.dumps(outcome).encode())
    _orphan.remove()
    return 0 if outcome.is_successful else 1


def _read_once(uri: str) -> bytes:
    """A file that may hold secrets: gone once it is read, for whoever wrote it may be killed before it removes it."""
    place = Location.of(uri)
    text = place.read()
    place.remove_file()
    return text


def run(plan: Plan, secrets: Secrets) -> RunResult:
    """Run the plan on the session that spark-submit configured, with the secret properties added, and stop it."""
    from pyspark.sql import SparkSession

    imports = threading.Thread(target=_import_heavy, name="mlsql-imports", daemon=True)
    imports.start()  # while the JVM makes the session, which takes longer
    try:
        spark = SparkSession.builder.config(map=dict(secrets.spark)).getOrCreate()
    except Exception as error:
        traceback.print_exc()
        return RunResult.of_error(plan.job_id, (), translate(error))
    log(_announcement(spark).line)
    try:
        imports.join()
        from mlsql_runtime import engine

        return engine.run(plan, spark, secrets)
    finally:
        with contextlib.suppress(Exception):  # a JVM that is gone already must not cost the result
            spark.stop()


def _import_heavy() -> None:
    for module in _HEAVY:
        with contextlib.suppress(ImportError):  # whoever needs it says what is missing
            importlib.import_module(module)


def _announcement(spark: SparkSession) -> Announcement:
    """Where this application can be watched."""
    context = spark.sparkContext
    conf = context.getConf()
    keeps_events = conf.get("spark.eventLog.enabled", "false") == "true"
    return Announcement(
        spark=spark.version,
        master=str(context.master),
        application=context.applicationId,
        ui=context.uiWebUrl,
        history=history_address(conf.get("spark.yarn.historyServer.address"), keeps_events, context.applicationId),
    )


def _end_with(parent: int) -> None:
    """Ask this process to end when the one that submitted it is gone, so that no orphan publishes beside a retry."""
    begun = _start_time(parent)
    while _start_time(parent) == begun:
        time.sleep(PARENT_CHECK_SECONDS)
    _orphan.is_alone = True
    log(f"the process {parent} that submitted this job is gone")
    _cancel()


def _cancel() -> None:
    """End this job: its Spark jobs first, so that the statement under way fails and cleans up, then the process.

    Not by an exception in the main thread: PySpark would ask the busy JVM something on its way out, and wait.
    """
    from pyspark import SparkContext

    log("cancelling")
    threading.Timer(CANCEL_SECONDS, _leave).start()
    while True:  # until the process ends: the statement may be about to start its next job
        context = SparkContext._active_spark_context
        if context is not None:
            with contextlib.suppress(Exception):  # the JVM may be gone by now
                context.cancelAllJobs()
        time.sleep(CANCEL_AGAIN_SECONDS)


def _leave() -> None:
    _orphan.remove()
    os._exit(128 + signal.SIGTERM)


def _start_time(pid: int) -> str | None:
    """What tells a process from a later one of the same number; None when there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            state, *fields = file.read().rpartition(")")[2].split()
    except FileNotFoundError:
        if os.path.isdir("/proc/self"):
            return None
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return None
        return "alive"
    return None if state in "ZX" else fields[18]


if __name__ == "__main__":
    sys.exit(main())
