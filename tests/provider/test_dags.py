"""The example DAGs in a real Airflow on SQLite, and the provider as Airflow sees it."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from support.stores import Store
from support.workbench import TESTS

Airflow = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("airflow")


@pytest.fixture(scope="module")
def airflow(home: Path) -> Airflow:
    """Run an Airflow command on a database of this module's own, called by its path as without an activated environment."""

    def run(*arguments: str, dags: Path = TESTS.parent / "example_dags") -> subprocess.CompletedProcess[str]:
        env = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
        env |= {
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        }
        command = [str(Path(sys.executable).parent / "airflow"), *arguments]
        return subprocess.run(command, env=env, capture_output=True, text=True, check=False)

    migrated = run("db", "migrate")
    assert migrated.returncode == 0, migrated.stderr
    return run


def xcoms(home: Path) -> dict[str, Any]:
    """The return value of every task of the newest run."""
    with sqlite3.connect(home / "airflow.db") as database:
        rows = database.execute("select task_id, value from xcom where key = 'return_value' order by dag_run_id").fetchall()
    database.close()
    return {task: json.loads(value) for task, value in rows}


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


def test_a_rescheduled_sensor_answers_as_one_that_pokes(airflow: Airflow, home: Path, tmp_path: Path, store: Store) -> None:
    store(score=0.75)
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags/rescheduled.py").write_text(RESCHEDULED.format(tmp=tmp_path))
    done = airflow("dags", "test", "rescheduled", dags=tmp_path / "dags")
    assert "DagRun failed" not in done.stdout, done.stdout[-5000:]
    assert f"No such version in {tmp_path / 'late'} yet" in done.stdout  # so it was rescheduled once
    values = xcoms(home)
    assert values["reschedule"] == values["poke"]
    assert (values["poke"]["version"], values["poke"]["score"]) == (1, 0.75)


def test_the_main_job_end_to_end(airflow: Airflow, home: Path, tmp_path: Path) -> None:
    conf = {"model_path": str(tmp_path / "m"), "output_path": str(tmp_path / "out")}
    done = airflow("dags", "test", "mlsql_train_register_predict", "--conf", json.dumps(conf))
    assert "DagRun failed" not in done.stdout, done.stdout[-5000:]
    values = xcoms(home)
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
    log = done.stdout
    assert "Spark runs on local[*], inside this worker" in log
    assert "[fit 0] mlsql_validation_score:" in log
    assert "INFO SparkContext" not in log


def test_a_score_below_the_minimum_is_not_registered_and_prediction_fails_by_name(
    airflow: Airflow, home: Path, tmp_path: Path
) -> None:
    conf = {"model_path": str(tmp_path / "m"), "output_path": str(tmp_path / "out"), "min_score": 2, "fit_params": [{}]}
    done = airflow("dags", "test", "mlsql_train_register_predict", "--conf", json.dumps(conf))
    register = xcoms(home)["register"]
    assert (register["registered"], register["function_version"]) == (False, None)
    assert "at least 2.0 is asked for" in register["reason"]
    assert f"{tmp_path / 'm'} holds no function 'jack'; registered there: none" in done.stdout
    assert not (tmp_path / "out").exists()
