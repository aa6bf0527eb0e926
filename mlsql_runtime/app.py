"""The driver of a job: read a plan, delete its file, run it, write its result.

``spark-submit … launcher.py --plan URI --result URI``; the exit code is 0 if the plan succeeded, else 1. The result is written
in both cases; a missing result means that the application was killed. With ``--without-spark`` the driver is a process of Python
alone, which starts no session.
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
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from mlsql_runtime import codec
from mlsql_runtime.driver_secrets import hide_secrets_in_spark, take_access
from mlsql_runtime.errors import MLSQLError, StorageError
from mlsql_runtime.events import ApplicationStarted, emit, log, send_also_to
from mlsql_runtime.plan import NO_ACCESS, NO_SECRETS, Plan, Secrets, StorageAccess, load_plan
from mlsql_runtime.result import RunResult
from mlsql_runtime.spark_errors import translate
from mlsql_runtime.spark_versions import check_release, check_session, skip_pyspark_zip
from mlsql_runtime.storage.location import Location
from mlsql_runtime.submission import JOB_FOLDER_PREFIX, LOST_RESULT, OWNER_FILE
from mlsql_runtime.submission.event_files import EventFileWriter

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_ENGINE, _VECTORS = "mlsql_runtime.engine", "pyspark.ml.linalg"  # NumPy and Arrow come with them, then pandas and SciPy
PARENT_CHECK_SECONDS = 1.0
CANCEL_AGAIN_SECONDS = 0.5
CANCEL_SECONDS = 4.0  # for cleaning up, once cancelled: less than the submitter waits before it kills
ORPHAN_SECONDS = 20.0  # for the same, once no other process of an orphaned job is left
RESULT_WAITS = (1.0, 2.0, 4.0, 8.0, 15.0)  # seconds until a storage that did not take the result of a job is asked again


class _Cancellation:
    """Ends this process early: on SIGTERM, or when the process that submitted the job is gone.

    :param folder: the folder of the job's files, which nobody else removes once the submitter is gone.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._is_orphan = False
        self.plan: Plan | None = None
        self.secrets = NO_SECRETS

    def watch(self, parent: int) -> None:
        """Cancel the job when the process ``parent`` ends, so that no orphan publishes beside a retry."""
        import psutil  # a cluster's driver, which has no parent to watch, starts without it

        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(parent)
            while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                time.sleep(PARENT_CHECK_SECONDS)
        self._is_orphan = True
        log(f"the process {parent} that submitted this job is gone")
        self.cancel()

    def cancel(self) -> None:
        """End the job: its Spark jobs first, so that the statement under way fails and cleans up, then the process.

        Not by an exception in the main thread: PySpark would ask the busy JVM something on its way out, and wait.
        """
        log("cancelling")
        threading.Timer(CANCEL_SECONDS, self._exit).start()
        while True:  # until the process ends: the statement may be about to start its next job
            pyspark = sys.modules.get("pyspark.core.context")
            context = None if pyspark is None else pyspark.SparkContext._active_spark_context
            if context is not None:
                with contextlib.suppress(Exception):  # the JVM may be gone by now
                    context.cancelAllJobs()
            time.sleep(CANCEL_AGAIN_SECONDS)

    def remove_orphaned_folder(self) -> None:
        """Remove the job's folder if its submitter is gone."""
        if self._is_orphan and self._folder.name.startswith(JOB_FOLDER_PREFIX):
            shutil.rmtree(self._folder, ignore_errors=True)

    def _exit(self) -> None:
        try:
            if self._is_orphan:
                self._clean_up_orphan()
        finally:
            os._exit(128 + signal.SIGTERM)

    def _clean_up_orphan(self) -> None:
        """Do what the submitter can no longer do. Without the JVM, the statement under way fails, and cleans up itself."""
        from mlsql_runtime.submission.cleanup import remove_staged, remove_topics, staging_paths
        from mlsql_runtime.submission.processes import MARK, end_marked

        if mark := os.environ.get(MARK):
            end_marked(mark)
        main = threading.main_thread()
        main.join(ORPHAN_SECONDS)
        if main.is_alive() and self.plan is not None:
            remove_topics(self.plan, self.secrets)
            if self.plan.attempt.is_last:
                remove_staged(self.plan.job_id, staging_paths(self.plan), self.secrets.storage)
        self.remove_orphaned_folder()


