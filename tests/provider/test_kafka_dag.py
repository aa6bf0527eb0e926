"""The Kafka example in a real Airflow on SQLite, with a real broker."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

from broker import Broker
from support.workbench import TESTS


def test_the_kafka_example_prepares_inspects_and_removes(tmp_path: Path, broker: Broker) -> None:
    env = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")} | {
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW__CORE__DAGS_FOLDER": str(TESTS.parent / "example_dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW_CONN_MLSQL_KAFKA_DEFAULT": json.dumps({"conn_type": "mlsql_kafka", "host": broker.bootstrap}),
    }

    def airflow(*arguments: str) -> str:
        command = [str(Path(sys.executable).parent / "airflow"), *arguments]
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    airflow("db", "migrate")
    log = airflow("dags", "test", "mlsql_kafka_admin", "--conf", json.dumps({"partitions": 2, "retention_hours": 0.5}))
    assert "DagRun failed" not in log, log[-5000:]
    with sqlite3.connect(tmp_path / "airflow.db") as database:
        rows = database.execute("select task_id, value from xcom where key = 'return_value'").fetchall()
    database.close()
    values = {task: json.loads(value) for task, value in rows}
    assert values["prepare"]["created"] is True
    assert [change["after"] for change in values["prepare"]["offsets"]] == [0, 0]
    assert values["inspect"]["changed"] == {"retention.ms": "1800000"}
    assert [partition["leader"] for partition in values["inspect"]["partitions"]] == [1, 1]
    assert (values["show_lag"]["total"], len(values["show_lag"]["partitions"])) == (0, 2)
    assert values["remove"] == {"groups": ["mlsql-example-readers"], "topics": ["mlsql-example"]}
    assert "kafka.net" not in log  # kafka-python's lines about connections
