"""What a task says about itself: its job, and who started the run."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from airflow.sdk.api.datamodels._generated import DagRunType

from airflow_provider_mlsql.operators.task_run import TaskRun


class _Run:
    def __init__(self, user: str | None, run_type: str) -> None:
        self.triggering_user_name, self.run_type = user, run_type


@pytest.mark.parametrize(
    ("user", "run_type", "by"),
    [
        ("ann", DagRunType.MANUAL, "ann"),
        (None, DagRunType.MANUAL, None),
        (None, DagRunType.SCHEDULED, "scheduled"),
        (None, DagRunType.ASSET_TRIGGERED, "asset_triggered"),
        ("ann", DagRunType.BACKFILL, "ann"),
    ],
)
def test_who_started_a_run(user: str | None, run_type: str, by: str | None) -> None:
    run = _Run(user, run_type)
    assert TaskRun.of({"ti": _Instance(-1, 1), "dag_run": run}).started_by == by  # type: ignore[typeddict-item]
    assert TaskRun.of({"ti": _Instance(-1, 1)}).started_by is None  # type: ignore[typeddict-item]


class _Instance:
    dag_id, task_id, run_id = "dag", "task", "run"

    def __init__(self, map_index: int, max_tries: int) -> None:
        self.map_index, self.max_tries = map_index, max_tries


def test_retries_share_a_job_id_and_cleared_or_mapped_tasks_do_not() -> None:
    ids = [TaskRun.of({"ti": _Instance(index, tries)}).job_id for index, tries in ((-1, 1), (-1, 2), (0, 1), (1, 1))]  # type: ignore[typeddict-item]
    assert len(set(ids)) == 4
    assert ids[0] == TaskRun.of({"ti": _Instance(-1, 1)}).job_id  # type: ignore[typeddict-item]
    assert ids[0] == "dag.task/run/1"
    runs = [
        SimpleNamespace(clear_number=number, run_type="manual") for number in (0, 1)
    ]  # of a task that is cleared while it runs only this grows
    both = [TaskRun.of({"ti": _Instance(-1, 1), "dag_run": run}).job_id for run in runs]  # type: ignore[typeddict-item]
    assert both == ["dag.task/run/1", "dag.task/run/1.1"]
