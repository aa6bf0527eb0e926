"""Train, then ask a person before the model becomes the function: Approve or Reject, in the UI under Required Actions.

The question shows the new model beside the one in use. The approval is for this version and this fit group, even if other
versions are trained in the meantime. After a rejection, or without a response within two days, the function does not change.
Needs Airflow 3.1 or newer.
"""

from __future__ import annotations

import importlib.util
import os
from datetime import timedelta
from typing import Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import DAG, Param, TriggerRule, task

from airflow_provider_mlsql.operators.register import MLSQLRegisterOperator
from airflow_provider_mlsql.operators.train import MLSQLTrainOperator

PYSPARK = os.path.dirname(str(importlib.util.find_spec("pyspark").origin))
SAMPLE = os.path.join(PYSPARK, "data", "mllib", "sample_libsvm_data.txt")  # 100 rows, 692 features, two labels

with DAG(
    "mlsql_human_approval",
    description="A person approves a model before it becomes a function",
    schedule=None,
    catchup=False,
    max_active_runs=1,  # one question at a time, so that the model it names as the one in use is that
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
        "model_path": Param(
            "/tmp/mlsql/approved_model",
            type="string",
            title="Model path",
            description="Folder or URI that keeps all versions of the model.",
            section="Model",
        ),
        "function_name": Param(
            "jack",
            type="string",
            pattern="^[A-Za-z_][A-Za-z0-9_]*$",
            title="Function",
            description="Name of the function in SQL.",
            section="Model",
        ),
    },
):
    train = MLSQLTrainOperator(
        task_id="train",
        data={"format": "libsvm", "path": "{{ params.data_path }}", "options": {"numFeatures": 692}},
        model_path="{{ params.model_path }}",
        python_script_path="scripts/train_bayes.py",
        fit_params=[{"batchSize": 30, "labelSize": 2, "alpha": 1.0}, {"batchSize": 30, "labelSize": 2, "alpha": 0.01}],
        validate_data=0.3,
        execution_timeout=timedelta(minutes=30),
    )

    @task
    def compare(trained: dict[str, Any], params: dict[str, Any]) -> str:
        """Return the new model beside the one in use, as a table in Markdown."""
        from mlsql_runtime.storage.location import Location
        from mlsql_runtime.store.functions import read_pointer

        pointer = read_pointer(Location.of(params["model_path"]), params["function_name"])
        used = pointer.current if pointer else None
        rows = [
            ("", "in use", "new"),
            ("---", "---", "---"),
            ("version", used.version if used else "none", trained["version"]),
            ("fit group", used.alg_index if used else "", trained["best"]["alg_index"]),
            ("score", used.score if used else "", trained["score"]),
            ("registered", f"{used.at:%Y-%m-%d %H:%M} UTC" if used else "", ""),
        ]
        table = "\n".join(f"| {name} | {before} | {after} |" for name, before, after in rows)
        return f"`{params['function_name']}` of `{params['model_path']}`\n\n{table}"

    approve = ApprovalOperator(
        task_id="approve",
        subject="Make version {{ ti.xcom_pull('train')['version'] }}, score {{ ti.xcom_pull('train')['score'] }}, "
        "the function {{ params.function_name }}?",
        body="{{ ti.xcom_pull('compare') }}",
        params={"why": Param("", type="string", title="Why")},
        defaults=ApprovalOperator.REJECT,
        response_timeout=timedelta(days=2),
    )

    register = MLSQLRegisterOperator(
        task_id="register",
        model_path="{{ params.model_path }}",
        model_version="{{ ti.xcom_pull('train')['version'] }}",
        alg_index="{{ ti.xcom_pull('train')['best']['alg_index'] }}",
        function_name="{{ params.function_name }}",
        python_script_path="scripts/predict_bayes.py",
    )

    @task(trigger_rule=TriggerRule.NONE_FAILED)
    def decision(trained: dict[str, Any], params: dict[str, Any], ti: Any = None) -> str:
        """Return what was decided. A rejection skips only tasks that depend on the question itself, so this one runs as well."""
        answer = ti.xcom_pull(task_ids="approve")  # none after a rejection: the operator skips then, and answers nothing
        name, version = params["function_name"], trained["version"]
        if answer is None:
            return f"{name} is left as it is: version {version} was not approved"
        why = answer["params_input"].get("why")
        return f"{name} is version {version} now, approved by {answer['responded_by_user']['name']}" + (f": {why}" if why else "")

    compare(train.output) >> approve >> register >> decision(train.output)
