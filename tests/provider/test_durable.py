"""A worker that is lost in the middle of a training, in a whole Airflow: the retry finishes what was begun."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import psutil
from support.deployment import Deployment
from support.workbench import SAMPLE, Script, processes_with

from mlsql_runtime.result import as_xcom
from mlsql_runtime.store.location import Location
from mlsql_runtime.store.read import read_manifest, versions

# Group 1, when it runs for the first time, waits to be lost.
SOURCE = """
import os, time
import mlsql, mlsql_model

index, folder = mlsql.internal_system_param["algIndex"], mlsql.fit_param["folder"]
print("this is group", index, "process", os.getpid(), flush=True)
with open(os.path.join(folder, "ran"), "a") as ran:
    ran.write(index)
reached = os.path.join(folder, "reached")
if index == "1" and not os.path.exists(reached):
    open(reached, "w").close()
    time.sleep(600)
mlsql_model.sk_save_model(index)
print("mlsql_validation_score:0." + index)
"""
DAG = """
from airflow.sdk import DAG
from airflow_provider_mlsql.operators.train import MLSQLTrainOperator

with DAG("durable", schedule=None):
    MLSQLTrainOperator(
        task_id="train",
        model_path={model!r},
        python_script_path={script!r},
        data={{"format": "libsvm", "path": {data!r}, "options": {{"numFeatures": 692}}}},
        fit_params=[{{"folder": {folder!r}}}] * 3,
        spark_conn_id="one_core",
        retries=2,
        retry_delay=0,
    )
"""


def task_process() -> psutil.Process:
    """The process of the Airflow task: the one that started spark-submit, which is the first of its job."""
    marked = [p for p in psutil.process_iter(["cmdline"]) if "SparkSubmit" in " ".join(p.info["cmdline"] or [])]
    (submit,) = [p for p in marked if any("durable.train" in argument for argument in p.cmdline())]
    parent = submit.parent()
    assert parent is not None
    return parent


def test_a_lost_workers_training_is_finished_by_the_retry(deployment: Deployment, tmp_path: Path, script: Script) -> None:
    deployment.command("connections", "add", "one_core", "--conn-type", "spark", "--conn-host", "local[1]")
    filled = DAG.format(model=str(tmp_path / "m"), script=script(SOURCE, "thirds.py"), data=SAMPLE, folder=str(tmp_path))
    (deployment.dags / "durable.py").write_text(filled)
    deployment.unpause("durable")
    run = str(deployment.start("durable").raise_for_status().json()["dag_run_id"])

    deployment.until((tmp_path / "reached").exists, "group 1")
    os.kill(task_process().pid, signal.SIGKILL)
    deployment.ended("durable", run)

    assert (tmp_path / "ran").read_text() == "0112"
    root = Location.of(str(tmp_path / "m"))
    manifest = read_manifest(root)
    assert [info.version for info in versions(root)] == [1]
    assert [fit.status for fit in manifest.fits] == ["success"] * 3
    assert (root / "_model_1/logs/0.log").read().count(b"this is group 0 process ") == 1
    answer = deployment.xcom("durable", run, "train")
    assert answer == as_xcom(manifest.result(root.uri))
    assert (answer["version"], answer["score"], answer["rows"]) == (1, 0.2, 100)
    (task,) = deployment.tasks("durable", run)
    assert task["try_number"] == 2
    second_try = deployment.home / "logs" / "dag_id=durable" / f"run_id={run}" / "task_id=train" / "attempt=2.log"
    told = second_try.read_text()
    assert "files of the earlier attempt" in told
    assert told.count("by an earlier attempt") == 1
    assert [name for name in root.files() if name.startswith("_staging")] == []
    assert processes_with(str(tmp_path / "m")) == []

    body = {"dry_run": False, "dag_run_id": run, "task_ids": ["train"], "only_failed": False, "reset_dag_runs": True}
    deployment.answer("POST", "dags/durable/clearTaskInstances", body)
    deployment.ended("durable", run)
    assert deployment.xcom("durable", run, "train")["version"] == 2
    assert (tmp_path / "ran").read_text() == "0112012"
