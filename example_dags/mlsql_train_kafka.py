"""Train naive Bayes with ``partial_fit`` on rows that come through Kafka, then register the better group as ``judge``.

The script is the one that trains from files in the other example. It needs the connection ``mlsql_kafka_default``:
``make kafka`` runs a broker and prints the connection. The task removes the run's topic and groups at its end.
"""

from __future__ import annotations

import importlib.util
import os
from datetime import timedelta

from airflow.sdk import DAG, Param

from airflow_provider_mlsql.operators.register import MLSQLRegisterOperator
from airflow_provider_mlsql.operators.train import MLSQLTrainOperator

PYSPARK = os.path.dirname(str(importlib.util.find_spec("pyspark").origin))
SAMPLE = os.path.join(PYSPARK, "data", "mllib", "sample_libsvm_data.txt")  # 100 rows, 692 features, two labels

with DAG(
    "mlsql_train_kafka",
    description="libsvm data through Kafka, naive Bayes batch by batch, a SQL function",
    schedule=None,
    catchup=False,
    render_template_as_native_obj=True,
    tags=["mlsql", "kafka", "example"],
    doc_md=__doc__,
    params={
        "data_path": Param(
            SAMPLE,
            type="string",
            title="Training data",
            description="A libsvm file or folder that Spark can read.",
            section="Data",
        ),
        "topic": Param(
            "mlsql-train",
            type="string",
            pattern="^[A-Za-z0-9._-]{1,200}$",
            title="Topic",
            description="Each run makes a topic of its own, whose name begins so, and deletes it.",
            section="Kafka",
        ),
        "group": Param(
            "mlsql-train",
            type="string",
            pattern="^[A-Za-z0-9._-]{1,200}$",
            title="Consumer group",
            description="Groups whose names begin so show how far each script has read.",
            section="Kafka",
        ),
        "partitions": Param(
            2,
            type="integer",
            allOf=[{"minimum": 1}],
            title="Partitions",
            description="Partitions of the run's topic.",
            section="Kafka",
        ),
        "keep_topic": Param(
            False,
            type="boolean",
            title="Keep the topic",
            description="Do not delete the topic, to look at it or to train from it again.",
            section="Kafka",
        ),
        "model_path": Param(
            "/tmp/mlsql/kafka_model",
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
            description="One object for each group; the groups are trained in parallel, each from the same records.",
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
        validate_data=0.3,
        enable_data_local=False,
        kafka_conn_id="mlsql_kafka_default",
        kafka_topic="{{ params.topic }}",
        kafka_group_id="{{ params.group }}",
        kafka_keep="{{ params.keep_topic }}",
        kafka_config={"topic.partitions": "{{ params.partitions }}"},
        fit_timeout=600,
        execution_timeout=timedelta(minutes=30),
    )

    register = MLSQLRegisterOperator(
        task_id="register",
        model_path="{{ params.model_path }}",
        model_version="{{ ti.xcom_pull('train')['version'] }}",
        function_name="judge",
        python_script_path="scripts/predict_bayes.py",
    )

    train >> register
