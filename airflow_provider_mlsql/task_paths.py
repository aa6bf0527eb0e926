"""The paths of tasks in Airflow's UI, below the address of the API server."""

from __future__ import annotations

from typing import Protocol
from urllib.parse import quote


class TaskName(Protocol):
    """What names a task of a run."""

    @property
    def dag_id(self) -> str:
        """Return the ID of the DAG."""

    @property
    def run_id(self) -> str:
        """Return the ID of the run."""

    @property
    def task_id(self) -> str:
        """Return the ID of the task in the DAG."""

    @property
    def map_index(self) -> int | None:
        """Return the index of a mapped task; None or -1 for others."""


def format_task_path(task: TaskName) -> str:
    """Return ``/dags/<dag>/runs/<run>/tasks/<task>``, without the index of a mapped task."""
    dag, run, name = (quote(part, safe="") for part in (task.dag_id, task.run_id, task.task_id))
    return f"/dags/{dag}/runs/{run}/tasks/{name}"


def format_page_path(task: TaskName) -> str:
    """Return the path of the page that Airflow's UI has for the task."""
    mapped = f"/mapped/{task.map_index}" if task.map_index is not None and task.map_index >= 0 else ""
    return f"{format_task_path(task)}{mapped}"
