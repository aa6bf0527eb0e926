"""The task of a page, read from Airflow's database."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow_provider_mlsql.links import SPARK_UI
from airflow_provider_mlsql.pages.html import format_task
from airflow_provider_mlsql.pages.named_models import decode_xcom
from airflow_provider_mlsql.xcom_versions import FAILED_VERSION, ModelVersion, find_versions
from mlsql_runtime.plan import TaskTry
from mlsql_runtime.storage.file_systems import normalize

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

_RUNNING = ("running", "deferred")


@dataclass(frozen=True, kw_only=True)
class TaskKey:
    """A task instance; ``map_index`` is -1 if it is not mapped."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int = -1

    @property
    def label(self) -> str:
        return format_task(self.address)

    @property
    def address(self) -> TaskTry:
        """The task as addresses of pages name it."""
        index = None if self.map_index < 0 else self.map_index
        return TaskTry(dag_id=self.dag_id, task_id=self.task_id, map_index=index, run_id=self.run_id, try_number=1)


class NoVersions(Exception):
    """The task does not exist, or names no model version."""


def read_named_versions(task: TaskKey, session: Session) -> tuple[ModelVersion, ...]:
    """Return the model versions in the task's XCom; of a failed task, the version whose training failed.

    :raises NoVersions: when the task does not exist, or has none.
    """
    state = _read_state(task, session)
    versions = _read_versions(task, session)
    if not versions:
        raise NoVersions(
            f"{task.label} has named no model version in run {task.run_id}; its state is: {state}. A task names one when it has "
            "trained, registered or found it, or when a training has failed and left a record"
        )
    return versions


def read_model_paths(task: TaskKey, session: Session) -> tuple[str, ...]:
    """Return the model paths that the task has named, or else the one that it was given.

    :raises NoVersions: when the task does not exist, or has none.
    """
    state = _read_state(task, session)
    paths = tuple(dict.fromkeys(version.model_path for version in _read_versions(task, session)))
    given = None if paths else _read_given_path(task, session)
    if not paths and given is None:
        raise NoVersions(f"{task.label} has named no model path in run {task.run_id}; its state is: {state}")
    return paths or (str(given),)


def read_spark_ui(task: TaskKey, session: Session) -> tuple[str, str | None]:
    """Return the state of the task, and the address at which its Spark application is seen: its UI while the task runs, then the
    history server.

    :raises NoVersions: when the task does not exist.
    """
    state = _read_state(task, session)
    addresses = decode_xcom(_read_xcom(task, session, SPARK_UI))
    found = addresses.get("ui" if state in _RUNNING else "history") if isinstance(addresses, dict) else None
    is_url = isinstance(found, str) and urlsplit(found).scheme in ("http", "https")
    return state, found if is_url else None


def _read_versions(task: TaskKey, session: Session) -> tuple[ModelVersion, ...]:
    for key in ("return_value", FAILED_VERSION):
        if versions := find_versions(decode_xcom(_read_xcom(task, session, key))):
            return versions
    return ()


def _read_state(task: TaskKey, session: Session) -> str:
    from airflow.models.taskinstance import TaskInstance
    from sqlalchemy import select

    conditions = [TaskInstance.dag_id == task.dag_id, TaskInstance.run_id == task.run_id, TaskInstance.task_id == task.task_id]
    found = session.execute(select(TaskInstance.map_index, TaskInstance.state).where(*conditions))
    states = {row.map_index: row.state for row in found}
    if task.map_index not in states:
        raise NoVersions(_explain_missing_task(task, sorted(states)))
    return str(states[task.map_index] or "not scheduled yet")


def _read_xcom(task: TaskKey, session: Session, key: str) -> Any:
    from airflow.models.xcom import XComModel
    from sqlalchemy import select

    return session.scalar(
        select(XComModel.value).where(
            XComModel.dag_id == task.dag_id,
            XComModel.run_id == task.run_id,
            XComModel.task_id == task.task_id,
            XComModel.map_index == task.map_index,
            XComModel.key == key,
        )
    )


def _read_given_path(task: TaskKey, session: Session) -> str | None:
    """Return the rendered argument ``model_path`` of the task, as XComs have it."""
    from airflow.models.renderedtifields import RenderedTaskInstanceFields as Rendered
    from sqlalchemy import select

    fields = session.scalar(
        select(Rendered.rendered_fields).where(
            Rendered.dag_id == task.dag_id,
            Rendered.run_id == task.run_id,
            Rendered.task_id == task.task_id,
            Rendered.map_index == task.map_index,
        )
    )
    path = fields.get("model_path") if isinstance(fields, dict) else None
    return normalize(path) if isinstance(path, str) and path else None


def _explain_missing_task(task: TaskKey, indexes: list[int]) -> str:
    if not indexes:
        return f"run {task.run_id} of DAG {task.dag_id} has no task {task.task_id}; the run may have been deleted"
    there = f"0 to {indexes[-1]}" if indexes[-1] > 0 else ", ".join(str(index) for index in indexes)
    return f"{task.dag_id}.{task.task_id} has no map index {task.map_index} in run {task.run_id}; it has {there}"
