"""The identity of a task in a DAG run, from which its job gets its own."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from mlsql_runtime.plan import Attempt, TaskTry

if TYPE_CHECKING:
    from airflow.sdk import Context

_LONG_AGO = datetime(1970, 1, 1, tzinfo=timezone.utc)


@dataclass(frozen=True, kw_only=True)
class TaskRun:
    """A try of a task in a DAG run.

    :param attempt: which of its tries this is: a retry continues an interrupted one.
    :param clears: counts how often the task was cleared: ``max_tries``, which grows when a task that has ended is cleared, and
        the DAG run's own count, which grows also when a running task is.
    :param started_by: the user who started the DAG run, or else its kind, such as ``scheduled``; None for an unknown user.
    """

    task: TaskTry
    attempt: Attempt
    clears: tuple[int, ...]
    started_by: str | None

    @classmethod
    def of(cls, context: Context) -> TaskRun:
        """Return the task that Airflow's context is about."""
        ti, run = context["ti"], context.get("dag_run")
        tried, tries = getattr(ti, "try_number", 1), getattr(ti, "max_tries", 0)
        cleared = getattr(run, "clear_number", 0)
        start = getattr(run, "start_date", None) or _LONG_AGO
        kind = None if run is None else str(getattr(run.run_type, "value", run.run_type))
        return cls(
            task=TaskTry(
                dag_id=ti.dag_id,
                task_id=ti.task_id,
                map_index=None if ti.map_index == -1 else ti.map_index,
                run_id=ti.run_id,
                try_number=tried,
            ),
            attempt=Attempt(earlier_since=start if tried > 1 else None, is_last=tried > tries),
            clears=(tries, cleared) if cleared else (tries,),
            started_by=getattr(run, "triggering_user_name", None) or (None if kind == "manual" else kind),
        )

    @property
    def name(self) -> str:
        """The name of the task in its DAG run, the same after a clear."""
        mapped = "" if self.task.map_index is None else f"[{self.task.map_index}]"
        return f"{self.task.dag_id}.{self.task.task_id}{mapped}/{self.task.run_id}"

    @property
    def job_id(self) -> str:
        """The ID of the task's job: retries share it, a cleared task gets another one."""
        return f"{self.name}/{'.'.join(map(str, self.clears))}"
