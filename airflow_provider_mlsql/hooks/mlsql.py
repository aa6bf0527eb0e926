"""Run plans as Spark applications: submit, follow, end, and bring the result back."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import tempfile
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseHook

from mlsql_runtime.errors import InputError, JobFailed
from mlsql_runtime.plan import Plan, dump_plan
from mlsql_runtime.result import RunResult, load_result

if TYPE_CHECKING:
    from airflow_provider_mlsql.hooks.submit import SubmitHook

QUIET = {"spark.log.level": "WARN", "spark.ui.showConsoleProgress": "false"}


class MLSQLHook(BaseHook):
    """Runs plans through the Spark connection ``spark_conn_id``, in client mode; without such a connection on ``local[*]``.

    :param spark_conn_id: a connection of type ``spark``; only ``spark_default`` may be missing.
    :param conf: Spark properties, such as ``{"spark.executor.memory": "4g"}``.
    """

    conn_name_attr = "spark_conn_id"
    default_conn_name = "spark_default"
    hook_name = "MLSQL"

    def __init__(self, spark_conn_id: str = default_conn_name, conf: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        self.spark_conn_id = spark_conn_id
        self.conf = dict(conf or {})
        self._mark: str | None = None

    def run(self, plan: Plan) -> RunResult:
        """Run the plan to its end and answer its result. No process of it is left when this returns or raises.

        :raises MLSQLError: what ended the plan, as the class it had in the application; InputError and its kind before
            Spark starts, if they can be known; JobFailed when the application died without a result.
        """
        from mlsql_runtime.precheck import precheck

        master = self._master()
        precheck(plan, is_local=master.startswith("local"))
        with tempfile.TemporaryDirectory(prefix="mlsql-job-") as name:
            return self._run_in(Path(name), plan, master)

    def on_kill(self) -> None:
        """End every process of the running plan."""
        from airflow_provider_mlsql.hooks.processes import end_marked

        if self._mark is not None:
            self.log.info("Ended %d processes of the job", end_marked(self._mark))

    def _run_in(self, folder: Path, plan: Plan, master: str) -> RunResult:
        from airflow_provider_mlsql.hooks.processes import end_marked

        plan_file, result_file = folder / "plan.json", folder / "result.json"
        plan_file.touch(mode=0o600)
        plan_file.write_text(dump_plan(plan), encoding="utf-8")
        self._mark = uuid.uuid4().hex
        submit, launcher = self._submit_hook(folder, plan, master, ["--plan", str(plan_file), "--result", str(result_file)])
        failure: Exception | None = None
        try:
            submit.submit(str(launcher), env=self._environment(master))
        except Exception as error:  # the result file knows better what happened, if there is one
            failure = error
        finally:
            end_marked(self._mark)
        if not result_file.exists():
            told = str(failure).splitlines()[-1] if failure else "spark-submit ended without an error"
            raise JobFailed(f"the Spark application ended without a result ({told}); see the log above, and retry") from failure
        result = load_result(result_file.read_bytes())
        result.raise_for_error()
        return result

    def _master(self) -> str:
        """Where Spark runs.

        :raises InputError: for what this hook cannot do: cluster deploy mode, and running without Java.
        """
        from airflow_provider_mlsql.hooks.submit import LOCAL, SubmitHook

        connection = SubmitHook.get_connection(self.spark_conn_id)
        if connection.extra_dejson.get("deploy-mode") == "cluster":
            raise InputError(
                f"connection {self.spark_conn_id} asks for deploy mode cluster, but MLSQL jobs run in client mode: set that"
            )
        if not os.environ.get("JAVA_HOME") and shutil.which("java") is None:
            raise InputError("there is no Java on this worker; install Java 17 or newer, or set JAVA_HOME")
        if connection.host == LOCAL:
            self.log.info(
                "Spark runs on %s, inside this worker: no other master is configured in connection %s", LOCAL, self.spark_conn_id
            )
        return connection.host or ""

    def _submit_hook(self, folder: Path, plan: Plan, master: str, arguments: list[str]) -> tuple[SubmitHook, Path]:
        from airflow_provider_mlsql.hooks.bundle import write_bundle
        from airflow_provider_mlsql.hooks.submit import SubmitHook

        archive, launcher = write_bundle(folder)
        python = {} if master.startswith(("yarn", "k8s")) else {"spark.pyspark.python": sys.executable}
        submit = SubmitHook(
            conn_id=self.spark_conn_id,
            conf={**QUIET, **python, "spark.pyspark.driver.python": sys.executable, **self.conf},
            name=plan.job_id,
            py_files=str(archive),
            application_args=arguments,
        )
        return submit, launcher

    def _environment(self, master: str) -> dict[str, str]:
        """The worker's own, with the mark, and with this environment's Spark unless SPARK_HOME names another."""
        env = dict(os.environ)
        spec = importlib.util.find_spec("pyspark")
        if "SPARK_HOME" not in env and spec is not None and spec.submodule_search_locations:
            env["SPARK_HOME"] = spec.submodule_search_locations[0]
        if "SPARK_HOME" in env:
            env["PATH"] = f"{env['SPARK_HOME']}/bin{os.pathsep}{env.get('PATH', os.defpath)}"
        if master.startswith("local"):
            env.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
        return env | {"MLSQL_JOB_MARK": self._mark or "", "PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8:replace"}
