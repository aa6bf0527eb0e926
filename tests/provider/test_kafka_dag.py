"""The Kafka examples in a real Airflow on SQLite, with a real broker."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from broker import Broker
from support.kafka import names_with
from support.workbench import TESTS

if TYPE_CHECKING:
    from mlsql_runtime.kafka.settings import KafkaSettings


Airflow = Callable[..., str]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("airflow")


@pytest.fixture(scope="module")
def airflow(home: Path, broker: Broker) -> Airflow:
    """Run Airflow's command line; its output."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")} | {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(TESTS.parent / "example_dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW_CONN_MLSQL_KAFKA_DEFAULT": json.dumps({"conn_type": "mlsql_kafka", "host": broker.bootstrap}),
    }

    def run(*arguments: str) -> str:
        command = [str(Path(sys.executable).parent / "airflow"), *arguments]
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    run("db", "migrate")
    return run


def values_of(home: Path, dag: str) -> dict[str, Any]:
    """What the DAG's tasks returned."""
    with sqlite3.connect(home / "airflow.db") as database:
        rows = database.execute("select task_id, value from xcom where key = 'return_value' and dag_id = ?", [dag]).fetchall()
    database.close()
    return {task: json.loads(value) for task, value in rows}


def test_the_kafka_example_prepares_inspects_and_removes(home: Path, airflow: Airflow) -> None:
    log = airflow("dags", "test", "mlsql_kafka_admin", "--conf", json.dumps({"partitions": 2, "retention_hours": 0.5}))
    assert "DagRun failed" not in log, log[-5000:]
    values = values_of(home, "mlsql_kafka_admin")
    assert values["prepare"]["created"] is True
    assert [change["after"] for change in values["prepare"]["offsets"]] == [0, 0]
    assert values["inspect"]["changed"] == {"retention.ms": "1800000"}
    assert [partition["leader"] for partition in values["inspect"]["partitions"]] == [1, 1]
    assert (values["show_lag"]["total"], len(values["show_lag"]["partitions"])) == (0, 2)
    assert values["remove"] == {"groups": ["mlsql-example-readers"], "topics": ["mlsql-example"]}
    assert "kafka.net" not in log  # kafka-python's lines about connections


def test_the_training_example_leaves_a_function_and_no_topic(
    home: Path, airflow: Airflow, kafka_settings: KafkaSettings, tmp_path: Path
) -> None:
    given = {"model_path": str(tmp_path / "m"), "topic": "mlsql-train-example", "group": "mlsql-train-example"}
    log = airflow("dags", "test", "mlsql_train_kafka", "--conf", json.dumps(given))
    assert "DagRun failed" not in log, log[-5000:]
    assert "rows through topic mlsql-train-example_" in log
    values = values_of(home, "mlsql_train_kafka")
    assert values["train"]["score"] >= 0.9
    assert [fit["status"] for fit in values["train"]["fits"]] == ["success", "success"]
    assert values["register"]["registered"] is True
    assert names_with(kafka_settings, "mlsql-train-example") == []
