"""A worker that is lost in the middle of a training, and a timeout, in a whole Airflow: retries finish what was begun."""

from __future__ import annotations

from pathlib import Path

import psutil
from support.deployment import Deployment
from support.workbench import SAMPLE, Script, processes_with

from mlsql_runtime.result import to_xcom
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store.versions import read_manifest, read_states

# Groups 1 and 2, when they run for the first time, wait to be lost.
SOURCE = """
import os, time
import mlsql, mlsql_model

index, folder = mlsql.internal_system_param["algIndex"], mlsql.fit_param["folder"]
print("this is group", index, "process", os.getpid(), flush=True)
with open(os.path.join(folder, "ran"), "a") as ran:
    ran.write(index)
reached = os.path.join(folder, "reached" + index)
if index != "0" and not os.path.exists(reached):
    open(reached, "w").close()
    time.sleep(600)
mlsql_model.sk_save_model(index)
print("mlsql_validation_score:0." + index)
"""
DAG = """
import os, signal, threading, time
from datetime import timedelta

from airflow.sdk import DAG
from airflow_provider_mlsql.operators.train import MLSQLTrainOperator

def time_out_in_group_2(context):
    '''Let Airflow's alarm of the execution_timeout go off in the second try, as soon as group 2 runs.'''
    def wait():
        while not os.path.exists({folder!r} + "/reached2"):
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGALRM)

    if context["ti"].try_number == 2:
        threading.Thread(target=wait, daemon=True).start()

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
        execution_timeout=timedelta(hours=1),
        pre_execute=time_out_in_group_2,
    )
"""


def task_process() -> psutil.Process:
    """Return the process of the Airflow task: the one that started spark-submit, which is the first of its job."""
    submits = [p for p in psutil.process_iter(["cmdline"]) if "SparkSubmit" in " ".join(p.info["cmdline"] or [])]
    (submit,) = [p for p in submits if any("durable.train" in argument for argument in p.cmdline())]
    parent = submit.parent()
    assert parent is not None
    return parent


def test_a_lost_workers_training_is_finished_by_retries_also_after_a_timeout(
    deployment: Deployment, tmp_path: Path, script: Script
) -> None:
    model, paths = str(tmp_path / "m"), {"folder": str(tmp_path), "data": SAMPLE, "script": script(SOURCE, "thirds.py")}
    deployment.answer("POST", "connections", {"connection_id": "one_core", "conn_type": "spark", "host": "local[1]"})
    (deployment.dags / "durable.py").write_text(DAG.format(model=model, **paths))
    run = deployment.start("durable").raise_for_status().json()["dag_run_id"]
    deployment.until((tmp_path / "reached1").exists, "group 1")
    task_process().kill()
    deployment.ended("durable", run)

    assert (tmp_path / "ran").read_text() == "01122"  # the indices of the groups, in the order of their starts
    root = Location.of(model)
    manifest = read_manifest(root)
    assert list(read_states(root)) == [1]
    assert [fit.status for fit in manifest.fits] == ["success"] * 3
    assert (root / "_model_1/logs/0.log").read().count(b"this is group 0 process ") == 1
    answer = deployment.xcom("durable", run, "train")
    assert answer == to_xcom(manifest.result(root.uri))
    assert (answer["version"], answer["score"], answer["rows"]) == (1, 0.2, 100)
    (task,) = deployment.tasks("durable", run)
    assert task["try_number"] == 3
    folder = deployment.home / "logs" / "dag_id=durable" / f"run_id={run}" / "task_id=train"
    timed_out, last = ((folder / f"attempt={number}.log").read_text() for number in (2, 3))
    assert "AirflowTaskTimeout" in timed_out
    for log in (timed_out, last):
        assert "files of the earlier attempt" in log
    assert last.count("by an earlier attempt") == 2
    assert [name for name in root.list_files() if name.startswith("_staging")] == []
    assert processes_with(str(tmp_path)) == []
