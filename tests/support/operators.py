"""Operators with usual arguments, which tests change, and those of the example DAGs."""

from __future__ import annotations

import runpy
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from airflow_provider_mlsql.operators.base import MLSQLOperator
from airflow_provider_mlsql.operators.predict import MLSQLPredictOperator
from airflow_provider_mlsql.operators.register import MLSQLRegisterOperator
from airflow_provider_mlsql.operators.train import MLSQLTrainOperator
from mlsql_runtime.plan import Load, Statement
from support.workbench import TESTS

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


def build_example(dag: str, params: Mapping[str, Any], xcoms: Mapping[str, Any]) -> dict[str, tuple[Statement, ...]]:
    """Return the statements of each task of an example DAG, by its id.

    :param params: replace defaults of the DAG's params.
    :param xcoms: what the tasks before it returned.
    """
    found = runpy.run_path(str(TESTS.parent / "example_dags" / f"{dag}.py")).values()
    tasks = [each for each in found if isinstance(each, MLSQLOperator)]
    ti = SimpleNamespace(xcom_pull=lambda task_ids, **_: xcoms[task_ids])
    context: Any = {"params": tasks[0].dag.params.dump() | dict(params), "ti": ti}
    for task in tasks:
        task.render_template_fields(context)
    return {task.task_id: task.build_job().statements for task in tasks}
