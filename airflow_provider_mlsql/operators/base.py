"""What the operators share: arguments for Spark, the job's identity, running a plan, ending it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.log import mask_secret

from airflow_provider_mlsql.arguments import as_options, refuse_unknown
from airflow_provider_mlsql.hooks.mlsql import MLSQLHook
from mlsql_runtime.plan import Plan, Predict, Secrets, Statement, Train

if TYPE_CHECKING:
    from airflow.sdk import Context

    from mlsql_runtime.result import RunResult


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
        plan = Plan(job_id=job_id(context), statements=self.statements())
        conf = as_options(self.conf, "conf")
        for secrets in (
            conf,
            *(statement.python.envs for statement in plan.statements if isinstance(statement, (Train, Predict))),
        ):
            mask_secret(dict(secrets))  # those whose names say that they are
        self._hook = MLSQLHook(self.spark_conn_id, conf)
        return self._hook.run(plan, self.secrets())

    def on_kill(self) -> None:
        if self._hook is not None:
            self._hook.on_kill()


def job_id(context: Context) -> str:
    """The job's identity: retries of one task instance share it, a cleared task gets a new one (``max_tries`` grows)."""
    ti = context["ti"]
    mapped = f"[{ti.map_index}]" if ti.map_index is not None and ti.map_index >= 0 else ""
    return f"{ti.dag_id}.{ti.task_id}{mapped}/{ti.run_id}/{getattr(ti, 'max_tries', 0)}"