def main(argv: Sequence[str] | None = None) -> int:
    """Run the plan that the arguments name, and return the exit code."""
    parser = argparse.ArgumentParser(prog="mlsql-app", description=__doc__)
    parser.add_argument("--plan", required=True, help="URI of the plan, JSON")
    parser.add_argument("--result", required=True, help="URI to write the result to, JSON")
    parser.add_argument("--secrets", help="file with what neither the plan nor a process list may show, JSON")
    parser.add_argument("--events", help="URI of a folder for the job's events, JSON lines; without it they are not stored")
    parser.add_argument("--with-access", action="store_true", help="take access to the storage of these files from Spark")
    parser.add_argument("--parent", type=int, help="id of the process to end with")
    parser.add_argument("--without-spark", action="store_true", help="start no Spark, which no statement needs")
    args = parser.parse_args(argv)
    skip_pyspark_zip()
    cancellation = _Cancellation(Path(args.plan).parent)
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=cancellation.cancel, daemon=True).start())
    if args.parent is not None:
        threading.Thread(target=cancellation.watch, args=(args.parent,), name="mlsql-parent", daemon=True).start()
    access = take_access() if args.with_access else NO_ACCESS

    jvm = os.getppid()

    def is_wanted() -> bool:
        """Return whether a cluster's driver may still write into the run's folder: not when its JVM was killed, about which the
        cluster says more, and not when the submitter has ended the job and removed the folder.
        """
        return args.events is None or (os.getppid() == jvm and (Location.of(args.result, access).parent / OWNER_FILE).exists())

    try:
        plan = load_plan(_read_once(args.plan, access), args.plan)
        secrets = codec.loads(Secrets, _read_once(args.secrets, access), args.secrets) if args.secrets else Secrets()
        if args.with_access:
            secrets = replace(secrets, storage=access)
        cancellation.plan, cancellation.secrets = plan, secrets
        with contextlib.ExitStack() as stack:  # the result comes last: with it the events are complete
            if args.events is not None:
                writer = stack.enter_context(EventFileWriter(Location.of(args.events, access), is_wanted))
                stack.enter_context(send_also_to(writer.add))
            result = _run_without_spark(plan, secrets) if args.without_spark else run(plan, secrets)
    except MLSQLError as error:
        result = RunResult.of_error("unknown", (), error)
    waits = () if args.events is None else RESULT_WAITS
    is_written = _write_result(result, Location.of(args.result, access), is_wanted, waits)
    cancellation.remove_orphaned_folder()
    return 0 if result.is_successful and is_written else 1


def _read_once(uri: str, access: StorageAccess) -> bytes:
    """Return a file's content and remove the file: it may hold secrets, and its writer may be killed before it removes it."""
    place = Location.of(uri, access)
    text = place.read()
    place.remove_file()
    return text


def _write_result(result: RunResult, place: Location, is_wanted: Callable[[], bool], waits: Sequence[float]) -> bool:
    """Write the result of a job, whose work would be lost with it; return whether the storage has taken it.

    :param waits: seconds until a storage that fails is asked again.
    """
    for wait in (*waits, None):
        try:
            if is_wanted():
                place.replace(codec.dumps(result).encode())
            return True
        except StorageError as error:
            if wait is None:
                log(f"{LOST_RESULT}{error.message}")
                break
            log(f"{error.message}; the result is written again in {wait:g} s")
            time.sleep(wait)
    return False


def run(plan: Plan, secrets: Secrets) -> RunResult:
    """Run the plan on the session that spark-submit configured, with the secret properties added, and stop the session.

    :raises InputError: when the plan cannot run on this version of Spark.
    """
    from pyspark import __version__ as pyspark
    from pyspark.sql import SparkSession

    check_release(pyspark, "in the driver's Python")
    has_engine = threading.Event()
    imports = threading.Thread(target=_import_heavy, args=(has_engine,), name="mlsql-imports", daemon=True)
    imports.start()  # while the JVM creates the session, and loads the first table
    try:
        has_secrets = secrets.spark or secrets.storage.connections
        properties = hide_secrets_in_spark(secrets.spark) if has_secrets else {}
        spark = SparkSession.builder.config(map=properties).getOrCreate()
    except Exception as error:
        traceback.print_exc()
        return RunResult.of_error(plan.job_id, (), translate(error))
    emit(_describe_application(spark))
    try:
        has_engine.wait()
        check_session(pyspark, spark.version)
        from mlsql_runtime import engine

        return engine.run(plan, spark, secrets)
    finally:
        imports.join()  # the process cannot end cleanly while a thread imports
        with contextlib.suppress(Exception):  # a JVM that is gone already must not cost the result
            spark.stop()


def _run_without_spark(plan: Plan, secrets: Secrets) -> RunResult:
    from mlsql_runtime import engine

    log("Spark is not needed here, and is not started")
    return engine.run(plan, None, secrets)


def _import_heavy(has_engine: threading.Event) -> None:
    for module in (_ENGINE, _VECTORS):
        try:
            with contextlib.suppress(ImportError):  # its next import raises it again, where it is reported
                importlib.import_module(module)
        finally:
            has_engine.set()


def _describe_application(spark: SparkSession) -> ApplicationStarted:
    context = spark.sparkContext
    conf = context.getConf()
    keeps_events = conf.get("spark.eventLog.enabled", "false") == "true"
    return ApplicationStarted(
        spark=spark.version,
        master=str(context.master),
        application=context.applicationId,
        ui=context.uiWebUrl,
        history=history_url(conf.get("spark.yarn.historyServer.address"), keeps_events, context.applicationId),
    )


def history_url(server: str | None, keeps_events: bool, application: str) -> str | None:
    """Return the URL of the history server's page about an application; None if it has no such page.

    :param server: ``spark.yarn.historyServer.address``, which Spark writes without a scheme.
    :param keeps_events: ``spark.eventLog.enabled``, without which the server does not know the application.
    """
    if not server or not keeps_events or "${" in server:  # YARN's own variables, which only its resource manager knows
        return None
    root = server if "://" in server else f"http://{server}"
    return f"{root.rstrip('/')}/history/{application}/"


if __name__ == "__main__":
    sys.exit(main())
