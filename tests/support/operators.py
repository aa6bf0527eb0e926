"""Operators with usual arguments, which tests change."""

from __future__ import annotations

from typing import Any

from airflow_provider_mlsql.operators.predict import MLSQLPredictOperator
from airflow_provider_mlsql.operators.register import MLSQLRegisterOperator
from airflow_provider_mlsql.operators.train import MLSQLTrainOperator
from mlsql_runtime.plan import Load

LOAD = Load(table="data", format="libsvm", path="/d")
BROKER = {"bootstrap.servers": "b:9092"}
KAFKA: dict[str, Any] = {
    "enable_data_local": False,
    "kafka_conn_id": None,
    "kafka_topic": "orders",
    "kafka_config": BROKER,
}
REGISTERED = {"function": "jack", "model_path": "/m", "function_version": 4, "registered": True, "score": 0.9}


def train(**arguments: Any) -> MLSQLTrainOperator:
    given = {"task_id": "t", "model_path": "/m", "python_script_path": "/t.py", "data": "libsvm.`/d`"}
    return MLSQLTrainOperator(**{**given, **arguments})


def register(**arguments: Any) -> MLSQLRegisterOperator:
    return MLSQLRegisterOperator(
        **{"task_id": "r", "model_path": "/m", "function_name": "jack", "python_script_path": "/p.py", **arguments}
    )


def predict(**arguments: Any) -> MLSQLPredictOperator:
    return MLSQLPredictOperator(**{"task_id": "p", "data": "libsvm.`/d`", "output": "parquet.`/o`", **arguments})
