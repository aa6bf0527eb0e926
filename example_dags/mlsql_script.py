"""A script in MLSQL, `scripts/bayes.mlsql`, as one task: train, register, predict, save.

The XCom has the score under `train`, the function under `register`, and the rows of the script's last table under `table`.
"""

from __future__ import annotations

import importlib.util
import os
from datetime import timedelta

from airflow.sdk import DAG, Param

from airflow_provider_mlsql.operators.script import MLSQLScriptOperator

PYSPARK = os.path.dirname(str(importlib.util.find_spec("pyspark").origin))
SAMPLE = os.path.join(PYSPARK, "data", "mllib", "sample_libsvm_data.txt")  # 100 rows, 692 features, two labels

with DAG(
    "mlsql_script",
    description="A script in MLSQL: libsvm data, naive Bayes, a SQL function, predictions as Parquet",
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
        "output_path": Param(
            "/tmp/mlsql/script_predictions",
            type="string",
            title="Predictions",
            description="Folder for the predictions, as Parquet; it is overwritten.",
            section="Data",
        ),
        "model_path": Param(
            "/tmp/mlsql/script_model",
            type="string",
            title="Model path",
            description="Folder or URI that keeps all versions of the model.",
            section="Model",
        ),
        "min_score": Param(
            0.9,
            type="number",
            title="Minimum score",
            description="A model with a lower score is not registered.",
            section="Model",
        ),
    },
):
    MLSQLScriptOperator(
        task_id="train_and_predict",
        script="scripts/bayes.mlsql",
        variables={
            "data_path": "{{ params.data_path }}",
            "output_path": "{{ params.output_path }}",
            "model_path": "{{ params.model_path }}",
            "min_score": "{{ params.min_score }}",
        },
        execution_timeout=timedelta(minutes=30),
    )
