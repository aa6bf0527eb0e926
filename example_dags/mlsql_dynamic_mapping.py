"""Train one model for each segment of the data that the params name: train and register are mapped over the segments.

Each segment has a model path and a function of its own, and each mapped task is a Spark application of its own; two run at a
time. The last task reports which segment has the best model.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, Param, task

from airflow_provider_mlsql.operators.register import MLSQLRegisterOperator
from airflow_provider_mlsql.operators.train import MLSQLTrainOperator

PYSPARK = os.path.dirname(str(importlib.util.find_spec("pyspark").origin))
SAMPLE = os.path.join(PYSPARK, "data", "mllib", "sample_libsvm_data.txt")  # 100 digits, 692 features, two labels

WITH_INK = "select label, features, aggregate(vec_array(features), 0D, (sum, value) -> sum + value) as ink from data"


def registration(trained: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of a mapped registration, from the XCom of the training with the same map index."""
    return {
        "model_path": trained["model_path"],
        "model_version": trained["version"],
        "function_name": "jack_" + os.path.basename(trained["model_path"]),
    }


with DAG(
    "mlsql_dynamic_mapping",
    description="A model for each segment of the data, by dynamic task mapping",
    schedule=None,
    catchup=False,
    tags=["mlsql", "example"],
    doc_md=__doc__,
    params={
        "data_path": Param(
            SAMPLE,
            type="string",
            title="Training data",
            description="A libsvm file or folder that Spark can read.",
            section="Data",
        ),
        "segments": Param(
            [{"name": "thin", "where": "ink < 20000"}, {"name": "bold", "where": "ink >= 20000"}],
            type="array",
            items={
                "type": "object",
                "properties": {
                    "name": {"type": "string", "pattern": "^[a-z0-9_]+$"},
                    "where": {"type": "string", "minLength": 1},
                },
                "required": ["name", "where"],
                "additionalProperties": False,
            },
            minItems=1,
            uniqueItems=True,
            title="Segments",
            description_md="Names, and conditions in SQL on `label`, `features` and `ink`, which is the sum of a row's features.",
            section="Data",
        ),
        "model_path": Param(
            "/tmp/mlsql/segments",
            type="string",
            title="Model paths",
            description="Folder or URI that gets a model path for each segment.",
            section="Model",
        ),
    },
):

    @task
    def segments(params: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the arguments of each mapped training."""
        return [
            {
                "model_path": f"{params['model_path']}/{segment['name']}",
                "sql": f"select label, features from ({WITH_INK}) where {segment['where']}",  # noqa: S608  conditions are SQL
            }
            for segment in params["segments"]
        ]

    train = MLSQLTrainOperator.partial(
        task_id="train",
        data={"format": "libsvm", "path": "{{ params.data_path }}", "options": {"numFeatures": 692}},
        python_script_path="scripts/train_bayes.py",
        fit_params={"batchSize": 30, "labelSize": 2},
        validate_data=0.3,
        keep_versions=5,
        map_index_template="{{ task.model_path }}",
        max_active_tis_per_dagrun=2,
        execution_timeout=timedelta(minutes=30),
    ).expand_kwargs(segments())

    register = MLSQLRegisterOperator.partial(
        task_id="register",
        python_script_path="scripts/predict_bayes.py",
        map_index_template="{{ task.function_name }}",
        max_active_tis_per_dagrun=2,
    ).expand_kwargs(train.output.map(registration))

    @task
    def summary(registered: Iterable[dict[str, Any]]) -> dict[str, Any]:
        """Return the functions with their scores, and the best of them; a model without a score is last."""
        scores = {each["function"]: each["score"] for each in registered}
        best = max(scores, key=lambda name: float("-inf") if scores[name] is None else scores[name])
        return {"best": best, "scores": scores}

    summary(register.output)
