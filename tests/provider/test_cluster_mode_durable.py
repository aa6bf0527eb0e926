"""Cluster mode in a whole Airflow: its own state store, scheduler and triggerer, when a worker is lost or a task ended."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from support.deployment import Deployment
from support.tries import leftovers
from support.workbench import SAMPLE, Script
from support.yarn import Yarn, yarn_cluster

SAVE = "import mlsql_model\nmlsql_model.sk_save_model(1)\nprint('mlsql_validation_score:1')\n"
DAG = """
import os

from airflow.sdk import DAG
from airflow_provider_mlsql.operators.train import MLSQLTrainOperator

os.environ["SPARK_HOME"] = {home!r}

def remember(context):
    with open({folder!r} + "/pid", "w") as file:
        file.write(str(os.getpid()))

with DAG({name!r}, schedule=None):
    MLSQLTrainOperator(task_id="train", spark_conn_id="yarn", model_path={folder!r} + "/m", python_script_path={script!r},
                       data={{"format": "libsvm", "path": {data!r}, "options": {{"numFeatures": 692}}}},
                       poll_interval=0.2, retry_delay=0, pre_execute=remember, {more})
"""


@pytest.fixture(scope="module")
def yarn(deployment: Deployment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Yarn]:
    with yarn_cluster(tmp_path_factory.mktemp("cluster") / "yarn") as cluster:
        connection = json.loads(cluster.connection)
        fields = {"conn_type": connection["conn_type"], "host": connection["host"], "extra": json.dumps(connection["extra"])}
        deployment.answer("POST", "connections", {"connection_id": "yarn"} | fields)
        yield cluster


def start(deployment: Deployment, yarn: Yarn, name: str, folder: Path, script: str, more: str) -> str:
    """Let a DAG of one task run; its run id."""
    source = DAG.format(name=name, folder=str(folder), home=str(yarn.folder), script=script, data=SAMPLE, more=more)
    (deployment.dags / f"{name}.py").write_text(source)
    return str(deployment.start(name).raise_for_status().json()["dag_run_id"])


def test_a_retry_follows_the_application_and_a_cleared_task_submits_another_one(
    deployment: Deployment, yarn: Yarn, tmp_path: Path, script: Script
) -> None:
    before = len(yarn.submitted)
    yarn.hold()
    run = start(deployment, yarn, "lost_on_yarn", tmp_path, script(SAVE), "retries=1")
    deployment.until(lambda: "is ACCEPTED" in deployment.logs("lost_on_yarn", run), "the submission")
    psutil.Process(int((tmp_path / "pid").read_text())).kill()
    deployment.until(lambda: deployment.tasks("lost_on_yarn", run)[0]["try_number"] == 2, "the retry")
    yarn.release()
    deployment.ended("lost_on_yarn", run)
    assert deployment.xcom("lost_on_yarn", run, "train")["version"] == 1
    assert len(yarn.submitted) == before + 1
    assert leftovers(tmp_path) == []

    body = {"dry_run": False, "dag_run_id": run, "task_ids": ["train"], "only_failed": False, "reset_dag_runs": True}
    deployment.answer("POST", "dags/lost_on_yarn/clearTaskInstances", body)
    deployment.ended("lost_on_yarn", run)
    assert deployment.xcom("lost_on_yarn", run, "train")["version"] == 2
    assert len(yarn.submitted) == before + 2


def test_a_deferred_task_that_a_user_ends_ends_its_application(
    deployment: Deployment, yarn: Yarn, tmp_path: Path, script: Script
) -> None:
    yarn.hold()
    with deployment.running({"triggerer": ("triggerer", "--skip-serve-logs")}):
        run = start(deployment, yarn, "deferred_on_yarn", tmp_path, script(SAVE), "deferrable=True")
        deployment.until(lambda: deployment.tasks("deferred_on_yarn", run)[0]["state"] == "deferred", "the task to leave")
        application = yarn.submitted[-1]
        asked = yarn.asked
        deployment.until(lambda: yarn.asked > asked, "the trigger to ask")
        path = f"dags/deferred_on_yarn/dagRuns/{run}/taskInstances/train"
        deployment.answer("PATCH", path, {"new_state": "failed"})
        deployment.until(lambda: application in yarn.killed, "the application's end")
        deployment.until(lambda: leftovers(tmp_path) == [], "the job's folder to go")
    yarn.release()
