"""What the operators share: arguments for Spark, the job's identity, running a plan, ending it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import conf as settings
from airflow.sdk import Asset, BaseOperator
from airflow.sdk.log import mask_secret

from airflow_provider_mlsql.arguments import as_options, refuse_unknown
from airflow_provider_mlsql.hooks.mlsql import MLSQLHook
from airflow_provider_mlsql.links import ManifestLink, SparkUILink
from mlsql_runtime.errors import InputError, MLSQLError
from mlsql_runtime.plan import Attempt, Plan, Secrets, Statement, is_secret, with_author

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_mlsql.operators.cluster_run import ClusterRun
    from mlsql_runtime.result import RunResult

NO_CONF: Mapping[str, str] = {}
_LONG_AGO = datetime(1970, 1, 1, tzinfo=timezone.utc)
TRAINED = ("model_path", "version", "score")  # of a training's XCom, in events of assets
REGISTERED = ("function", "registered", "reason", "model_path", "version", "score")  # of a registration's


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
        """The plan's statements, from the rendered arguments."""
        raise NotImplementedError

    def secrets(self) -> Secrets:
        """What the statements need and a plan must not hold."""
        return Secrets()

    def execute(self, context: Context) -> dict[str, Any]:
        try:
            result = self.run_plan(context)
        except MLSQLError as error:
            raise self.locate(error) from error.__cause__
        return self.finish(context, result)

    def execute_complete(self, context: Context, event: Mapping[str, Any]) -> dict[str, Any]:
        """Go on when the application that the task has waited for is over."""
        plan, secrets = self._plan(context, self.statements()), self.secrets()
        try:
            result = self._on_cluster(context, self._open(context, {}), plan, secrets).complete(context, event)
        except MLSQLError as error:
            raise self.locate(error) from error.__cause__
        return self.finish(context, result)

    def finish(self, context: Context, result: RunResult) -> dict[str, Any]:
        """The task's XCom, and what else there is to do once the plan has run."""
        raise NotImplementedError

    def locate(self, error: MLSQLError) -> MLSQLError:
        """The error that ended the plan, with the place it is about when what the user wrote has places."""
        return error

    def run_plan(self, context: Context) -> RunResult:
        """Build the plan and run it."""
        return self.run_statements(context, self.statements(), self.secrets())

    def run_statements(
        self, context: Context, statements: tuple[Statement, ...], secrets: Secrets, conf: Mapping[str, str] = NO_CONF
    ) -> RunResult:
        """Run statements as one application, with Spark properties that come over the task's own."""
        conf = {**as_options(self.conf, "conf"), **conf}
        for given in (conf, *(statement.secret_values for statement in statements)):
            mask_secret(dict(given))  # those whose names say that they are
        hook, plan = self._open(context, conf), self._plan(context, statements)
        if hook.is_cluster:
            return self._on_cluster(context, hook, plan, secrets).run(context)
        if self.deferrable:
            raise InputError(
                f"deferrable is True, and connection {self.spark_conn_id} runs the driver in the worker, which cannot leave it; "
                "leave deferrable out, or give the connection deploy-mode cluster on YARN or Kubernetes"
            )
        return hook.run(plan, secrets)

    def _plan(self, context: Context, statements: tuple[Statement, ...]) -> Plan:
        return Plan(job_id=job_id(context), statements=with_author(statements, triggered_by(context)), attempt=attempt(context))

    def _open(self, context: Context, conf: Mapping[str, str]) -> MLSQLHook:
        """The hook, which from now on is what :meth:`on_kill` ends."""
        show = partial(SparkUILink().show, context, self)
        self._hook = MLSQLHook(self.spark_conn_id, conf, show, self.job_path, self.poll_interval)
        return self._hook

    def _on_cluster(self, context: Context, hook: MLSQLHook, plan: Plan, secrets: Secrets) -> ClusterRun:
        from airflow_provider_mlsql.operators.cluster_run import ClusterRun

        deferrable = settings.getboolean("operators", "default_deferrable", fallback=False)
        job = hook.cluster_job(plan, secrets, task=plan.job_id.rpartition("/")[0])
        return ClusterRun(self, job, job_id=plan.job_id, deferrable=deferrable if self.deferrable is None else self.deferrable)

    def tell_assets(self, context: Context, facts: Mapping[str, Any]) -> None:
        """Add facts to the events of the assets among the task's outlets, for the DAGs that are scheduled by them."""
        for outlet in self.outlets:
            if isinstance(outlet, Asset):  # an alias names no asset yet
                context["outlet_events"][outlet].extra.update(facts)

    def on_kill(self) -> None:
        if self._hook is not None:
            self._hook.on_kill()


def asset_facts(xcom: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """What of an XCom goes into events of assets."""
    return {name: xcom[name] for name in names}


def job_id(context: Context) -> str:
    """The job's identity: retries of one task instance share it, a cleared task gets a new one.

    ``max_tries`` grows when a task that has ended is cleared; of one that is cleared while it runs only the run's count tells.
    """
    ti, cleared = context["ti"], getattr(context.get("dag_run"), "clear_number", 0)
    mapped = f"[{ti.map_index}]" if ti.map_index is not None and ti.map_index >= 0 else ""
    tries = f"{getattr(ti, 'max_tries', 0)}{f'.{cleared}' if cleared else ''}"
    return f"{ti.dag_id}.{ti.task_id}{mapped}/{ti.run_id}/{tries}"


def attempt(context: Context) -> Attempt:
    """Which of the task's tries this is: a retry goes on where the one before was interrupted."""
    ti, run = context["ti"], context.get("dag_run")
    tried, tries = getattr(ti, "try_number", 1), getattr(ti, "max_tries", 0)
    begun = getattr(run, "start_date", None) or _LONG_AGO
    return Attempt(earlier_since=begun if tried > 1 else None, is_last=tried > tries)


def triggered_by(context: Context) -> str | None:
    """Who started the DAG run: the user, or else what did, such as ``scheduled``; None for somebody Airflow does not know."""
    run = context.get("dag_run")
    if run is None:
        return None
    kind = str(getattr(run.run_type, "value", run.run_type))
    return run.triggering_user_name or (None if kind == "manual" else kind)
