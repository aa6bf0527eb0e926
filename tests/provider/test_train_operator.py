"""The train operator: arguments in, statements out."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.operators import KAFKA, LOAD, train

from mlsql_runtime.plan import (
    FileFeed,
    KafkaFeed,
    Load,
    PythonEnv,
    Select,
    Train,
)


def test_train_with_defaults() -> None:
    assert train().build_job().statements == (LOAD, Train(table="data", model_path="/m", script_path="/t.py"))


def test_train_through_kafka(monkeypatch: pytest.MonkeyPatch) -> None:
    extra = {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "PLAIN"}
    connection = {"conn_type": "mlsql_kafka", "host": "b1:9092,b2:9092", "login": "me", "password": "hush", "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_BROKERS", json.dumps(connection))
    operator = train(
        enable_data_local="false",
        kafka_conn_id="brokers",
        kafka_topic="orders",
        kafka_group_id="readers",
        kafka_keep="true",
        kafka_config={
            "client.id": "nightly",
            "topic.partitions": 6,
            "topic.replication.factor": "3",
            "topic.retention.ms": 60000,
        },
    )
    *_, statement = operator.build_job().statements
    assert isinstance(statement, Train)
    assert statement.feed == KafkaFeed(
        topic="orders",
        settings={
            "bootstrap_servers": "b1:9092,b2:9092",
            "security_protocol": "SASL_PLAINTEXT",
            "sasl_mechanism": "PLAIN",
            "sasl_plain_username": "me",
            "client_id": "nightly",
        },
        secrets="kafka",
        group="readers",
        keep=True,
        partitions=6,
        replication_factor=3,
        topic_configs={"retention.ms": "60000"},
    )
    assert operator.build_job().secrets.kafka == {"kafka": {"sasl_plain_password": "hush"}}


def test_train_from_a_topic_as_it_is() -> None:
    [statement] = train(**KAFKA | {"data": None, "kafka_reuse": True}).build_job().statements
    assert isinstance(statement, Train)
    assert statement.table is None
    assert statement.feed == KafkaFeed(topic="orders", settings={"bootstrap_servers": "b:9092"}, reuse=True)


def test_train_with_everything() -> None:
    operator = train(
        data={"format": "csv", "path": "/d", "options": {"header": True, "n": 3}},
        sql="select * from data where x > 0",
        fit_params=[{"alpha": 0.5, "shuffle": False}, {}],
        validate_data="parquet.`/v`",
        data_local_format="parquet",
        data_local_file_num="4",
        data_local_options={"compression": "none"},
        python_path="/usr/bin/python3",
        python_ver="3.11",
        python_param=["-O"],
        envs={"A": "b"},
        fit_timeout="60",
        keep_versions="3",
        greater_is_better=False,
        fail_on="any",
        keep_local_directory=True,
    )
    assert operator.build_job().statements == (
        Load(table="data", format="csv", path="/d", options={"header": "true", "n": "3"}),
        Select(table="selected", sql="select * from data where x > 0"),
        Load(table="validate", format="parquet", path="/v"),
        Train(
            table="selected",
            model_path="/m",
            script_path="/t.py",
            fit_params=({"alpha": "0.5", "shuffle": "false"}, {}),
            validate_table="validate",
            feed=FileFeed(format="parquet", file_num=4, options={"compression": "none"}),
            python=PythonEnv(path="/usr/bin/python3", version="3.11", flags=("-O",), envs={"A": "b"}, timeout=60.0),
            keep_versions=3,
            greater_is_better=False,
            fail_on="any",
            keep_local_directory=True,
        ),
    )


def test_a_query_over_tables_of_catalogs_needs_no_data() -> None:
    operator = train(data="None", sql="select features, label from shop.orders", validate_data={"table": "shop.held_out"})
    assert operator.build_job().statements == (
        Select(table="selected", sql="select features, label from shop.orders"),
        Load(table="validate", format="table", path="shop.held_out"),
        Train(table="selected", model_path="/m", script_path="/t.py", validate_table="validate"),
    )


@pytest.mark.parametrize("sql", ["select * from data", "with t as (table `DATA`) select * from t", "select 1 from a,data"])
def test_a_query_that_reads_data(sql: str) -> None:
    assert train(sql=sql).build_job().statements[1] == Select(table="selected", sql=sql)


@pytest.mark.parametrize(
    ("arguments", "field", "value"),
    [
        ({"fit_params": '[{"a": 1}, {"a": 2}]'}, "fit_params", ({"a": "1"}, {"a": "2"})),
        ({"fit_params": {"a": 1}}, "fit_params", ({"a": "1"},)),
        ({"fit_params": ""}, "fit_params", ({},)),
        ({"validate_data": "0.25"}, "validate_fraction", 0.25),
        ({"validate_data": 0.25}, "validate_fraction", 0.25),
        ({"validate_data": "None"}, "validate_fraction", None),
        ({"keep_version": False}, "keep_versions", 1),
        ({"keep_version": "False"}, "keep_versions", 1),
        ({"greater_is_better": "false"}, "greater_is_better", False),
        ({"fit_params": "[{'a': 1}]"}, "fit_params", ({"a": "1"},)),
        ({"envs": {"N": 1}}, "python", PythonEnv(envs={"N": "1"})),
        ({"python_param": "-O -u"}, "python", PythonEnv(flags=("-O", "-u"))),
        ({"data_local_format": "JSON"}, "feed", FileFeed(format="json")),
    ],
)
def test_arguments_may_come_as_templates_render_them(arguments: dict[str, Any], field: str, value: object) -> None:
    assert getattr(train(**arguments).build_job().statements[-1], field) == value
