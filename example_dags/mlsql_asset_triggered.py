"""Register a model version as soon as it is published, by another DAG, ``mlsql run`` or a notebook.

The asset's watcher reads the model path in the triggerer. The event contains the version, so the DAG does not search for it.
"""

from __future__ import annotations

import os
from typing import Any

from airflow.sdk import DAG, Asset, AssetWatcher, task

from airflow_provider_mlsql.operators.register import MLSQLRegisterOperator
from airflow_provider_mlsql.triggers.model import MLSQLModelEventTrigger

MODEL_PATH = os.environ.get("MLSQL_MODEL_PATH", "/tmp/mlsql/pa_model")

trigger = MLSQLModelEventTrigger(model_path=MODEL_PATH, poke_interval=30, min_score=0.5)
model = Asset("mlsql_pa_model", watchers=[AssetWatcher(name="mlsql_pa_model_versions", trigger=trigger)])

with DAG(
    "mlsql_asset_triggered",
    description="A new model version starts this DAG, which registers it",
    schedule=[model],
    catchup=False,
    tags=["mlsql", "example"],
    doc_md=__doc__,
):

    @task
    def landed_version(triggering_asset_events: Any = None) -> int | None:
        """Return the newest of the versions that triggered the run; in a manual run, the newest version of all."""
        events = [event for of_asset in triggering_asset_events.values() for event in of_asset]
        return max((event.extra["payload"]["version"] for event in events), default=None)

    register = MLSQLRegisterOperator(
        task_id="register",
        model_path=MODEL_PATH,
        model_version="{{ ti.xcom_pull('landed_version') }}",
        function_name="jack",
        python_script_path="scripts/predict_bayes.py",
    )

    landed_version() >> register
