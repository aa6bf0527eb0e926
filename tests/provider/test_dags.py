"""The example DAGs in a real Airflow on SQLite, and the provider as Airflow sees it."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
from support.airflow import Airflow
from support.stores import Store


def test_airflow_knows_the_provider_and_imports_every_example(airflow: Airflow) -> None:
    provider = airflow("providers", "get", "airflow-provider-mlsql", "--output", "json")
    assert json.loads(provider.stdout)[0]["Provider"] == "airflow-provider-mlsql"
    assert "error" not in provider.stderr.lower()
    errors = airflow("dags", "list-import-errors", "--output", "json")
    assert json.loads(errors.stdout.strip().splitlines()[-1]) == []


RESCHEDULED = """
import os, shutil
from airflow.sdk import DAG, task
from airflow_provider_mlsql.sensors.model import MLSQLModelSensor

with DAG("rescheduled", schedule=None):
    reschedule = MLSQLModelSensor(task_id="reschedule", model_path="{tmp}/late", mode="reschedule", poke_interval=1,
                                  pre_execute=lambda context: open("{tmp}/looked", "w").close())
    poke = MLSQLModelSensor(task_id="poke", model_path="{tmp}/late", min_score="0.5")

    @task.sensor(mode="reschedule", poke_interval=1)
    def publish():  # not before the sensor has looked once; dags test runs one task at a time, in any order
        return os.path.exists("{tmp}/looked") and bool(shutil.copytree("{tmp}/m", "{tmp}/late"))

    publish()
    reschedule >> poke
"""


def test_a_rescheduled_sensor_answers_as_one_that_pokes(airflow: Airflow, tmp_path: Path, store: Store) -> None:
    store(score=0.75)
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags/rescheduled.py").write_text(RESCHEDULED.format(tmp=tmp_path))
    log = airflow.succeed("rescheduled", dags=tmp_path / "dags")
    assert f"No such version in {tmp_path / 'late'} yet" in log  # so it was rescheduled once
    values = airflow.xcoms("rescheduled")
    assert values["reschedule"] == values["poke"]
    assert (values["poke"]["version"], values["poke"]["score"]) == (1, 0.75)


def test_the_main_job_end_to_end(airflow: Airflow, tmp_path: Path) -> None:
    conf = {"model_path": str(tmp_path / "m"), "output_path": str(tmp_path / "out")}
    log = airflow.succeed("mlsql_train_register_predict", conf)
    values = airflow.xcoms("mlsql_train_register_predict")
    train = values["train"]
    assert set(train) == {"model_path", "version", "score", "best", "fits", "rows"}
    assert (train["model_path"], train["version"]) == (str(tmp_path / "m"), 1)
    assert train["score"] >= 0.9
    assert [set(fit) for fit in train["fits"]] == [{"alg_index", "status", "score", "metrics", "seconds"}] * 2
    assert values["wait_for_model"] == train
    register = values["register"]
    assert set(register) == {
        "function",
        "registered",
        "reason",
        "model_path",
        "version",
        "alg_index",
        "score",
        "function_version",
    }
    assert (register["function"], register["registered"], register["alg_index"]) == ("jack", True, train["best"]["alg_index"])
    predict = values["predict"]
    assert (predict["rows"], predict["output"]) == (100, str(tmp_path / "out"))
    assert predict["functions"]["jack"]["version"] == 1
    predictions = pq.read_table(tmp_path / "out")
    assert predictions.num_rows == 100
    assert "Spark runs on local[*], inside this worker" in log
    assert "[fit 0] mlsql_validation_score:" in log
    assert "INFO SparkContext" not in log


def test_a_score_below_the_minimum_is_not_registered_and_prediction_fails_by_name(airflow: Airflow, tmp_path: Path) -> None:
    conf = {"model_path": str(tmp_path / "m"), "output_path": str(tmp_path / "out"), "min_score": 2, "fit_params": [{}]}
    log = airflow.test("mlsql_train_register_predict", conf)
    register = airflow.xcoms("mlsql_train_register_predict")["register"]
    assert (register["registered"], register["function_version"]) == (False, None)
    assert "expected at least 2.0" in register["reason"]
    assert f"{tmp_path / 'm'} holds no function 'jack'; registered there: none" in log
    assert not (tmp_path / "out").exists()
