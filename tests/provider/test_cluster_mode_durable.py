"""Cluster mode in a whole Airflow: its own state store, scheduler and triggerer, when a worker is lost or a task ended."""

from __future__ import annotations

import json
from pathlib import Path

import psutil
import pytest
from support.deployment import Deployment
from support.tries import SAVE, leftovers
from support.workbench import SAMPLE, Script
from support.yarn import Applications

DAG = """
import os

from airflow.sdk import DAG
from airflow_provider_mlsql.operators.train import MLSQLTrainOperator

os.environ |= {environment!r}

def remember(context):
    with open({folder!r} + "/pid", "w") as file:
        file.write(str(os.getpid()))

with DAG({name!r}, schedule=None):
    MLSQLTrainOperator(task_id="train", spark_conn_id="yarn", model_path={folder!r} + "/m", python_script_path={script!r},
                       data={{"format": "libsvm", "path": "file://" + {data!r}, "options": {{"numFeatures": 692}}}},
                       poll_interval=0.2, retry_delay=0, pre_execute=remember, conf={conf!r}, {more})
"""


@pytest.fixture(scope="module")
def connected() -> list[str]:
    """The names of the connections that the deployment has."""
    return []


def start(
    deployment: Deployment, yarn: Applications, connected: list[str], name: str, folder: Path, script: str, more: str
) -> str:
    """Let a DAG of one task run, whose applications wait until they are released; its run id."""
    if not connected:
        connection = json.loads(yarn.yarn.connection())
        fields = {"conn_type": connection["conn_type"], "host": connection["host"], "extra": json.dumps(connection["extra"])}
        deployment.answer("POST", "connections", {"connection_id": "yarn"} | fields)
        connected.append("yarn")
    source = DAG.format(
        name=name, folder=str(folder), environment=yarn.environment, script=script, data=SAMPLE, conf=yarn.held, more=more
    )
    (deployment.dags / f"{name}.py").write_text(source)
    return str(deployment.start(name).raise_for_status().json()["dag_run_id"])


def test_a_retry_follows_the_application_and_a_cleared_task_submits_another_one(
    deployment: Deployment, yarn: Applications, connected: list[str], tmp_path: Path, script: Script
) -> None:
    run = start(deployment, yarn, connected, "lost_on_yarn", tmp_path, script(SAVE), "retries=1")
    deployment.until(lambda: "is ACCEPTED" in deployment.logs("lost_on_yarn", run), "the submission")
    psutil.Process(int((tmp_path / "pid").read_text())).kill()
    deployment.until(lambda: deployment.tasks("lost_on_yarn", run)[0]["try_number"] == 2, "the retry")
    (application,) = yarn.submitted
    yarn.release(application)
    deployment.ended("lost_on_yarn", run)
    assert deployment.xcom("lost_on_yarn", run, "train")["version"] == 1
    assert leftovers(tmp_path) == []

    body = {"dry_run": False, "dag_run_id": run, "task_ids": ["train"], "only_failed": False, "reset_dag_runs": True}
    deployment.answer("POST", "dags/lost_on_yarn/clearTaskInstances", body)
    deployment.until(lambda: len(yarn.submitted) == 2, "another application")
    end(deployment, "lost_on_yarn", run)
    deployment.until(lambda: yarn.state(yarn.submitted[1]) == "KILLED", "the application's end")
    deployment.until(lambda: leftovers(tmp_path) == [], "the job's folder to go")


def test_a_deferred_task_that_a_user_ends_ends_its_application(
    deployment: Deployment, yarn: Applications, connected: list[str], tmp_path: Path, script: Script
) -> None:
    with deployment.running({"triggerer": ("triggerer", "--skip-serve-logs")}):
        run = start(deployment, yarn, connected, "deferred_on_yarn", tmp_path, script(SAVE), "deferrable=True")
        deployment.until(lambda: deployment.tasks("deferred_on_yarn", run)[0]["state"] == "deferred", "the task to leave")
        (application,) = yarn.submitted
        asked = f"Application {application} is ACCEPTED"  # the worker and the trigger log that
        deployment.until(lambda: deployment.logs("deferred_on_yarn", run).count(asked) == 2, "the trigger to ask")
        end(deployment, "deferred_on_yarn", run)
        deployment.until(lambda: yarn.state(application) == "KILLED", "the application's end")
        deployment.until(lambda: leftovers(tmp_path) == [], "the job's folder to go")


def end(deployment: Deployment, dag: str, run: str) -> None:
    """End the task as a user does in the UI."""
    deployment.answer("PATCH", f"dags/{dag}/dagRuns/{run}/taskInstances/train", {"new_state": "failed"})
