"""Every night: train on the previous day, register the model if it is better than the current one, predict with the current one.

A worse model is refused, which skips the task `register`, and a training that fails changes nothing: `jack` keeps its model, and
the predictions continue. The page of the model, to which each task links, and `mlsql functions <model path> jack` show who
registered which version, when, and why others were refused. Before the first day with data, the runs do nothing.

Each day's training data are a libsvm file or folder named after the day, such as `/tmp/mlsql/days/2026-01-31`. All models are
scored on one table that never changes, so that their scores can be compared.

Several days may run at the same time, in a backfill for instance. Each run has the data, the version and the predictions of its
own day. Registrations run one after the other, so each is compared with the current model of that moment, and the best model
wins in any order of the days. Predictions use the model that is current at that moment. Set `keep_versions` to twice the number
of runs that may be active: a version that waits to be registered is removed like any other. Try it with

    mkdir -p /tmp/mlsql/days
    cp .venv/lib/python3*/site-packages/pyspark/data/mllib/sample_libsvm_data.txt /tmp/mlsql/days/2026-01-31
    airflow dags test mlsql_scheduled_retraining 2026-02-01
"""

from __future__ import annotations

import importlib.util
import os
from datetime import datetime, timedelta, timezone
from typing import Any

from airflow.sdk import DAG, Asset, Param, task
from airflow.timetables.interval import CronDataIntervalTimetable

from airflow_provider_mlsql.operators.predict import MLSQLPredictOperator
from airflow_provider_mlsql.operators.register import MLSQLRegisterOperator
from airflow_provider_mlsql.operators.train import MLSQLTrainOperator

PYSPARK = os.path.dirname(str(importlib.util.find_spec("pyspark").origin))
SAMPLE = os.path.join(PYSPARK, "data", "mllib", "sample_libsvm_data.txt")  # 100 rows, 692 features, two labels
OPTIONS = {"numFeatures": 692}
DAY = "{{ data_interval_start | ds }}"


with DAG(
    "mlsql_scheduled_retraining",
    description="A model that is trained every day, and used until a better one is registered",
    schedule=CronDataIntervalTimetable("@daily", timezone="UTC"),  # a plain "@daily" run has no interval: it begins where it ends
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    max_active_runs=2,  # of scheduled ones; `airflow backfill create` has its own `--max-active-runs`
    tags=["mlsql", "example"],
    doc_md=__doc__,
    params={
        "data_path": Param(
            "/tmp/mlsql/days",
            type="string",
            title="Training data",
            description="Folder with a libsvm file or folder for each day, named 2026-01-31.",
            section="Data",
        ),
        "validate_path": Param(
            SAMPLE,
            type="string",
            title="Validation data",
            description="libsvm data that give the scores of all models.",
            section="Data",
        ),
        "predict_path": Param(SAMPLE, type="string", title="To predict", description="libsvm data.", section="Data"),
        "output_path": Param(
            "/tmp/mlsql/daily_predictions",
            type="string",
            title="Predictions",
            description="Folder that gets one folder for each day, as Parquet.",
            section="Data",
        ),
        "model_path": Param(
            "/tmp/mlsql/daily_model",
            type="string",
            title="Model path",
            description="Folder or URI that keeps the versions of the model.",
            section="Model",
        ),
        "keep_versions": Param(
            5,
            type="integer",
            allOf=[{"minimum": 1}],
            title="Versions to keep",
            description="The newest ones, at least 1, and the one in use: twice the number of runs that may be active.",
            section="Model",
        ),
        "only_if_better": Param(
            0,
            type="number",
            allOf=[{"minimum": 0}],
            title="Better by",
            description="How much better than the current model's the score has to be, at least 0; 0 is any better.",
            section="Model",
        ),
    },
):

    @task.short_circuit
    def begin(data: str, model_path: str) -> bool:
        """Skip the day if it has no data and there is no model to predict with, as when this DAG has just been unpaused."""
        from mlsql_runtime.storage.location import Location
        from mlsql_runtime.store.functions import list_functions

        return Location.of(data).exists() or "jack" in list_functions(Location.of(model_path))

    train = MLSQLTrainOperator(
        task_id="train",
        data={"format": "libsvm", "path": f"{{{{ params.data_path }}}}/{DAY}", "options": OPTIONS},
        validate_data={"format": "libsvm", "path": "{{ params.validate_path }}", "options": OPTIONS},
        model_path="{{ params.model_path }}",
        python_script_path="scripts/train_bayes.py",
        fit_params={"batchSize": 30, "labelSize": 2},
        keep_versions="{{ params.keep_versions }}",
        execution_timeout=timedelta(minutes=30),
        outlets=[Asset("retrained_model")],  # its events have the version and the score
    )

    register = MLSQLRegisterOperator(
        task_id="register",
        model_path="{{ params.model_path }}",
        model_version="{{ ti.xcom_pull('train')['version'] }}",
        function_name="jack",
        python_script_path="scripts/predict_bayes.py",
        only_if_better="{{ params.only_if_better }}",
        on_refused="skip",  # so that the grid shows it
        max_active_tis_per_dag=1,  # in all runs: of two at once, both may be better than the one before
        outlets=[Asset("function_jack")],
    )

    predict = MLSQLPredictOperator(
        task_id="predict",
        data={"format": "libsvm", "path": "{{ params.predict_path }}", "options": OPTIONS},
        functions={"jack": "{{ params.model_path }}"},  # the current version, even if this training failed
        sql="select label, jack(features) as prediction from data",
        output={"format": "parquet", "path": f"{{{{ params.output_path }}}}/day={DAY}"},
        trigger_rule="all_done",
    )

    @task
    def decision(registered: dict[str, Any]) -> str:
        """Report a new version; as the last task, it fails the run if the training failed, although predictions continued."""
        return f"{registered['function']} is version {registered['version']} now: {registered['reason']}"

    begun = begin(f"{{{{ params.data_path }}}}/{DAY}", "{{ params.model_path }}")
    begun >> train >> register >> [predict, decision(register.output)]
