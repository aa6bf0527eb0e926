"""Compare estimators of scikit-learn without a script: each fit group names one, and the best becomes two functions in SQL.

``jack`` returns the class, ``jack_chances`` the probability of each class.
"""

from __future__ import annotations

import importlib.util
import os

from airflow.sdk import DAG, Param

from airflow_provider_mlsql.operators.predict import MLSQLPredictOperator
from airflow_provider_mlsql.operators.register import MLSQLRegisterOperator
from airflow_provider_mlsql.operators.train import MLSQLTrainOperator

PYSPARK = os.path.dirname(str(importlib.util.find_spec("pyspark").origin))
SAMPLE = os.path.join(PYSPARK, "data", "mllib", "sample_libsvm_data.txt")  # 100 rows, 692 features, two labels
ESTIMATORS = [
    {"moduleName": "sklearn.ensemble", "className": "RandomForestClassifier", "n_estimators": 50},
    {"moduleName": "sklearn.linear_model", "className": "LogisticRegression", "C": 0.1, "max_iter": 1000},
    {"moduleName": "sklearn.naive_bayes", "className": "MultinomialNB", "batchSize": 30},
]

with DAG(
    "mlsql_builtin",
    description="Three estimators of scikit-learn without a script, the best as SQL functions",
    schedule=None,
    catchup=False,
    render_template_as_native_obj=True,
    tags=["mlsql", "example"],
    doc_md=__doc__,
    params={
        "data_path": Param(SAMPLE, type="string", title="Training data", description="A libsvm file that Spark can read."),
        "model_path": Param("/tmp/mlsql/builtin_model", type="string", title="Model path"),
        "output_path": Param("/tmp/mlsql/builtin_predictions", type="string", title="Predictions", description="A folder."),
        "estimators": Param(
            ESTIMATORS,
            type="array",
            items={"type": "object", "required": ["moduleName", "className"]},
            title="Estimators",
            description="Module, class and parameters of one estimator for each fit group.",
        ),
        "seed": Param(7, type=["integer", "null"], title="Seed", description="Of all that is random in training."),
    },
):
    DATA = {"format": "libsvm", "path": "{{ params.data_path }}", "options": {"numFeatures": 692}}

    train = MLSQLTrainOperator(
        task_id="train",
        builtin="sklearn",
        data=DATA,
        model_path="{{ params.model_path }}",
        fit_params="{{ params.estimators }}",
        validate_data=0.3,
        seed="{{ params.seed }}",
        fit_timeout=600,
    )

    register = MLSQLRegisterOperator(
        task_id="register",
        builtin="sklearn",
        model_path="{{ params.model_path }}",
        model_version="{{ ti.xcom_pull('train')['version'] }}",
        function_name="jack",
    )

    register_chances = MLSQLRegisterOperator(
        task_id="register_chances",
        builtin="sklearn",
        script_params={"method": "predict_proba"},
        model_path="{{ params.model_path }}",
        model_version="{{ ti.xcom_pull('train')['version'] }}",
        function_name="jack_chances",
    )

    predict = MLSQLPredictOperator(
        task_id="predict",
        data=DATA,
        functions={"jack": register.output, "jack_chances": register_chances.output},
        sql="select label, vec_array(jack(features))[0] as prediction, vec_array(jack_chances(features)) as chances from data",
        output={"format": "parquet", "path": "{{ params.output_path }}"},
    )

    train >> [register, register_chances] >> predict
