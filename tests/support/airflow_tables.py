"""Tables of Airflow's database in memory, for what reads them without a running Airflow."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import Any

from sqlalchemy import create_engine, insert
from sqlalchemy.orm import Session

NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)


@contextmanager
def open_tables() -> Iterator[Session]:
    """Open a database with the empty tables that pages read."""
    from airflow.models import import_all_models
    from airflow.models.asset import AssetEvent
    from airflow.models.renderedtifields import RenderedTaskInstanceFields
    from airflow.models.taskinstance import TaskInstance
    from airflow.models.xcom import XComModel

    import_all_models()
    engine = create_engine("sqlite://")
    for model in (XComModel, AssetEvent, TaskInstance, RenderedTaskInstanceFields):
        model.__table__.create(engine)
    with Session(engine) as session:
        yield session
    engine.dispose()


def add_xcom(
    session: Session, dag: str, value: Any, run: int = 1, key: str = "return_value", at: datetime = NOW, task: str = "t"
) -> None:
    """Add the XCom of a task, as Airflow stores it."""
    from airflow.models.xcom import XComModel

    row = {"dag_run_id": run, "task_id": task, "map_index": -1, "key": key, "dag_id": dag, "run_id": str(run), "timestamp": at}
    session.execute(insert(XComModel).values(value=json.dumps(value), **row))


def add_event(session: Session, dag: str | None, extra: dict[str, Any]) -> None:
    """Add an event of an asset."""
    from airflow.models.asset import AssetEvent

    session.execute(insert(AssetEvent).values(asset_id=1, extra=extra, source_dag_id=dag, timestamp=NOW))
