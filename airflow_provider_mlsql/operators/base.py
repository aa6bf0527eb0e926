"""What the operators share: arguments for Spark, the job's identity, running a plan, ending it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import Asset, BaseOperator
from airflow.sdk.log import mask_secret

from airflow_provider_mlsql.arguments import as_options, refuse_unknown
from airflow_provider_mlsql.hooks.mlsql import MLSQLHook
from mlsql_runtime.plan import Load, Plan, Predict, Save, Secrets, Statement, Train, signed

if TYPE_CHECKING:
    from airflow.sdk import Context

    from mlsql_runtime.result import RunResult

NO_CONF: Mapping[str, str] = {}
TRAINED = ("model_path", "version", "score")  # of a training's XCom, in events of assets
REGISTERED = ("function", "registered", "reason", "model_path", "version", "score")  # of a registration's


class MLSQLOperator(BaseOperator):
    """Runs the statements of a subclass as one Spark application.

    :param spark_conn_id: the Spark connection; without ``spark_default`` Spark runs as ``local[*]`` in the worker.
    :param conf: Spark properties.
    """

    template_fields: Sequence[str] = ("spark_conn_id", "conf")
    ui_color = "#e8f7e4"

    def __init__(
        self, *, spark_conn_id: str = MLSQLHook.default_conn_name, conf: Mapping[str, Any] | None = None, **kwargs: Any
    ) -> None:
        refuse_unknown(type(self), kwargs)
        super().__init__(**kwargs)
        self.spark_conn_id = spark_conn_id
        self.conf = conf
        self._hook: MLSQLHook | None = None

    def statements(self) -> tuple[Statement, ...]:
        """The plan's statements, from the rendered arguments."""
        raise NotImplementedError

    def secrets(self) -> Secrets:
        """What the statements need and a plan must not hold."""
        return Secrets()

    def run_plan(self, context: Context) -> RunResult:
        """Build the plan and run it."""
        return self.run_statements(context, self.statements(), self.secrets())

    def run_statements(
        self, context: Context, statements: tuple[Statement, ...], secrets: Secrets, conf: Mapping[str, str] = NO_CONF
    ) -> RunResult:
        """Run statements as one application, with Spark properties that come over the task's own."""
        conf = {**as_options(self.conf, "conf"), **conf}
        for given in (conf, *(_may_be_secret(statement) for statement in statements)):
            mask_secret(dict(given))  # those whose names say that they are
        self._hook = MLSQLHook(self.spark_conn_id, conf)
        plan = Plan(job_id=job_id(context), statements=signed(statements, triggered_by(context)))
        return self._hook.run(plan, secrets)

    def tell_assets(self, context: Context, facts: Mapping[str, Any]) -> None:
        """Add facts to the events of the assets among the task's outlets, for the DAGs that are scheduled by them."""
        for outlet in self.outlets:
            if isinstance(outlet, Asset):  # an alias names no asset yet
                context["outlet_events"][outlet].extra.update(facts)

    def on_kill(self) -> None:
        if self._hook is not None:
            self._hook.on_kill()


def _may_be_secret(statement: Statement) -> Mapping[str, str]:
    """Environment values of a statement's scripts, and its options for Spark's readers and writers."""
    if isinstance(statement, (Train, Predict)):
        return statement.python.envs
    return statement.options if isinstance(statement, (Load, Save)) else {}


def asset_facts(xcom: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """What of an XCom goes into events of assets."""
    return {name: xcom[name] for name in names}


def job_id(context: Context) -> str:
    """The job's identity: retries of one task instance share it, a cleared task gets a new one (``max_tries`` grows)."""
    ti = context["ti"]
    mapped = f"[{ti.map_index}]" if ti.map_index is not None and ti.map_index >= 0 else ""
    return f"{ti.dag_id}.{ti.task_id}{mapped}/{ti.run_id}/{getattr(ti, 'max_tries', 0)}"


def triggered_by(context: Context) -> str | None:
    """Who started the DAG run: the user, or else what did, such as ``scheduled``; None for somebody Airflow does not know."""
    run = context.get("dag_run")
    if run is None:
        return None
    kind = str(getattr(run.run_type, "value", run.run_type))
    return run.triggering_user_name or (None if kind == "manual" else kind)
