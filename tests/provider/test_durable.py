"""A worker that is lost in the middle of a training, in a whole Airflow: the retry finishes what was begun."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest
from support.deployment import Deployment
from support.workbench import SAMPLE, Script, processes_with

from mlsql_runtime.result import to_xcom
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store.versions import read_manifest, read_states

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
import os, signal, threading, time
from datetime import timedelta

from airflow.sdk import DAG
from airflow_provider_mlsql.operators.train import MLSQLTrainOperator

def time_out_in_group_1(context):
    '''Let Airflow's alarm of the execution_timeout go off in the first try, as soon as group 1 runs.'''
    def wait():
        while not os.path.exists({folder!r} + "/reached"):
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGALRM)

    if context["ti"].try_number == 1:
        threading.Thread(target=wait, daemon=True).start()

with DAG({name!r}, schedule=None):
    MLSQLTrainOperator(
        task_id="train",
        model_path={model!r},
        python_script_path={script!r},
        data={{"format": "libsvm", "path": {data!r}, "options": {{"numFeatures": 692}}}},
        fit_params=[{{"folder": {folder!r}}}] * 3,
        spark_conn_id="one_core",
        retry_delay=0,
        {more}
    )
"""


class Bench:
    """A DAG of one task that trains three groups in a folder of its own, one after the other."""

    def __init__(self, deployment: Deployment, folder: Path, write: Script) -> None:
        self._deployment, self.folder, self.model = deployment, folder, folder / "m"
        self._script = write(SOURCE, "thirds.py")

    def start(self, name: str, more: str) -> str:
        """Let the DAG run; its run id."""
        at = {"model": str(self.model), "folder": str(self.folder), "script": self._script, "data": SAMPLE}
        (self._deployment.dags / f"{name}.py").write_text(DAG.format(name=name, more=more, **at))
        return str(self._deployment.start(name).raise_for_status().json()["dag_run_id"])

    def is_in_group_1(self) -> bool:
        return (self.folder / "reached").exists()

    def ran(self) -> str:
        """The indices of the groups that ran, in that order."""
        return (self.folder / "ran").read_text()

    def processes(self) -> list[str]:
        return processes_with(str(self.folder))


@pytest.fixture(scope="module")
def one_core(deployment: Deployment) -> None:
    deployment.command("connections", "add", "one_core", "--conn-type", "spark", "--conn-host", "local[1]")


@pytest.fixture
def bench(deployment: Deployment, one_core: None, tmp_path: Path, script: Script) -> Bench:
    return Bench(deployment, tmp_path, script)


def task_process(dag: str) -> psutil.Process:
    """The process of the Airflow task: the one that started spark-submit, which is the first of its job."""
    submits = [p for p in psutil.process_iter(["cmdline"]) if "SparkSubmit" in " ".join(p.info["cmdline"] or [])]
    (submit,) = [p for p in submits if any(f"{dag}.train" in argument for argument in p.cmdline())]
    parent = submit.parent()
    assert parent is not None
    return parent


def test_a_lost_workers_training_is_finished_by_the_retry(deployment: Deployment, bench: Bench) -> None:
    run = bench.start("durable", "retries=2")
    deployment.until(bench.is_in_group_1, "group 1")
    task_process("durable").kill()
    deployment.ended("durable", run)

    assert bench.ran() == "0112"
    root = Location.of(str(bench.model))
    manifest = read_manifest(root)
    assert list(read_states(root)) == [1]
    assert [fit.status for fit in manifest.fits] == ["success"] * 3
    assert (root / "_model_1/logs/0.log").read().count(b"this is group 0 process ") == 1
    answer = deployment.xcom("durable", run, "train")
    assert answer == to_xcom(manifest.result(root.uri))
    assert (answer["version"], answer["score"], answer["rows"]) == (1, 0.2, 100)
    (task,) = deployment.tasks("durable", run)
    assert task["try_number"] == 2
    second_try = deployment.home / "logs" / "dag_id=durable" / f"run_id={run}" / "task_id=train" / "attempt=2.log"
    log = second_try.read_text()
    assert "files of the earlier attempt" in log
    assert log.count("by an earlier attempt") == 1
    assert [name for name in root.list_files() if name.startswith("_staging")] == []
    assert bench.processes() == []

    body = {"dry_run": False, "dag_run_id": run, "task_ids": ["train"], "only_failed": False, "reset_dag_runs": True}
    deployment.answer("POST", "dags/durable/clearTaskInstances", body)
    deployment.ended("durable", run)
    assert deployment.xcom("durable", run, "train")["version"] == 2
    assert bench.ran() == "0112012"


def test_the_execution_timeout_ends_every_process_and_the_retry_goes_on(deployment: Deployment, bench: Bench) -> None:
    run = bench.start("timed", "retries=1, execution_timeout=timedelta(hours=1), pre_execute=time_out_in_group_1")
    deployment.ended("timed", run)
    assert bench.ran() == "0112"
    assert bench.processes() == []
    first_try = deployment.home / "logs" / "dag_id=timed" / f"run_id={run}" / "task_id=train" / "attempt=1.log"
    assert "AirflowTaskTimeout" in first_try.read_text()
    assert deployment.xcom("timed", run, "train")["version"] == 1
