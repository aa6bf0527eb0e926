"""The Kafka examples in a real Airflow on SQLite, with a real broker."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from broker import Broker
from support.airflow import Airflow
from support.kafka import names_with

if TYPE_CHECKING:
    from mlsql_runtime.kafka.settings import KafkaSettings


def connection(broker: Broker) -> dict[str, str]:
    """The environment in which the examples' connection is the broker."""
    return {"AIRFLOW_CONN_MLSQL_KAFKA_DEFAULT": json.dumps({"conn_type": "mlsql_kafka", "host": broker.bootstrap})}


def test_the_kafka_example_prepares_inspects_and_removes(airflow: Airflow, broker: Broker) -> None:
    log = airflow.succeed("mlsql_kafka_admin", {"partitions": 2, "retention_hours": 0.5}, **connection(broker))
    values = airflow.xcoms("mlsql_kafka_admin")
    assert values["prepare"]["created"] is True
    assert [change["after"] for change in values["prepare"]["offsets"]] == [0, 0]
    assert values["inspect"]["changed"] == {"retention.ms": "1800000"}
    assert [partition["leader"] for partition in values["inspect"]["partitions"]] == [1, 1]
    assert (values["show_lag"]["total"], len(values["show_lag"]["partitions"])) == (0, 2)
    assert values["remove"] == {"groups": ["mlsql-example-readers"], "topics": ["mlsql-example"]}
    assert "kafka.net" not in log  # kafka-python's lines about connections


def test_the_training_example_leaves_a_function_and_no_topic(
    airflow: Airflow, broker: Broker, kafka_settings: KafkaSettings, tmp_path: Path
) -> None:
    given = {"model_path": str(tmp_path / "m"), "topic": "mlsql-train-example", "group": "mlsql-train-example"}
    one_group = {"fit_params": [{"batchSize": 30, "labelSize": 2}]}
    log = airflow.succeed("mlsql_train_kafka", given | one_group, **connection(broker))
    assert "rows through topic mlsql-train-example_" in log
    values = airflow.xcoms("mlsql_train_kafka")
    assert values["train"]["score"] >= 0.9
    assert [fit["status"] for fit in values["train"]["fits"]] == ["success"]
    assert values["register"]["registered"] is True
    assert names_with(kafka_settings, "mlsql-train-example") == []
