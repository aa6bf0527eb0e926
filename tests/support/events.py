"""Events of assets, as Airflow keeps them."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

from support.airflow import Airflow
from support.deployment import Deployment


def asset_events(airflow: Airflow | Deployment, dag: str) -> dict[str, list[dict[str, Any]]]:
    """Return the payloads of the events of a DAG's assets, oldest first, by the assets' names."""
    query = (
        "select asset.name, asset_event.extra from asset_event join asset on asset.id = asset_event.asset_id "
        "where source_dag_id = ? order by asset_event.id"
    )
    with sqlite3.connect(airflow.home / "airflow.db") as database:
        rows = database.execute(query, [dag]).fetchall()
    database.close()
    found: dict[str, list[dict[str, Any]]] = {}
    for name, extra in rows:
        found.setdefault(name, []).append(json.loads(extra))
    return found


def task_states(airflow: Airflow, dag: str) -> dict[str, str | None]:
    """Return the states of the tasks of a DAG's newest run."""
    query = (
        "select task_id, state from task_instance where dag_id = ? "
        "and run_id = (select run_id from dag_run where dag_id = ? order by id desc limit 1)"
    )
    with sqlite3.connect(airflow.home / "airflow.db") as database:
        rows = database.execute(query, [dag, dag]).fetchall()
    database.close()
    return dict(rows)
