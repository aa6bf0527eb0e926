"""What the database knows of a task that a page is about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_mlsql.xcom_versions import ModelVersion, find_versions

if TYPE_CHECKING:
    from sqlalchemy.orm import Session


@dataclass(frozen=True, kw_only=True)
class TaskKey:
    """Which task instance: ``map_index`` is -1 for one that is not mapped."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int = -1

    @property
    def label(self) -> str:
        mapped = f"[{self.map_index}]" if self.map_index >= 0 else ""
        return f"{self.dag_id}.{self.task_id}{mapped}"


class NoVersions(Exception):
    """There is no such task, or it has named no model version."""


def read_named_versions(task: TaskKey, session: Session) -> tuple[ModelVersion, ...]:
    """The model versions that the task's XCom names.

    :raises NoVersions: with a sentence that says why.
    """
    from airflow.models.taskinstance import TaskInstance
    from airflow.models.xcom import XComModel
    from sqlalchemy import select

    conditions = [TaskInstance.dag_id == task.dag_id, TaskInstance.run_id == task.run_id, TaskInstance.task_id == task.task_id]
    states = dict(session.execute(select(TaskInstance.map_index, TaskInstance.state).where(*conditions)).tuples().all())
    if task.map_index not in states:
        raise NoVersions(_no_such_task(task, sorted(states)))
    stored = session.scalar(
        select(XComModel.value).where(
            XComModel.dag_id == task.dag_id,
            XComModel.run_id == task.run_id,
            XComModel.task_id == task.task_id,
            XComModel.map_index == task.map_index,
            XComModel.key == "return_value",
        )
    )
    named = find_versions(_decoded(stored))
    if not named:
        state = states[task.map_index] or "not scheduled yet"
        raise NoVersions(f"{task.label} has named no model version in run {task.run_id}; its state is: {state}")
    return named


def _decoded(stored: Any) -> Any:
    """An XCom's value; Airflow stores what a task sends as JSON text. A reference of another XCom backend names no version."""
    import json

    if not isinstance(stored, str):
        return stored
    try:
        return json.loads(stored)
    except ValueError:
        return None


def _no_such_task(task: TaskKey, indexes: list[int]) -> str:
    if not indexes:
        return f"there is no task {task.task_id} in run {task.run_id} of DAG {task.dag_id}; the run may have been deleted"
    there = f"0 to {indexes[-1]}" if indexes[-1] > 0 else ", ".join(str(index) for index in indexes)
    return f"{task.dag_id}.{task.task_id} has no map index {task.map_index} in run {task.run_id}; there is {there}"
