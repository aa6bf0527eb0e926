"""What the operators share: arguments for Spark, the job's identity, running a plan, ending it."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from airflow_provider_mlsql.hooks.mlsql import MLSQLHook
from mlsql_runtime.errors import InputError, did_you_mean
from mlsql_runtime.plan import Plan, Statement

if TYPE_CHECKING:
    from airflow.sdk import Context

    from mlsql_runtime.result import RunResult


class MLSQLOperator(BaseOperator):
    """Runs the statements of a subclass as one Spark application.

    :param spark_conn_id: the Spark connection; without ``spark_default`` Spark runs as ``local[*]`` in the worker.
    :param conf: Spark properties.
    """

    template_fields: Sequence[str] = ("conf",)
    ui_color = "#e8f7e4"

    def __init__(
        self, *, spark_conn_id: str = MLSQLHook.default_conn_name, conf: Mapping[str, Any] | None = None, **kwargs: Any
    ) -> None:
        _refuse_unknown(type(self), kwargs)
        super().__init__(**kwargs)
        self.spark_conn_id = spark_conn_id
        self.conf = conf
        self._hook: MLSQLHook | None = None

    def statements(self) -> tuple[Statement, ...]:
        """The plan's statements, from the rendered arguments."""
        raise NotImplementedError

    def run_plan(self, context: Context) -> RunResult:
        """Build the plan and run it."""
        plan = Plan(job_id=job_id(context), statements=self.statements())
        self._hook = MLSQLHook(self.spark_conn_id, self.conf)
        return self._hook.run(plan)

    def on_kill(self) -> None:
        if self._hook is not None:
            self._hook.on_kill()


def job_id(context: Context) -> str:
    """The job's identity: retries of one task instance share it, a cleared task gets a new one (``max_tries`` grows)."""
    ti = context["ti"]
    mapped = f"[{ti.map_index}]" if ti.map_index is not None and ti.map_index >= 0 else ""
    return f"{ti.dag_id}.{ti.task_id}{mapped}/{ti.run_id}/{getattr(ti, 'max_tries', 0)}"


def _refuse_unknown(operator: type[BaseOperator], kwargs: Mapping[str, Any]) -> None:
    own = {name for cls in operator.__mro__[:-1] for name in inspect.signature(cls).parameters}
    for name in kwargs:
        if name not in own:
            raise InputError(
                f"{operator.__name__} has no argument '{name}'{did_you_mean(name, own - {'self', 'kwargs', 'args'})}",
                argument=name,
            )
