"""What the operators share: arguments for Spark, the job's identity, running a plan, ending it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import conf as settings
from airflow.sdk import Asset, BaseOperator
from airflow.sdk.log import mask_secret

from airflow_provider_mlsql.arguments import refuse_unknown
from airflow_provider_mlsql.hooks.mlsql import MLSQLHook
from airflow_provider_mlsql.links import ManifestLink, SparkUILink
from mlsql_runtime.errors import InputError, MLSQLError
from mlsql_runtime.plan import Attempt, Plan, Secrets, Statement, is_secret, with_author
from mlsql_runtime.plan.parsers import to_texts

if TYPE_CHECKING:
    from airflow.sdk import Context

    from mlsql_runtime.result import RunResult

_LONG_AGO = datetime(1970, 1, 1, tzinfo=timezone.utc)
TRAINED = ("model_path", "version", "score")  # of a training's XCom, in events of assets
REGISTERED = ("function", "registered", "reason", "model_path", "version", "score")  # of a registration's


@dataclass(frozen=True, kw_only=True)
class JobSpec:
    """What a task runs: statements, what they need and a plan must not hold, and Spark properties."""

    statements: tuple[Statement, ...]
    secrets: Secrets
    conf: Mapping[str, str]


class MLSQLOperator(BaseOperator):
    """Runs the statements of a subclass as one Spark application.

    :param spark_conn_id: the Spark connection; without ``spark_default`` Spark runs as ``local[*]`` in the worker.
    :param conf: Spark properties.
    :param job_path: for a connection with deploy mode cluster: a folder that the worker and the cluster reach, through which plan
        and result travel; None: below the plan's first model path.
    :param poll_interval: seconds between two questions to the cluster about the application.
    :param deferrable: with deploy mode cluster, wait in the triggerer, without a worker. ``[operators] default_deferrable`` by
        default, which says nothing in client mode, where the driver is a process of the worker.
    """

    template_fields: Sequence[str] = ("spark_conn_id", "conf", "job_path")
    operator_extra_links = (SparkUILink(), ManifestLink())
    ui_color = "#e8f7e4"

    def __init__(
        self,
        *,
        spark_conn_id: str = MLSQLHook.default_conn_name,
        conf: Mapping[str, Any] | None = None,
        job_path: str | None = None,
        poll_interval: float = 10.0,
        deferrable: bool | None = None,
        **kwargs: Any,
    ) -> None:
        refuse_unknown(type(self), kwargs)
        super().__init__(**kwargs)
        self.spark_conn_id = spark_conn_id
        self.conf = conf
        if isinstance(conf, Mapping):  # before Airflow records what the templates give
            mask_secret([str(value) for name, value in conf.items() if is_secret(name)])
        self.job_path = job_path
        self.poll_interval = poll_interval
        self.deferrable = deferrable
        self._hook: MLSQLHook | None = None

    def statements(self) -> tuple[Statement, ...]:
        """Return the plan's statements, from the rendered arguments."""
        raise NotImplementedError

    def secrets(self) -> Secrets:
        """Return what the statements need and a plan must not hold."""
        return Secrets()

    def build_job(self) -> JobSpec:
        """Return what the task runs, from the rendered arguments."""
        return JobSpec(statements=self.statements(), secrets=self.secrets(), conf=to_texts(self.conf, "conf"))

    def execute(self, context: Context) -> dict[str, Any]:
        try:
            result = self._run(context)
        except MLSQLError as error:
            raise self.locate(error) from error.__cause__
        return self.finish(context, result)

    def execute_complete(self, context: Context, event: Mapping[str, Any]) -> dict[str, Any]:
        """Go on when the application that the task has waited for is over."""
        try:
            result = self._run(context, event)
        except MLSQLError as error:
            raise self.locate(error) from error.__cause__
        return self.finish(context, result)

    def finish(self, context: Context, result: RunResult) -> dict[str, Any]:
        """Return the task's XCom, after what else there is to do once the plan has run."""
        raise NotImplementedError

    def locate(self, error: MLSQLError) -> MLSQLError:
        """Return the error that ended the plan, with its place if what the user wrote has places."""
        return error

    def _run(self, context: Context, event: Mapping[str, Any] | None = None) -> RunResult:
        """Run the plan, or go on with it after the event of a trigger."""
        job, task = self.build_job(), TaskRun.of(context)
        for values in (job.conf, *(statement.secret_values for statement in job.statements)):
            mask_secret(dict(values))  # those whose names say that they are secrets
        plan = Plan(job_id=task.job_id, statements=with_author(job.statements, triggered_by(context)), attempt=attempt(context))
        show = partial(SparkUILink().show, context, self)
        self._hook = hook = MLSQLHook(self.spark_conn_id, job.conf, show, self.job_path, self.poll_interval)
        if hook.is_cluster_mode or event is not None:
            from airflow_provider_mlsql.operators.cluster_run import ClusterRun

            deferrable = self.deferrable
            if deferrable is None:
                deferrable = settings.getboolean("operators", "default_deferrable", fallback=False)
            cluster_job = hook.open_cluster_job(plan, job.secrets, task=task.name)
            run = ClusterRun(self, context, cluster_job, job_id=plan.job_id, deferrable=deferrable)
            return run.run() if event is None else run.complete(event)
        if self.deferrable:
            raise InputError(
                f"deferrable is True, and connection {self.spark_conn_id} runs the driver in the worker, which cannot leave it; "
                "leave deferrable out, or give the connection deploy-mode cluster on YARN or Kubernetes"
            )
        return hook.run(plan, job.secrets)

    def tell_assets(self, context: Context, facts: Mapping[str, Any]) -> None:
        """Add facts to the events of the assets among the task's outlets, for the DAGs that are scheduled by them."""
        for outlet in self.outlets:
            if isinstance(outlet, Asset):  # an alias names no asset yet
                context["outlet_events"][outlet].extra.update(facts)

    def on_kill(self) -> None:
        if self._hook is not None:
            self._hook.on_kill()


