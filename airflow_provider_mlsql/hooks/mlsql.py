"""Run plans as Spark applications, by a Spark connection."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseHook

from mlsql_runtime.errors import InputError, JobFailed
from mlsql_runtime.plan import Plan, Secrets
from mlsql_runtime.result import RunResult

if TYPE_CHECKING:
    from airflow_provider_mlsql.hooks.readable_log import OnStarted
    from mlsql_runtime.launch.job import Job

NO_SECRETS = Secrets()


class MLSQLHook(BaseHook):
    """Runs plans through the Spark connection ``spark_conn_id``, in client mode; without such a connection on ``local[*]``.

    :param spark_conn_id: a connection of type ``spark``; only ``spark_default`` may be missing.
    :param conf: Spark properties, such as ``{"spark.executor.memory": "4g"}``. Those that look like secrets do not go to the
        command line.
    :param on_started: called with what the application announces, when it has started.
    """

    conn_name_attr = "spark_conn_id"
    default_conn_name = "spark_default"
    hook_name = "MLSQL"

    def __init__(
        self,
        spark_conn_id: str = default_conn_name,
        conf: Mapping[str, Any] | None = None,
        on_started: OnStarted | None = None,
    ) -> None:
        super().__init__()
        self.spark_conn_id = spark_conn_id
        self._on_started = on_started
        self.conf = {key: str(value) for key, value in (conf or {}).items()}
        self._cancelled = False
        self._job: Job | None = None

    def run(self, plan: Plan, secrets: Secrets = NO_SECRETS) -> RunResult:
        """Run the plan to its end and answer its result. No process of it is left when this returns or raises.

        :param secrets: what the plan needs and does not hold; Spark's are taken from ``conf``.
        :raises MLSQLError: what ended the plan, as the class it had in the application; InputError and its kind before
            Spark starts, if they can be known; JobFailed when the application died without a result.
        """
        from airflow_provider_mlsql.hooks.submit import Submitter
        from mlsql_runtime.launch.job import Job

        self._job = Job(plan, secrets, self._master(), self.conf)
        if self._cancelled:
            raise JobFailed("the job was cancelled before Spark started")
        return self._job.run(Submitter(self.spark_conn_id, self._on_started))

    def on_kill(self) -> None:
        """End every process of the running plan, and start none any more."""
        self._cancelled = True
        if self._job is not None:
            self.log.info("Ended %d processes of the job", self._job.cancel())

    def _master(self) -> str:
        """Where Spark runs.

        :raises InputError: for what this hook cannot do: cluster deploy mode, a connection without a master.
        """
        from airflow_provider_mlsql.hooks.submit import SubmitHook
        from mlsql_runtime.launch.job import LOCAL

        submit = SubmitHook(conn_id=self.spark_conn_id)
        if submit.deploy_mode == "cluster":
            raise InputError(f"connection {self.spark_conn_id} asks for deploy mode cluster; jobs run in client mode: set that")
        if submit.master.endswith("://"):
            raise InputError(f"connection {self.spark_conn_id} names no master; set its host, such as spark://host:7077 or yarn")
        if submit.master == LOCAL:
            self.log.info("Spark runs on %s, inside this worker: connection %s names no other master", LOCAL, self.spark_conn_id)
        return submit.master
