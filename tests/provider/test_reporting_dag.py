"""A DAG that reports to OpenLineage and to MLflow, in a real Airflow: a training in a script, and tasks that fail."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support.airflow import Airflow
from support.openlineage import check_event, find_task_events, normalize
from support.workbench import SAMPLE

DAG = """
from airflow.sdk import DAG
from airflow_provider_mlsql.operators.predict import MLSQLPredictOperator
from airflow_provider_mlsql.operators.script import MLSQLScriptOperator

TRAIN = '''
load libsvm.`{data}` as data;
train data as PythonAlg.`{folder}/m` where pythonScriptPath="{folder}/train.py";
'''
FAIL = '''
load libsvm.`{data}` as data;
save overwrite data as parquet.`{folder}/rows`;
select features as f from data as half;
save overwrite half as parquet.`{folder}/rows`;
select nothing from half as rest;
'''
with DAG("reporting", schedule=None):
    MLSQLScriptOperator(task_id="train", script=TRAIN, mlflow_conn_id="tracker")
    MLSQLScriptOperator(task_id="late", script=FAIL)
    MLSQLPredictOperator(
        task_id="early", data="parquet.`{folder}/missing`", sql="select 1 from data", output="json.`{folder}/out`"
    )
"""
TRAIN = "import mlsql_model\nprint('mlsql_validation_score:0.5')\nmlsql_model.sk_save_model(1)\n"


@dataclass(frozen=True)
class Run:
    """A run of the DAG: its folder, its log, and the last events of its tasks."""

    folder: Path
    log: str
    events: Mapping[str, Mapping[str, Any]]

    def normalize(self, task: str) -> dict[str, Any]:
        return normalize(self.events[task], {str(self.folder): "<folder>", SAMPLE: "<sample>"})


@pytest.fixture(scope="module")
def run(airflow: Airflow, mlflow_server: str, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("reporting")
    (folder / "train.py").write_text(TRAIN)
    (folder / "dags").mkdir()
    (folder / "dags" / "reporting.py").write_text(DAG.format(data=SAMPLE, folder=folder))
    tracker = f'{{"conn_type": "http", "host": "{mlflow_server}"}}'
    log, events = airflow.report(
        "reporting", {}, folder / "events.jsonl", folder / "dags", AIRFLOW_CONN_TRACKER=tracker, PYTHONWARNINGS="ignore"
    )
    for event in events:
        check_event(event)
    return Run(folder, log, {event["job"]["name"].partition(".")[2]: event for event in find_task_events(events)})


def test_failed_tasks_report_their_error_and_what_they_did_before(run: Run) -> None:
    early, late = run.normalize("early"), run.normalize("late")
    assert (early["event"], late["event"]) == ("FAIL", "FAIL")
    assert "inputs" not in early
    assert "<folder>/missing" in early["error"]
    assert late["error"].startswith("late:6:")
    assert [each["name"] for each in late["inputs"]] == ["<sample>"]
    assert [(each["name"], len(each["facets"]["schema"]["fields"])) for each in late["outputs"]] == [("<folder>/rows", 1)]


def test_a_training_in_a_script_is_in_openlineage_and_in_mlflow(run: Run, mlflow: Any, mlflow_server: str) -> None:
    event = run.normalize("train")
    assert event["event"] == "COMPLETE"
    assert [each["name"] for each in event["inputs"]] == ["<sample>"]
    [model] = event["outputs"]
    assert (model["name"], model["facets"]["version"]["datasetVersion"]) == ("<folder>/m", "1")
    client = mlflow.MlflowClient(mlflow_server)
    experiment = client.get_experiment_by_name(f"{run.folder}/m")
    found = client.search_runs([experiment.experiment_id], "tags.`mlsql.best_group` = '0'")
    assert [(each.data.metrics["score"], each.data.tags["mlsql.task_id"]) for each in found] == [(0.5, "train")]
    assert "mlflow: version 1 is run" in run.log
