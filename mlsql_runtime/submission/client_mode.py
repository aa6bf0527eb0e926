"""One plan as one job in client mode, where the driver is a process of this machine: a Spark application, or Python alone."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from mlsql_runtime.errors import JobFailed, SessionNeeded
from mlsql_runtime.events import EVENTS_VARIABLE
from mlsql_runtime.plan import Plan, Secrets
from mlsql_runtime.result import RunResult
from mlsql_runtime.submission.class_archive import use_archives
from mlsql_runtime.submission.cleanup import remove_staged, remove_topics, staging_paths
from mlsql_runtime.submission.local_folder import clean_up_orphans, local_folder
from mlsql_runtime.submission.output import OutputLine
from mlsql_runtime.submission.precheck import check_job
from mlsql_runtime.submission.processes import end_marked, new_mark
from mlsql_runtime.submission.run_folder import RunFolder
from mlsql_runtime.submission.spark_submit import (
    SparkSubmitFailed,
    Submission,
    build_environment,
    build_submission,
    check_hadoop_configuration,
    run_spark_submit,
)
from mlsql_runtime.submission.without_spark import build_plain_command, can_do_without_spark

LOCAL = "local[*]"
BuildCommand = Callable[[Submission], Sequence[str]]


class ClientJob:
    """A plan whose driver runs on this machine.

    :param secrets: what the plan needs and does not hold; Spark's are taken from ``conf``.
    :param master: where Spark runs, such as ``local[*]`` or ``spark://host:7077``.
    :param conf: Spark properties. Those that look like secrets do not go to the command line.
    """

    def __init__(self, plan: Plan, secrets: Secrets, master: str, conf: Mapping[str, str]) -> None:
        self._plan, self._secrets, self._conf = plan, secrets, dict(conf)
        self._master = master
        self._is_local = master.partition("[")[0] == "local"
        self.mark = new_mark(plan.job_id)
        self._is_cancelled = self._is_running = False

    def run(self, build_command: BuildCommand, on_line: Callable[[OutputLine], None]) -> RunResult:
        """Run the plan to its end and return its result. No process of the job is left when this returns or raises.

        :param build_command: returns the command line of spark-submit. It is not called if no statement needs Spark.
        :param on_line: called with each line of its output, as it comes.
        :raises MLSQLError: the error that ended the plan, of the same class as in the application; an error that shows before
            Spark starts; JobFailed when the application ended without a result.
        """
        needs_spark = not self._is_local or not can_do_without_spark(self._plan, self._conf)
        check_job(self._plan, self._secrets, self._conf, is_local=self._is_local, needs_spark=needs_spark)
        if self._plan.attempt.is_retry:
            clean_up_orphans(self._plan.job_id)
        try:
            return self._run(None if not needs_spark else build_command, on_line)
        except SessionNeeded:
            return self._run(build_command, on_line)

    def _run(self, build_command: BuildCommand | None, on_line: Callable[[OutputLine], None]) -> RunResult:
        """Run the plan once; without spark-submit if there is no ``build_command``."""
        with local_folder(self.mark) as local:
            folder = RunFolder.at(str(local))
            folder.write(self._plan, self._secrets, self._conf)
            env = self._build_environment(folder)
            failure: SparkSubmitFailed | None = None
            self._is_running = True
            try:
                if self._is_cancelled:
                    raise JobFailed("the job was cancelled before Spark started")
                command = self._build_command(folder, env, build_command)
                if build_command is not None:
                    on_line(OutputLine("[mlsql] starting Spark, which usually takes 10 to 40 seconds"))
                run_spark_submit(command, env, on_line, lambda: self._is_cancelled)
            except SparkSubmitFailed as error:  # the result says what happened, if there is one
                failure = error
            finally:
                remove_topics(self._plan, self._secrets)
                self._is_running = False
                if self._plan.attempt.is_last and not folder.has_result():
                    self._remove_staged()
            result = folder.read_result()
        if result is None:
            reason = failure or "its process ended without an error"
            what = "job" if build_command is None else "Spark application"
            raise JobFailed(f"the {what} ended without a result ({reason}); see the log above, and retry")
        if result.is_successful and self._plan.attempt.is_retry:
            self._remove_staged()  # of attempts that ran another script, too
        result.raise_for_error()
        return result

    def cancel(self) -> int:
        """End every process of the job and let none start any more; return how many there were.

        Finished work is kept if another attempt may follow, because a worker that is shut down cancels its job, too.
        """
        self._is_cancelled = True
        if not self._is_running:
            return 0
        ended = end_marked(self.mark)
        remove_topics(self._plan, self._secrets)
        if self._plan.attempt.is_last:
            self._remove_staged()
        return ended

    def _remove_staged(self) -> None:
        remove_staged(self._plan.job_id, staging_paths(self._plan), self._secrets.storage)

    def _build_environment(self, run: RunFolder) -> dict[str, str]:
        folder = Path(run.uri)
        (folder / "java").mkdir()
        env = build_environment(self.mark, folder / "java")
        use_archives(env, self._conf)
        with contextlib.suppress(OSError):  # a file system without named pipes: events are printed as text
            os.mkfifo(folder / "events", 0o600)
            env[EVENTS_VARIABLE] = str(folder / "events")
        if self._is_local:
            env.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
            (folder / "spark").mkdir()
            env.setdefault("SPARK_LOCAL_DIRS", str(folder / "spark"))  # removed with the folder
            env["PYTHONHASHSEED"] = "0"  # spark-submit sets it, so that processes agree on digests of text
        return env

    def _build_command(self, run: RunFolder, env: Mapping[str, str], build_command: BuildCommand | None) -> Sequence[str]:
        folder, arguments = Path(run.uri), (*run.arguments, "--parent", str(os.getpid()))
        if build_command is None:
            return build_plain_command(folder, arguments)
        conf = {"spark.pyspark.driver.python": sys.executable}
        if self._is_local or self._master.startswith("spark://"):
            conf["spark.pyspark.python"] = sys.executable
        if self._is_local:
            conf["spark.sql.warehouse.dir"] = (folder / "warehouse").as_uri()  # not in the working directory
        submission = build_submission(self._plan, self._secrets.storage, conf | self._conf, folder, arguments, env)
        if self._master.startswith("yarn"):
            check_hadoop_configuration(submission)
        return build_command(submission)
