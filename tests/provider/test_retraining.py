"""Retraining on a schedule: what is current after a good, a worse and a broken day, and who says why."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
from support.airflow import Airflow
from support.events import asset_events, task_states
from support.workbench import SAMPLE

from mlsql_runtime.store.functions import read_function
from mlsql_runtime.store.history import read_history
from mlsql_runtime.store.location import Location

DAG = "mlsql_scheduled_retraining"


def write_day(days: Path, day: str, wrong: int) -> None:
    """The sample's first 60 rows as a day's data, with the labels of some rows turned around."""
    lines = Path(SAMPLE).read_text(encoding="utf-8").splitlines()[:60]
    turned = [("1" if line[0] == "0" else "0") + line[1:] for line in lines[:wrong]]
    days.mkdir(exist_ok=True)
    (days / day).write_text("\n".join([*turned, *lines[wrong:]]) + "\n", encoding="utf-8")


def test_three_days_a_good_a_worse_and_a_broken_one(airflow: Airflow, tmp_path: Path) -> None:
    days, model, output = tmp_path / "days", tmp_path / "m", tmp_path / "out"
    conf = {"data_path": str(days), "model_path": str(model), "output_path": str(output)}
    root = Location.of(str(model))
    write_day(days, "2026-01-01", wrong=0)
    write_day(days, "2026-01-02", wrong=45)

    airflow("dags", "test", DAG, "2026-01-02", "--conf", json.dumps(conf))
    first = airflow.xcoms(DAG)
    assert (first["register"]["registered"], first["register"]["reason"]) == (True, None)
    assert first["decision"] == "jack is version 1 now"

    airflow("dags", "test", DAG, "2026-01-03", "--conf", json.dumps(conf))
    second = airflow.xcoms(DAG)
    assert second["train"]["score"] < first["train"]["score"]
    assert (second["register"]["registered"], second["register"]["version"]) == (False, 2)
    assert second["decision"] == f"jack is left as it is: {second['register']['reason']}"
    assert read_function(root, "jack").version == 1

    airflow.test(DAG, conf)  # today, of which there are no data
    assert task_states(airflow, DAG) == {
        "train": "failed",
        "register": "upstream_failed",
        "decision": "upstream_failed",
        "predict": "success",
    }
    assert read_function(root, "jack").version == 1

    assert [predictions.num_rows for predictions in map(pq.read_table, sorted(output.iterdir()))] == [100, 100, 100]
    assert [folder.name for folder in sorted(output.iterdir())][:2] == ["day=2026-01-01", "day=2026-01-02"]
    told = [(each.happened, each.version, each.by, each.reason, each.current) for each in read_history(root, "jack").history]
    assert told == [
        ("registered", 1, "dag_test", "jack was not registered before", True),
        ("refused", 2, "dag_test", second["register"]["reason"], False),
    ]
    trained = [
        {"model_path": str(model), "version": each["train"]["version"], "score": each["train"]["score"]}
        for each in (first, second)
    ]
    keys = ("function", "registered", "reason", "model_path", "version", "score")
    asked = [{key: each["register"][key] for key in keys} for each in (first, second)]
    assert asset_events(airflow, DAG) == {"retrained_model": trained, "function_jack": asked}
