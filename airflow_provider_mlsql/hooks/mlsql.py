"""Run plans as Spark applications, by a Spark connection."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from airflow.providers.common.compat.sdk import BaseHook

from airflow_provider_mlsql.hooks.storage import ConnectionIds, read_storage
from mlsql_runtime.errors import InputError, JobFailed
from mlsql_runtime.plan import NO_SECRETS, Plan, Preflight, PythonEnv, Secrets
from mlsql_runtime.result import PreflightResult, RunResult

if TYPE_CHECKING:
    from airflow_provider_mlsql.hooks.cluster import Cluster
    from airflow_provider_mlsql.hooks.cluster_job import ClusterJob
    from airflow_provider_mlsql.hooks.spark_connection import SparkConnection
    from airflow_provider_mlsql.hooks.spark_log import OnStarted
    from mlsql_runtime.submission.client_mode import ClientJob

OWN_PYTHON = PythonEnv()


class MLSQLHook(BaseHook):
    """Runs plans through the Spark connection ``spark_conn_id``; without such a connection on ``local[*]``.

    The connection says where the driver runs: in client mode it is a process of this machine; with deploy mode cluster, on YARN
    and Kubernetes, it is one of the cluster.

    Modules that submit and follow applications are imported when they are used: DAG files import this one.

    :param spark_conn_id: a connection of type ``spark``; only ``spark_default`` may be missing.
    :param conf: Spark properties, such as ``{"spark.executor.memory": "4g"}``. Those that look like secrets do not go to the
        command line.
    :param on_started: called when the application has started, with where it can be watched.
    :param job_path: in cluster mode, a folder that this machine and the cluster reach; None: ``job_path`` in the connection's
        extra, or else below the plan's first model path.
    :param poll_interval: in cluster mode, seconds between two requests for the application's status.
    """

    conn_name_attr = "spark_conn_id"
    default_conn_name = "spark_default"
    hook_name = "MLSQL"

    def __init__(
        self,
        spark_conn_id: str = default_conn_name,
        conf: Mapping[str, Any] | None = None,
        on_started: OnStarted | None = None,
        job_path: str | None = None,
        poll_interval: float = 10.0,
    ) -> None:
        super().__init__()
        self.spark_conn_id = spark_conn_id
        self.conf = {key: str(value) for key, value in (conf or {}).items()}
        self._on_started, self._job_path, self._poll_interval = on_started, job_path, poll_interval
        self._is_cancelled = False
        self._job: ClientJob | ClusterJob | None = None

    def run(self, plan: Plan, secrets: Secrets = NO_SECRETS) -> RunResult:
        """Run the plan to its end and return its result. No process of it is left when this returns or raises, unless the
        cluster does not respond.

        :param secrets: what the plan needs and does not hold; Spark's are taken from ``conf``.
        :raises MLSQLError: the error that ended the plan, of the same class as in the application; an error that shows before
            Spark starts; JobFailed when the application ended without a result.
        """
        if self.is_cluster_mode:
            return self.open_cluster_job(plan, secrets, task=plan.job_id).run()
        from airflow_provider_mlsql.hooks.spark_log import OutputLog
        from mlsql_runtime.submission.client_mode import LOCAL, ClientJob

        connection, output = self._connection, OutputLog(self.log, self._on_started)
        if connection.master == LOCAL:
            self.log.info("Spark runs on %s, inside this worker: connection %s names no other master", LOCAL, self.spark_conn_id)
        job = ClientJob(plan, secrets, connection.master, self.conf)
        self._register(job)
        return job.run(connection.build_command, output.write)

    def preflight(
        self,
        *,
        script_path: str | None = None,
        runs: Literal["train", "register", "predict"] = "train",
        python: PythonEnv = OWN_PYTHON,
        model_path: str | None = None,
        paths: Sequence[str] = (),
        storage_conn_id: ConnectionIds = None,
    ) -> PreflightResult:
        """Check on every executor's host whether a script could run there. Nothing is trained, no data are read.

        :param script_path: the script, whose imports are looked for.
        :param runs: the kind of statement that it is for; a function runs in the executors' own Python, not in ``python``.
        :param model_path: has to be visible everywhere, as local ``paths`` have to be.
        :param storage_conn_id: connections to storage, as for the operators.
        :raises PreflightFailed: with everything that is wrong, of all hosts.
        """
        statement = Preflight(script_path=script_path, runs=runs, python=python, model_path=model_path, paths=tuple(paths))
        storage = read_storage(storage_conn_id)
        secrets = Secrets(spark=storage.spark, storage=storage.access)
        [found] = self.run(Plan(job_id=f"preflight/{uuid.uuid4().hex[:8]}", statements=(statement,)), secrets).steps
        assert isinstance(found, PreflightResult)
        found.raise_for_problems()
        return found

    @property
    def is_cluster_mode(self) -> bool:
        """Whether the driver runs on the cluster."""
        return self._connection.is_cluster_mode

    def open_cluster(self) -> Cluster:
        """Return the cluster of the connection.

        :raises InputError: when there is none for the connection's master, or the connection lacks something.
        """
        master = self._connection.master
        if master.startswith("yarn"):
            from airflow_provider_mlsql.hooks.yarn import YarnCluster

            return YarnCluster(self._connection)
        if master.startswith("k8s://"):
            from airflow_provider_mlsql.hooks.kubernetes import KubernetesCluster

            return KubernetesCluster(self._connection)
        wish = f"connection {self.spark_conn_id} asks for deploy mode cluster on {master}"
        if master.startswith("spark://"):
            raise InputError(
                f"{wish}, where Spark does not run Python applications in that mode; set deploy-mode to client: a retry "
                "continues an interrupted attempt there, too"
            )
        raise InputError(f"{wish}; that is for yarn and k8s://")

    def open_cluster_job(self, plan: Plan, secrets: Secrets, *, task: str) -> ClusterJob:
        """Return the plan as a job on the connection's cluster, which :meth:`on_kill` ends.

        :param task: whose job it is: other applications of it are ended before a new one begins.
        :raises InputError: when there is no such cluster, or no folder for the job's files.
        """
        from airflow_provider_mlsql.hooks.cluster_job import ClusterJob
        from airflow_provider_mlsql.hooks.spark_log import OutputLog

        job = ClusterJob(
            self.open_cluster(),
            plan,
            secrets,
            self.conf,
            task=task,
            job_path=self._job_path or self._connection.job_path,
            poll_interval=self._poll_interval,
            output=OutputLog(self.log, self._on_started),
            log=self.log,
        )
        self._register(job)
        return job

    def on_kill(self) -> None:
        """End every process of the running plan, and let none start any more."""
        self._is_cancelled = True
        if self._job is not None:
            self.log.info("Ended %d processes of the job", self._job.cancel())

    def _register(self, job: ClientJob | ClusterJob) -> None:
        """Let :meth:`on_kill` end a job.

        :raises JobFailed: when it has been called already.
        """
        self._job = job
        if self._is_cancelled:
            raise JobFailed("the job was cancelled before Spark started")

    @cached_property
    def _connection(self) -> SparkConnection:
        from airflow_provider_mlsql.hooks.spark_connection import SparkConnection

        return SparkConnection(self.spark_conn_id)
