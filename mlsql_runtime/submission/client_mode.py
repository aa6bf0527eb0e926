"""One plan as one Spark application in client mode: submit, follow, end, and bring the result back."""

from __future__ import annotations

import importlib.util
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from mlsql_runtime import codec
from mlsql_runtime.errors import InputError, JobFailed, MLSQLError
from mlsql_runtime.plan import Plan, Secrets, check_property, dump_plan, is_secret, merge_archives
from mlsql_runtime.result import RunResult, load_result
from mlsql_runtime.script import thread_limits as libraries
from mlsql_runtime.submission.cleanup import remove_staged, remove_topics
from mlsql_runtime.submission.precheck import precheck
from mlsql_runtime.submission.processes import MARK, end_marked, end_orphans, new_mark
from mlsql_runtime.submission.runtime_zip import write_bundle

LOCAL = "local[*]"
ARCHIVES = "spark.archives"
QUIET = {"spark.log.level": "WARN", "spark.ui.showConsoleProgress": "false"}
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Submission:
    """What spark-submit is given. ``conf`` holds no secret."""

    name: str
    conf: Mapping[str, str]
    py_files: str
    application: str
    arguments: tuple[str, ...]
    env: Mapping[str, str]


class Submitter(Protocol):
    """Whoever runs spark-submit."""

    def submit(self, submission: Submission) -> None:
        """Return when it has ended.

        :raises MLSQLError: when it cannot be started; any other exception counts only when there is no result.
        """

    def close(self) -> None:
        """Called once no process of the job is left."""


class Job:
    """A Spark application that runs one plan.

    :param master: where Spark runs, such as ``local[*]`` or ``spark://host:7077``.
    :param conf: Spark properties. Those that look like secrets do not go to the command line.
    :param secrets: what the plan needs and does not hold; Spark's are taken from ``conf``.
    """

    def __init__(self, plan: Plan, secrets: Secrets, master: str, conf: Mapping[str, str]) -> None:
        self._plan, self._secrets, self._master = plan, secrets, master
        self._conf = dict(conf)
        self.mark = new_mark(plan.job_id)
        self._cancelled = self._running = False

    def run(self, submitter: Submitter) -> RunResult:
        """Run the plan to its end and answer its result. No process of it is left when this returns or raises.

        :raises MLSQLError: what ended the plan, as the class it had in the application; InputError and its kind before
            Spark starts, if they can be known; JobFailed when the application died without a result.
        """
        for name, value in self._conf.items():
            check_property(name, value)
        require_java()
        precheck(self._plan, is_local(self._master), self._secrets)
        if self._plan.attempt.earlier_since is not None and (orphans := end_orphans(self._plan.job_id)):
            _log.info("Ended %d processes of an earlier attempt", orphans)
        with tempfile.TemporaryDirectory(prefix="mlsql-job-") as name:
            return self._run_in(Path(name), submitter)

    def cancel(self) -> int:
        """End every process of the job, and start none any more; answers how many there were.

        What is finished stays for the next attempt, if one may come: that a worker is taken away looks like this, too.
        """
        self._cancelled = True
        if not self._running:
            return 0
        ended = end_marked(self.mark)
        remove_topics(self._plan, self._secrets)
        if self._plan.attempt.is_last:
            remove_staged(self._plan)
        return ended

    def _run_in(self, folder: Path, submitter: Submitter) -> RunResult:
        result_file = folder / "result.json"
        submission = self._prepare(folder, result_file)
        failure: Exception | None = None
        try:
            self._running = True
            if self._cancelled:
                raise JobFailed("the job was cancelled before Spark started")
            submitter.submit(submission)
        except MLSQLError:  # it never began
            raise
        except Exception as error:  # the result file knows better what happened, if there is one
            failure = error
        finally:
            end_marked(self.mark)
            submitter.close()
            remove_topics(self._plan, self._secrets)
            self._running = False
            if self._plan.attempt.is_last and not result_file.exists():
                remove_staged(self._plan)
        if not result_file.exists():
            told = str(failure).splitlines()[-1] if failure else "spark-submit ended without an error"
            raise JobFailed(f"the Spark application ended without a result ({told}); see the log above, and retry") from failure
        result = load_result(result_file.read_bytes())
        if result.is_successful and self._plan.attempt.earlier_since is not None:
            remove_staged(self._plan)  # of attempts that ran another script, too
        result.raise_for_error()
        return result

    def _prepare(self, folder: Path, result_file: Path) -> Submission:
        """Write the files of the job."""
        secret = {key: value for key, value in self._conf.items() if is_secret(key)}
        plan_file = _write_private(folder / "plan.json", dump_plan(self._plan))
        secrets_file = _write_private(folder / "secrets.json", codec.dumps(replace(self._secrets, spark=secret)))
        archive, launcher = write_bundle(folder)
        public = {key: value for key, value in self._conf.items() if key not in secret}
        return Submission(
            name=self._plan.job_id,
            conf=with_archives(self._plan, self._defaults(folder) | public),
            py_files=str(archive),
            application=str(launcher),
            arguments=(
                *("--plan", str(plan_file), "--result", str(result_file)),
                *("--secrets", str(secrets_file), "--parent", str(os.getpid())),
            ),
            env=self._environment(folder),
        )

    def _defaults(self, folder: Path) -> dict[str, str]:
        """Spark properties that ``conf`` may override."""
        conf = QUIET | {"spark.pyspark.driver.python": sys.executable}
        if is_local(self._master) or self._master.startswith("spark://"):
            conf["spark.pyspark.python"] = sys.executable
        if is_local(self._master):
            conf["spark.sql.warehouse.dir"] = (folder / "warehouse").as_uri()  # not in the working directory
        return conf

    def _environment(self, folder: Path) -> dict[str, str]:
        env = submit_environment(self.mark)
        if is_local(self._master):
            env.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
            env.setdefault("SPARK_LOCAL_DIRS", str(folder / "spark"))  # goes with the job
        return env


def with_archives(plan: Plan, conf: Mapping[str, str]) -> dict[str, str]:
    """Spark's properties, with the archives that the plan's scripts have their Python in.

    :raises InputError: when two archives would be unpacked in the same folder.
    """
    archives = merge_archives((archive for each in plan.statements for archive in each.archives), conf.get(ARCHIVES, ""))
    return {**conf, ARCHIVES: archives} if archives else dict(conf)


def require_java() -> None:
    """Without it spark-submit does not start.

    :raises InputError: when there is none.
    """
    if not os.environ.get("JAVA_HOME") and shutil.which("java") is None:
        raise InputError("there is no Java on this machine; install Java 17 or newer, or set JAVA_HOME")


def submit_environment(mark: str) -> dict[str, str]:
    """This process's without Airflow's settings and connections, and this environment's Spark unless SPARK_HOME is set."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "_AIRFLOW"))}
    spec = importlib.util.find_spec("pyspark")
    if "SPARK_HOME" not in env and spec is not None and spec.submodule_search_locations:
        env["SPARK_HOME"] = spec.submodule_search_locations[0]
    if "SPARK_HOME" in env:
        env["PATH"] = f"{env['SPARK_HOME']}/bin{os.pathsep}{env.get('PATH', os.defpath)}"
    return libraries.QUIET | env | {MARK: mark, "PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8:replace"}


def is_local(master: str) -> bool:
    """Whether driver and executors are this machine."""
    return master.partition("[")[0] == "local"


def _write_private(path: Path, text: str) -> Path:
    path.touch(mode=0o600)
    path.write_text(text, encoding="utf-8")
    return path
