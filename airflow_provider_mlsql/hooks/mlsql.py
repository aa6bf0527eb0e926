"""Run plans as Spark applications: submit, follow, end, and bring the result back."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import sys
import tempfile
import uuid
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseHook

from mlsql_runtime import codec
from mlsql_runtime.errors import InputError, JobFailed
from mlsql_runtime.plan import KafkaFeed, Plan, Predict, Secrets, Train, dump_plan
from mlsql_runtime.result import RunResult, load_result

if TYPE_CHECKING:
    from airflow_provider_mlsql.hooks.submit import SubmitHook

QUIET = {"spark.log.level": "WARN", "spark.ui.showConsoleProgress": "false"}
NO_SECRETS = Secrets()
_SECRET = re.compile(r"secret|password|token|access[._-]?key|credential", re.IGNORECASE)


class MLSQLHook(BaseHook):
    """Runs plans through the Spark connection ``spark_conn_id``, in client mode; without such a connection on ``local[*]``.

    :param spark_conn_id: a connection of type ``spark``; only ``spark_default`` may be missing.
    :param conf: Spark properties, such as ``{"spark.executor.memory": "4g"}``. Those that look like secrets do not go to the
        command line.
    """

    conn_name_attr = "spark_conn_id"
    default_conn_name = "spark_default"
    hook_name = "MLSQL"

    def __init__(self, spark_conn_id: str = default_conn_name, conf: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        self.spark_conn_id = spark_conn_id
        self.conf = {key: str(value) for key, value in (conf or {}).items()}
        self._mark = uuid.uuid4().hex
        self._cancelled = False
        self._running: tuple[Plan, Secrets] | None = None

    def run(self, plan: Plan, secrets: Secrets = NO_SECRETS) -> RunResult:
        """Run the plan to its end and answer its result. No process of it is left when this returns or raises.

        :param secrets: what the plan needs and does not hold; Spark's are taken from ``conf``.
        :raises MLSQLError: what ended the plan, as the class it had in the application; InputError and its kind before
            Spark starts, if they can be known; JobFailed when the application died without a result.
        """
        from mlsql_runtime.precheck import precheck

        master = self._master()
        precheck(plan, _is_local(master), secrets)
        self._running = plan, secrets
        with tempfile.TemporaryDirectory(prefix="mlsql-job-") as name:
            return self._run_in(Path(name), plan, secrets, master)

    def on_kill(self) -> None:
        """End every process of the running plan, and start none any more."""
        from airflow_provider_mlsql.hooks.processes import end_marked

        self._cancelled = True
        self.log.info("Ended %d processes of the job", end_marked(self._mark))
        if self._running is not None:
            self._remove_topics(*self._running)

    def _run_in(self, folder: Path, plan: Plan, secrets: Secrets, master: str) -> RunResult:
        from airflow_provider_mlsql.hooks.processes import end_marked

        submit, launcher, result_file = self._prepare(folder, plan, secrets, master)
        failure: Exception | None = None
        try:
            if self._cancelled:
                raise JobFailed("the job was cancelled before Spark started")
            submit.submit(str(launcher), env=self._environment(folder, master), encoding="utf-8", errors="replace")
        except JobFailed:
            raise
        except Exception as error:  # the result file knows better what happened, if there is one
            failure = error
        finally:
            end_marked(self._mark)
            submit.close()
            self._remove_topics(plan, secrets)
        if not result_file.exists():
            self._remove_stagings(plan)
            told = str(failure).splitlines()[-1] if failure else "spark-submit ended without an error"
            raise JobFailed(f"the Spark application ended without a result ({told}); see the log above, and retry") from failure
        result = load_result(result_file.read_bytes())
        result.raise_for_error()
        return result

    def _master(self) -> str:
        """Where Spark runs.

        :raises InputError: for what this hook cannot do: cluster deploy mode, a connection without a master, no Java.
        """
        from airflow_provider_mlsql.hooks.submit import LOCAL, SubmitHook

        submit = SubmitHook(conn_id=self.spark_conn_id)
        if "cluster" in (submit.deploy_mode, self.conf.get("spark.submit.deployMode")):
            raise InputError(
                f"connection {self.spark_conn_id} or conf asks for deploy mode cluster; MLSQL jobs run in client mode: set that"
            )
        if submit.master.endswith("://"):
            raise InputError(f"connection {self.spark_conn_id} names no master; set its host, such as spark://host:7077 or yarn")
        if not os.environ.get("JAVA_HOME") and shutil.which("java") is None:
            raise InputError("there is no Java on this worker; install Java 17 or newer, or set JAVA_HOME")
        if submit.master == LOCAL:
            self.log.info("Spark runs on %s, inside this worker: connection %s names no other master", LOCAL, self.spark_conn_id)
        return submit.master

    def _remove_stagings(self, plan: Plan) -> None:
        """A driver that was killed could not remove what it had staged."""
        from mlsql_runtime.store.publish import remove_stagings
        from mlsql_runtime.store.read import open_model_path

        for statement in plan.statements:
            if isinstance(statement, (Train, Predict)):
                remove_stagings(open_model_path(statement.model_path), plan.job_id)

    def _remove_topics(self, plan: Plan, secrets: Secrets) -> None:
        """Topics and groups of the plan's runs: a driver that was killed could not, and a script that outlived it may have
        committed once more.
        """
        from mlsql_runtime.kafka.run_topic import Owner, remove_run, settings_of

        for statement in plan.statements:
            if isinstance(statement, Train) and isinstance(statement.feed, KafkaFeed):
                owner = Owner(plan.job_id, statement.model_path, len(statement.fit_params))
                try:
                    remove_run(statement.feed, settings_of(statement.feed, secrets), owner)
                except Exception as error:  # of kafka-python, too
                    self.log.warning("The run's topic or groups may be left, remove them by hand: %s", error)

    def _prepare(self, folder: Path, plan: Plan, secrets: Secrets, master: str) -> tuple[SubmitHook, Path, Path]:
        """Write the files of the job; answers what submits it, the script that starts it, and where its result will be."""
        from airflow_provider_mlsql.hooks.bundle import write_bundle
        from airflow_provider_mlsql.hooks.submit import SubmitHook

        result_file = folder / "result.json"
        secret = {key: value for key, value in self.conf.items() if _SECRET.search(key)}
        plan_file = _write_private(folder / "plan.json", dump_plan(plan))
        secrets_file = _write_private(folder / "secrets.json", codec.dumps(replace(secrets, spark=secret)))
        archive, launcher = write_bundle(folder)
        submit = SubmitHook(
            conn_id=self.spark_conn_id,
            conf=self._defaults(folder, master) | {key: value for key, value in self.conf.items() if key not in secret},
            name=plan.job_id,
            py_files=str(archive),
            application_args=[
                *("--plan", str(plan_file), "--result", str(result_file)),
                *("--secrets", str(secrets_file), "--parent", str(os.getpid())),
            ],
        )
        return submit, launcher, result_file

    def _defaults(self, folder: Path, master: str) -> dict[str, str]:
        """Spark properties that ``conf`` may override."""
        conf = QUIET | {"spark.pyspark.driver.python": sys.executable}
        if _is_local(master) or master.startswith("spark://"):
            conf["spark.pyspark.python"] = sys.executable
        if _is_local(master):
            conf["spark.sql.warehouse.dir"] = (folder / "warehouse").as_uri()  # not in Airflow's working directory
        return conf

    def _environment(self, folder: Path, master: str) -> dict[str, str]:
        """The worker's own without Airflow's settings and connections, with this environment's Spark unless SPARK_HOME is set."""
        from airflow_provider_mlsql.hooks.processes import MARK

        env = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "_AIRFLOW"))}
        spec = importlib.util.find_spec("pyspark")
        if "SPARK_HOME" not in env and spec is not None and spec.submodule_search_locations:
            env["SPARK_HOME"] = spec.submodule_search_locations[0]
        if "SPARK_HOME" in env:
            env["PATH"] = f"{env['SPARK_HOME']}/bin{os.pathsep}{env.get('PATH', os.defpath)}"
        if _is_local(master):
            env.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
            env.setdefault("SPARK_LOCAL_DIRS", str(folder / "spark"))  # goes with the job
        return env | {MARK: self._mark, "PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8:replace"}


def _is_local(master: str) -> bool:
    return master.partition("[")[0] == "local"


def _write_private(path: Path, text: str) -> Path:
    path.touch(mode=0o600)
    path.write_text(text, encoding="utf-8")
    return path
