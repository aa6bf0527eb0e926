"""The task of a page, read from Airflow's database."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_mlsql.xcom_versions import ModelVersion, find_versions

if TYPE_CHECKING:
    from sqlalchemy.orm import Session


@dataclass(frozen=True, kw_only=True)
class TaskKey:
    """A task instance; ``map_index`` is -1 if it is not mapped."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int = -1

    @property
    def label(self) -> str:
        mapped = f"[{self.map_index}]" if self.map_index >= 0 else ""
        return f"{self.dag_id}.{self.task_id}{mapped}"


class NoVersions(Exception):
    """The task does not exist, or its XCom has no model version."""


def read_named_versions(task: TaskKey, session: Session) -> tuple[ModelVersion, ...]:
    """Return the model versions in the task's XCom.

    :raises NoVersions: when the task does not exist, or has none.
    """
    from airflow.models.taskinstance import TaskInstance
    from airflow.models.xcom import XComModel
    from sqlalchemy import select

    conditions = [TaskInstance.dag_id == task.dag_id, TaskInstance.run_id == task.run_id, TaskInstance.task_id == task.task_id]
    found = session.execute(select(TaskInstance.map_index, TaskInstance.state).where(*conditions))
    states = {row.map_index: row.state for row in found}
    if task.map_index not in states:
        raise NoVersions(_explain_missing_task(task, sorted(states)))
    stored = session.scalar(
        select(XComModel.value).where(
            XComModel.dag_id == task.dag_id,
            XComModel.run_id == task.run_id,
            XComModel.task_id == task.task_id,
            XComModel.map_index == task.map_index,
            XComModel.key == "return_value",
        )
    )
    versions = find_versions(_decode(stored))
    if not versions:
        state = states[task.map_index] or "not scheduled yet"
        raise NoVersions(f"{task.label} has no model version in its XCom of run {task.run_id}; its state is: {state}")
    return versions


def _decode(stored: Any) -> Any:
    """Decode an XCom's value, which Airflow stores as JSON text. A reference of another XCom backend has no version."""
    if not isinstance(stored, str):
        return stored
    try:
        return json.loads(stored)
    except ValueError:
        return None


def _explain_missing_task(task: TaskKey, indexes: list[int]) -> str:
    if not indexes:
        return f"run {task.run_id} of DAG {task.dag_id} has no task {task.task_id}; the run may have been deleted"
    there = f"0 to {indexes[-1]}" if indexes[-1] > 0 else ", ".join(str(index) for index in indexes)
    return f"{task.dag_id}.{task.task_id} has no map index {task.map_index} in run {task.run_id}; it has {there}"
