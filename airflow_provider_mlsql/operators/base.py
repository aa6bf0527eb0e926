"""What the operators share: arguments for Spark, the job's identity, running a plan, ending it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.log import mask_secret

from airflow_provider_mlsql.arguments import as_options, refuse_unknown
from airflow_provider_mlsql.hooks.mlsql import MLSQLHook
from mlsql_runtime.plan import Load, Plan, Predict, Save, Secrets, Statement, Train

if TYPE_CHECKING:
    from airflow.sdk import Context

    from mlsql_runtime.result import RunResult

NO_CONF: Mapping[str, str] = {}


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
        return self._hook.run(Plan(job_id=job_id(context), statements=statements), secrets)

    def on_kill(self) -> None:
        if self._hook is not None:
            self._hook.on_kill()


def _may_be_secret(statement: Statement) -> Mapping[str, str]:
    """Environment values of a statement's scripts, and its options for Spark's readers and writers."""
    if isinstance(statement, (Train, Predict)):
        return statement.python.envs
    return statement.options if isinstance(statement, (Load, Save)) else {}


def job_id(context: Context) -> str:
    """The job's identity: retries of one task instance share it, a cleared task gets a new one (``max_tries`` grows)."""
    ti = context["ti"]
    mapped = f"[{ti.map_index}]" if ti.map_index is not None and ti.map_index >= 0 else ""
    return f"{ti.dag_id}.{ti.task_id}{mapped}/{ti.run_id}/{getattr(ti, 'max_tries', 0)}"