def asset_facts(xcom: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """Return the values of an XCom that events of assets hold."""
    return {name: xcom[name] for name in names}


@dataclass(frozen=True)
class TaskRun:
    """A task in a DAG run.

    :param clears: counts how often the task was cleared: ``max_tries``, which grows when a task that has ended is cleared, and
        the DAG run's own count, which grows also when a running task is.
    """

    dag_id: str
    task_id: str
    map_index: int | None
    run_id: str
    clears: tuple[int, ...]

    @classmethod
    def of(cls, context: Context) -> TaskRun:
        """Return the task that Airflow's context is about."""
        ti, cleared = context["ti"], getattr(context.get("dag_run"), "clear_number", 0)
        map_index = ti.map_index if ti.map_index is not None and ti.map_index >= 0 else None
        clears = (getattr(ti, "max_tries", 0), cleared) if cleared else (getattr(ti, "max_tries", 0),)
        return cls(ti.dag_id, ti.task_id, map_index, ti.run_id, clears)

    @property
    def name(self) -> str:
        """The name of the task in its DAG run, the same after a clear."""
        mapped = f"[{self.map_index}]" if self.map_index is not None else ""
        return f"{self.dag_id}.{self.task_id}{mapped}/{self.run_id}"

    @property
    def job_id(self) -> str:
        """The ID of the task's job: retries share it, a cleared task gets another one."""
        return f"{self.name}/{'.'.join(map(str, self.clears))}"


def attempt(context: Context) -> Attempt:
    """Return which of the task's tries this is: a retry continues an interrupted one."""
    ti, run = context["ti"], context.get("dag_run")
    tried, tries = getattr(ti, "try_number", 1), getattr(ti, "max_tries", 0)
    start = getattr(run, "start_date", None) or _LONG_AGO
    return Attempt(earlier_since=start if tried > 1 else None, is_last=tried > tries)


def triggered_by(context: Context) -> str | None:
    """Return who started the DAG run: the user, or else the kind of run, such as ``scheduled``; None for an unknown user."""
    run = context.get("dag_run")
    if run is None:
        return None
    kind = str(getattr(run.run_type, "value", run.run_type))
    return run.triggering_user_name or (None if kind == "manual" else kind)
