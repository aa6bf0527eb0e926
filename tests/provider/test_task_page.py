"""What the pages find out about a task in Airflow's database."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import insert
from sqlalchemy.orm import Session
from support.airflow_tables import add_xcom, open_tables

from airflow_provider_mlsql.links import SPARK_UI
from airflow_provider_mlsql.pages.task import NoVersions, TaskKey, read_model_paths, read_named_versions, read_spark_ui
from airflow_provider_mlsql.xcom_versions import FAILED_VERSION, ModelVersion

TASK = TaskKey(dag_id="d", run_id="1", task_id="t")
ADDRESSES = {"ui": "http://worker:4040", "history": "http://history:18080/history/a-1"}


@pytest.fixture
def session() -> Iterator[Session]:
    with open_tables() as session:
        yield session


def add_task(session: Session, state: str | None = "success", **rendered: Any) -> None:
    """Add the task in a state, with its rendered arguments."""
    from airflow.models.renderedtifields import RenderedTaskInstanceFields
    from airflow.models.taskinstance import TaskInstance

    key = {"dag_id": "d", "run_id": "1", "task_id": "t", "map_index": -1}
    task = {"state": state, "pool": "p", "pool_slots": 1, "try_number": 1, "max_tries": 0, "queue": "q", "priority_weight": 1}
    session.execute(insert(TaskInstance.__table__).values(**key, **task))
    session.execute(insert(RenderedTaskInstanceFields.__table__).values(**key, rendered_fields=rendered))


def test_a_task_names_the_versions_of_its_xcom(session: Session) -> None:
    add_task(session)
    add_xcom(session, "d", {"model_path": "/m", "version": 2})
    assert read_named_versions(TASK, session) == (ModelVersion("/m", 2),)
    assert read_model_paths(TASK, session) == ("/m",)


def test_a_failed_training_names_the_version_of_its_record(session: Session) -> None:
    add_task(session, "failed")
    add_xcom(session, "d", {"model_path": "/m", "version": 3}, key=FAILED_VERSION)
    assert read_named_versions(TASK, session) == (ModelVersion("/m", 3),)


def test_a_task_without_a_version_leads_to_the_model_that_it_was_given(session: Session) -> None:
    add_task(session, "failed", model_path="file:///given/")
    assert read_model_paths(TASK, session) == ("/given",)
    with pytest.raises(NoVersions, match=r"d\.t has named no model version in run 1; its state is: failed"):
        read_named_versions(TASK, session)


def test_a_task_that_has_no_model_says_so(session: Session) -> None:
    add_task(session, None)
    with pytest.raises(NoVersions, match=r"d\.t has named no model path in run 1; its state is: not scheduled yet"):
        read_model_paths(TASK, session)


@pytest.mark.parametrize(
    ("state", "addresses", "leads_to"),
    [
        ("running", ADDRESSES, "http://worker:4040"),
        ("deferred", ADDRESSES, "http://worker:4040"),
        ("failed", ADDRESSES, "http://history:18080/history/a-1"),
        ("failed", {**ADDRESSES, "history": None}, None),
        ("running", {"ui": "javascript:alert(1)"}, None),
        ("running", "http://worker:4040", None),
    ],
)
def test_spark_s_ui_is_led_to_while_the_task_runs(session: Session, state: str, addresses: Any, leads_to: str | None) -> None:
    add_task(session, state)
    add_xcom(session, "d", addresses, key=SPARK_UI)
    assert read_spark_ui(TASK, session) == (state, leads_to)
