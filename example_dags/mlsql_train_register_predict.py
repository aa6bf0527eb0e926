"""Train two fit groups on libsvm data, wait for the model, register the better one as ``jack``, predict with it in SQL.

Every setting is a param: trigger the DAG with other values from the Airflow UI, or with ``airflow dags test -c``.
"""

from __future__ import annotations

import importlib.util
import os
from datetime import timedelta

from airflow.sdk import DAG, Param

from airflow_provider_mlsql.operators.predict import MLSQLPredictOperator
from airflow_provider_mlsql.operators.register import MLSQLRegisterOperator
from airflow_provider_mlsql.operators.train import MLSQLTrainOperator
from airflow_provider_mlsql.sensors.model import MLSQLModelSensor

PYSPARK = os.path.dirname(str(importlib.util.find_spec("pyspark").origin))
SAMPLE = os.path.join(PYSPARK, "data", "mllib", "sample_libsvm_data.txt")  # 100 rows, 692 features, two labels

with DAG(
    "mlsql_train_register_predict",
    description="libsvm data, naive Bayes, a SQL function, predictions as Parquet",
    schedule=None,
    catchup=False,
    render_template_as_native_obj=True,
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
            "/tmp/mlsql/predictions",
            type="string",
            title="Predictions",
            description="Folder for the predictions, as Parquet; it is overwritten.",
            section="Data",
        ),
        "model_path": Param(
            "/tmp/mlsql/pa_model",
            type="string",
            title="Model path",
            description="Folder or URI that keeps all versions of the model.",
            section="Model",
        ),
        "fit_params": Param(
            [{"batchSize": 30, "labelSize": 2, "alpha": 1.0}, {"batchSize": 30, "labelSize": 2, "alpha": 0.01}],
            type="array",
            items={"type": "object"},
            title="Fit groups",
            description="One object for each group; the groups are trained in parallel.",
            section="Model",
        ),
        "validate_fraction": Param(
            0.3,
            type="number",
            exclusiveMinimum=0,
            exclusiveMaximum=1,
            title="Held-out fraction",
            description="This part of the rows is kept from training and gives the validation score.",
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
    train = MLSQLTrainOperator(
        task_id="train",
        data={"format": "libsvm", "path": "{{ params.data_path }}", "options": {"numFeatures": 692}},
        model_path="{{ params.model_path }}",
        python_script_path="scripts/train_bayes.py",
        fit_params="{{ params.fit_params }}",
        validate_data="{{ params.validate_fraction }}",
        fit_timeout=600,
        execution_timeout=timedelta(minutes=30),
    )

    wait = MLSQLModelSensor(
        task_id="wait_for_model",
        model_path="{{ params.model_path }}",
        min_version="{{ ti.xcom_pull('train')['version'] }}",
        check_files=True,
        poke_interval=5,
        timeout=300,
    )

    register = MLSQLRegisterOperator(
        task_id="register",
        model_path="{{ params.model_path }}",
        model_version="{{ ti.xcom_pull('wait_for_model')['version'] }}",
        function_name="jack",
        python_script_path="scripts/predict_bayes.py",
        min_score="{{ params.min_score }}",
    )

    predict = MLSQLPredictOperator(
        task_id="predict",
        data={"format": "libsvm", "path": "{{ params.data_path }}", "options": {"numFeatures": 692}},
        functions=register.output,
        sql="select label, jack(features) as prediction from data",
        output={"format": "parquet", "path": "{{ params.output_path }}"},
    )

    train >> wait >> register >> predict
