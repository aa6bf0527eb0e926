"""Run plans as Spark applications, by a Spark connection."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from airflow.sdk import BaseHook

from mlsql_runtime.errors import InputError, JobFailed
from mlsql_runtime.plan import Plan, Preflight, PythonEnv, Secrets
from mlsql_runtime.result import PreflightResult, RunResult

if TYPE_CHECKING:
    from airflow_provider_mlsql.hooks.cluster import Application, Status
    from airflow_provider_mlsql.hooks.cluster_job import ClusterJob
    from airflow_provider_mlsql.hooks.spark_log import OnStarted
    from mlsql_runtime.submission.client_mode import Job

NO_SECRETS = Secrets()
OWN_PYTHON = PythonEnv()


class MLSQLHook(BaseHook):
    """Runs plans through the Spark connection ``spark_conn_id``; without such a connection on ``local[*]``.

    The connection says where the driver runs. In client mode it is a process of this machine, with deploy mode cluster, on YARN
    and Kubernetes, one of the cluster.

    :param spark_conn_id: a connection of type ``spark``; only ``spark_default`` may be missing.
    :param conf: Spark properties, such as ``{"spark.executor.memory": "4g"}``. Those that look like secrets do not go to the
        command line.
    :param on_started: called with what the application announces, when it has started.
    :param job_path: in cluster mode, a folder that this machine and the cluster reach; None: below the plan's first model path.
    :param poll_interval: in cluster mode, seconds between two questions about the application.
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
        self._on_started = on_started
        self._job_path, self._poll_interval = job_path, poll_interval
        self.conf = {key: str(value) for key, value in (conf or {}).items()}
        self._cancelled = False
        self._job: Job | ClusterJob | None = None

    def run(self, plan: Plan, secrets: Secrets = NO_SECRETS) -> RunResult:
        """Run the plan to its end and answer its result. No process of it is left when this returns or raises, unless the
        cluster does not answer.

        :param secrets: what the plan needs and does not hold; Spark's are taken from ``conf``.
        :raises MLSQLError: what ended the plan, as the class it had in the application; InputError and its kind before
            Spark starts, if they can be known; JobFailed when the application died without a result.
        """
        from airflow_provider_mlsql.hooks.spark_submit import Submitter
        from mlsql_runtime.submission.client_mode import Job

        if self.is_cluster:
            return self.cluster_job(plan, secrets, task=plan.job_id).run()
        self._job = Job(plan, secrets, self._master(), self.conf)
        if self._cancelled:
            raise JobFailed("the job was cancelled before Spark started")
        return self._job.run(Submitter(self.spark_conn_id, self._on_started))

    def preflight(
        self,
        *,
        script_path: str | None = None,
        runs: Literal["train", "register", "predict"] = "train",
        python: PythonEnv = OWN_PYTHON,
        model_path: str | None = None,
        paths: Sequence[str] = (),
    ) -> PreflightResult:
        """Look at every executor's host, whether a script could run there; nothing is trained, no data are read.

        :param script_path: the script, whose imports are looked for.
        :param runs: the kind of statement that it is for; a function runs in the executors' own Python, not in ``python``.
        :param model_path: has to be visible everywhere, as local ``paths`` have to be.
        :raises PreflightFailed: with everything that is wrong, of all hosts.
        """
        statement = Preflight(script_path=script_path, runs=runs, python=python, model_path=model_path, paths=tuple(paths))
        [found] = self.run(Plan(job_id=f"preflight/{uuid.uuid4().hex[:8]}", statements=(statement,))).steps
        assert isinstance(found, PreflightResult)
        found.raise_for_problems()
        return found

    @property
    def is_cluster(self) -> bool:
        """Whether the driver runs on the cluster."""
        from airflow_provider_mlsql.hooks.spark_submit import SubmitHook

        return SubmitHook(conn_id=self.spark_conn_id).deploy_mode == "cluster"

    def cluster_job(self, plan: Plan, secrets: Secrets, *, task: str) -> ClusterJob:
        """The plan as a job on the connection's cluster, which :meth:`on_kill` ends.

        :param task: whose job it is: other applications of it are ended before a new one begins.
        :raises InputError: when there is no such cluster, or no folder for the job's files.
        """
        from airflow_provider_mlsql.hooks.cluster import open_cluster
        from airflow_provider_mlsql.hooks.cluster_job import ClusterJob

        job = ClusterJob(
            open_cluster(self.spark_conn_id),
            plan,
            secrets,
            self.conf,
            task=task,
            job_path=self._job_path,
            conn_id=self.spark_conn_id,
            poll_interval=self._poll_interval,
            log=self.log,
            on_running=self._announce,
        )
        if self._cancelled:
            raise JobFailed("the job was cancelled before Spark started")
        self._job = job
        return job

    def _announce(self, application: Application, status: Status) -> None:
        from mlsql_runtime.events import ApplicationStarted

        if self._on_started is not None:
            page = status.url  # it leads to the history when the application is over
            self._on_started(ApplicationStarted(spark="", master="", application=application.id, ui=page, history=page))

    def on_kill(self) -> None:
        """End every process of the running plan, and start none any more."""
        self._cancelled = True
        if self._job is not None:
            self.log.info("Ended %d processes of the job", self._job.cancel())

    def _master(self) -> str:
        """Where Spark runs.

        :raises InputError: when the connection names no master.
        """
        from airflow_provider_mlsql.hooks.spark_submit import SubmitHook
        from mlsql_runtime.submission.client_mode import LOCAL

        submit = SubmitHook(conn_id=self.spark_conn_id)
        if submit.master.endswith("://"):
            raise InputError(f"connection {self.spark_conn_id} names no master; set its host, such as spark://host:7077 or yarn")
        if submit.master == LOCAL:
            self.log.info("Spark runs on %s, inside this worker: connection %s names no other master", LOCAL, self.spark_conn_id)
        return submit.master
