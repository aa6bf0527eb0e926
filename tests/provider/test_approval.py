"""A person between training and registration: who approves gets the function, who rejects or is silent leaves it as it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from support.deployment import Deployment

from mlsql_runtime.storage.location import Location
from mlsql_runtime.store.functions import read_pointer

DAG = "mlsql_human_approval"
QUIET = "nobody_answers"


def question(deployment: Deployment, run: str) -> dict[str, Any]:
    """What a run asks, once it does, and the scheduler knows that the worker has gone: a task that is answered before, which no
    person can, would be taken for one that was killed."""

    def asked() -> Any:
        said = [line for line in deployment.scheduler_log().splitlines() if f"task_id=approve, run_id={run}, " in line]
        parked = any("TaskInstance Finished" in line and "state=awaiting_input" in line for line in said)
        return parked and deployment.answer("GET", f"dags/{DAG}/dagRuns/{run}/hitlDetails")["hitl_details"]

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


def test_approved_it_is_the_function_and_rejected_the_function_stays(deployment: Deployment, tmp_path: Path) -> None:
    root = Location.of(str(tmp_path / "m"))
    conf = {"model_path": root.uri}

    first = deployment.start(DAG, conf).json()["dag_run_id"]
    asked = question(deployment, first)
    score = deployment.xcom(DAG, first, "train")["score"]
    assert asked["subject"] == f"Make version 1, score {score}, the function jack?"
    assert asked["options"] == ["Approve", "Reject"]
    assert "| version | none | 1 |" in asked["body"]
    assert read_pointer(root, "jack") is None  # not before somebody has answered
    respond(deployment, first, "Approve", "looks good")
    deployment.ended(DAG, first)
    registered = deployment.xcom(DAG, first, "register")
    assert (registered["registered"], registered["version"], registered["alg_index"]) == (True, 1, 0)
    decided = deployment.xcom(DAG, first, "decision")
    assert decided.startswith("jack is version 1 now, approved by ")
    assert decided.endswith(": looks good")

    pointer = read_pointer(root, "jack")
    second = deployment.start(DAG, conf).json()["dag_run_id"]
    asked = question(deployment, second)
    assert asked["subject"].startswith("Make version 2, ")
    assert "| version | 1 | 2 |" in asked["body"]
    assert f"| score | {score} | {deployment.xcom(DAG, second, 'train')['score']} |" in asked["body"]
    respond(deployment, second, "Reject", "no better")
    deployment.ended(DAG, second)
    assert states(deployment, DAG, second) == {
        "train": "success",
        "compare": "success",
        "approve": "success",
        "register": "skipped",
        "decision": "success",
    }
    assert deployment.xcom(DAG, second, "decision") == "jack is left as it is: version 2 was not approved"
    assert answered(deployment, DAG, second) == (["Reject"], True)
    assert read_pointer(root, "jack") == pointer


def test_silence_is_a_rejection(deployment: Deployment, tmp_path: Path) -> None:
    source = (deployment.dags / "mlsql_human_approval.py").read_text(encoding="utf-8")
    quick = source.replace("timedelta(days=2)", "timedelta(seconds=1)").replace(f'"{DAG}"', f'"{QUIET}"')
    assert quick.count("timedelta(seconds=1)") == quick.count(f'"{QUIET}"') == 1
    (deployment.dags / "nobody_answers.py").write_text(quick, encoding="utf-8")
    root = Location.of(str(tmp_path / "m"))
    run = deployment.run(QUIET, {"model_path": root.uri})
    assert (states(deployment, QUIET, run)["register"], states(deployment, QUIET, run)["decision"]) == ("skipped", "success")
    assert deployment.xcom(QUIET, run, "decision") == "jack is left as it is: version 1 was not approved"
    assert answered(deployment, QUIET, run) == (["Reject"], False)
    assert read_pointer(root, "jack") is None
