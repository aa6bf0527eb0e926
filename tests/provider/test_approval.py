"""A person between training and registration, who approves, rejects or does not answer; only an approval changes the function."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from support.deployment import Deployment
from support.stores import publish

from mlsql_runtime.storage.location import Location
from mlsql_runtime.store.functions import read_pointer

DAG = "mlsql_human_approval"
QUIET = "nobody_answers"


def question(deployment: Deployment, run: str, times: int = 1) -> dict[str, Any]:
    """Return what a run asks, once it has asked so many times, and the scheduler knows that the worker has gone: a task that is
    answered before, which no person can, would be taken for one that was killed."""

    def asked() -> Any:
        said = [line for line in deployment.scheduler_log().splitlines() if f"task_id=approve, run_id={run}, " in line]
        parked = sum("TaskInstance Finished" in line and "state=awaiting_input" in line for line in said)
        return parked == times and deployment.answer("GET", f"dags/{DAG}/dagRuns/{run}/hitlDetails")["hitl_details"]

    [found] = deployment.until(asked, f"the question of {run}")
    return dict(found)


def respond(deployment: Deployment, run: str, option: str, why: str) -> None:
    """Answer, as the UI does."""
    path = f"dags/{DAG}/dagRuns/{run}/taskInstances/approve/-1/hitlDetails"
    deployment.answer("PATCH", path, {"chosen_options": [option], "params_input": {"why": why}})


def answered(deployment: Deployment, dag: str, run: str) -> tuple[list[str], bool]:
    """What was chosen, and whether somebody did."""
    [found] = deployment.answer("GET", f"dags/{dag}/dagRuns/{run}/hitlDetails")["hitl_details"]
    return found["chosen_options"], found["responded_by_user"] is not None


def states(deployment: Deployment, dag: str, run: str) -> dict[str, str]:
    return {task["task_id"]: task["state"] for task in deployment.tasks(dag, run)}


def test_approved_it_is_the_function_and_rejected_or_without_an_answer_the_function_stays(
    deployment: Deployment, tmp_path: Path
) -> None:
    root = Location.of(str(tmp_path / "m"))
    run = deployment.start(DAG, {"model_path": root.uri}).json()["dag_run_id"]
    asked = question(deployment, run)
    score = deployment.xcom(DAG, run, "train")["score"]
    assert asked["subject"] == f"Make version 1, score {score}, the function jack?"
    assert asked["options"] == ["Approve", "Reject"]
    assert "| version | none | 1 |" in asked["body"]
    assert read_pointer(root, "jack") is None  # not before somebody has answered
    respond(deployment, run, "Approve", "looks good")
    deployment.ended(DAG, run)
    registered = deployment.xcom(DAG, run, "register")
    assert (registered["registered"], registered["version"], registered["alg_index"]) == (True, 1, 0)
    decided = deployment.xcom(DAG, run, "decision")
    assert decided.startswith("jack is version 1 now, approved by ")
    assert decided.endswith(": looks good")

    pointer = read_pointer(root, "jack")
    again = {"task_ids": ["compare"], "include_downstream": True}  # ask again, without another training
    body = {"dry_run": False, "dag_run_id": run, "only_failed": False, "reset_dag_runs": True} | again
    deployment.answer("POST", f"dags/{DAG}/clearTaskInstances", body)
    question(deployment, run, times=2)
    assert "| version | 1 | 1 |" in deployment.xcom(DAG, run, "compare")  # Airflow keeps the body of the first question
    respond(deployment, run, "Reject", "no better")
    deployment.ended(DAG, run)
    assert states(deployment, DAG, run) == {
        "train": "success",
        "compare": "success",
        "approve": "success",
        "register": "skipped",
        "decision": "success",
    }
    assert deployment.xcom(DAG, run, "decision") == "jack is left as it is: version 1 was not approved"
    assert answered(deployment, DAG, run) == (["Reject"], True)
    assert read_pointer(root, "jack") == pointer

    add_quiet_dag(deployment)
    publish(root.uri, 1.0)
    run = deployment.run(QUIET, {"model_path": root.uri})
    [asked] = deployment.answer("GET", f"dags/{QUIET}/dagRuns/{run}/hitlDetails")["hitl_details"]
    assert asked["subject"].startswith("Make version 2, score 1.0, ")
    assert "| version | 1 | 2 |" in asked["body"]
    assert f"| score | {score} | 1.0 |" in asked["body"]
    assert (states(deployment, QUIET, run)["register"], states(deployment, QUIET, run)["decision"]) == ("skipped", "success")
    assert deployment.xcom(QUIET, run, "decision") == "jack is left as it is: version 2 was not approved"
    assert answered(deployment, QUIET, run) == (["Reject"], False)
    assert read_pointer(root, "jack") == pointer


def add_quiet_dag(deployment: Deployment) -> None:
    """Add the example with a sensor, whose XCom is that of a training, instead of its training, and with a second to answer."""
    source = (deployment.dags / f"{DAG}.py").read_text(encoding="utf-8")
    [training] = re.findall(r"    train = MLSQLTrainOperator\(.*?\n    \)\n", source, re.DOTALL)
    for old, new in (
        (f'"{DAG}"', f'"{QUIET}"'),
        ("timedelta(days=2)", "timedelta(seconds=1)"),
        ("operators.train import MLSQLTrainOperator", "sensors.model import MLSQLModelSensor"),
        (training, '    train = MLSQLModelSensor(task_id="train", model_path="{{ params.model_path }}")\n'),
    ):
        assert source.count(old) == 1
        source = source.replace(old, new)
    (deployment.dags / f"{QUIET}.py").write_text(source, encoding="utf-8")
