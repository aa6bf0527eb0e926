"""Cluster mode on a real YARN: one application gives the result even if workers, nodes or the ResourceManager are lost."""

from __future__ import annotations

import asyncio
import json
import re
import stat
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import Asset
from airflow.triggers.base import TriggerEvent
from support.airflow import Airflow
from support.events import asset_events
from support.tries import SAVE, BackgroundTry, Task, leftovers, training
from support.waiting import wait_until
from support.workbench import SAMPLE, Script
from support.yarn import Applications

from airflow_provider_mlsql.triggers.application import MLSQLApplicationTrigger
from mlsql_runtime.errors import JobFailed


@pytest.fixture
def task(tmp_path: Path, script: Script) -> Callable[..., Task]:
    """A task that trains on YARN, in a moment."""

    def make(source: str = SAVE, **arguments: Any) -> Task:
        usual = training("yarn", tmp_path / "m", script(source))
        return Task(tmp_path, usual | arguments)

    return make


@pytest.fixture
def log(capfd: pytest.CaptureFixture[str]) -> Callable[[], str]:
    """Return all that the test has logged so far."""
    parts: list[str] = []

    def read() -> str:
        parts.append(capfd.readouterr().out)
        return "".join(parts)

    return read


def without_times(xcom: dict[str, Any]) -> dict[str, Any]:
    fits = [{key: value for key, value in fit.items() if key != "seconds"} for fit in xcom["fits"]]
    return {key: value for key, value in xcom.items() if key != "model_path"} | {"fits": fits}


USUAL: dict[str, Any] = {
    "fit_params": [{"alpha": 0.25}, {"alpha": 0.75}],
    "validate_data": 0.3,
    "envs": {"TOKEN": "hidden-1"},
    "conf": {"spark.hadoop.some.secret.key": "hidden-2"},
}
MODES = """
from airflow.sdk import DAG, Asset
from airflow_provider_mlsql.operators.train import MLSQLTrainOperator

usual = dict(python_script_path="{script}", data="libsvm.`file://{data}`", **{usual})
with DAG("cluster_modes", schedule=None):
    MLSQLTrainOperator(task_id="client", model_path="file://{tmp}/client", outlets=[Asset("by_client")],
                       spark_conn_id="client", **usual)
    MLSQLTrainOperator(task_id="deferred", model_path="file://{tmp}/deferred", outlets=[Asset("by_deferred")],
                       spark_conn_id="yarn", poll_interval=0.2, job_path="file://{tmp}/jobs", deferrable=True, **usual)
"""
SCORED = """
import mlsql, mlsql_model
mlsql.report(rows=len(mlsql.all_data()[1]))
mlsql_model.sk_save_model(mlsql.fit_param["alpha"])
print("mlsql_validation_score:" + mlsql.fit_param["alpha"])
"""
CLIENT = '{"conn_type": "spark", "host": "yarn", "extra": {"deploy-mode": "client"}}'


def test_every_mode_gives_the_same_xcom_and_events_also_if_worker_and_resource_manager_are_lost(
    airflow: Airflow,
    yarn: Applications,
    task: Callable[..., Task],
    tmp_path: Path,
    log: Callable[[], str],
) -> None:
    held = USUAL | {"conf": USUAL["conf"] | yarn.held}
    trains = task(source=SCORED, outlets=["by_cluster"], **held)
    with trains.worker() as worker:
        wait_until(lambda: trains.state.all())
        worker.kill()
    (application,) = yarn.submitted
    (run,) = (tmp_path / "m/_staging").glob("app-*/*/job.json")
    assert stat.S_IMODE(run.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE((run.parent / "secrets.json").stat().st_mode) == 0o600
    with yarn.away():
        polling = task(source=SCORED, outlets=["by_cluster"], poll_interval=8, **held)
        following = BackgroundTry(polling, try_number=2)
        wait_until(lambda: "Request 1 of 10 failed" in log())
    wait_until(yarn.is_there)
    yarn.release(application)
    cluster = following.value()
    assert trains.execute(try_number=2) == cluster  # as if the worker had been lost before Airflow had the result
    assert yarn.submitted == [application]

    (tmp_path / "dags").mkdir()
    dag = MODES.format(tmp=tmp_path, data=SAMPLE, script=trains.arguments["python_script_path"], usual=USUAL)
    (tmp_path / "dags/modes.py").write_text(dag, encoding="utf-8")
    text = log() + airflow.succeed("cluster_modes", dags=tmp_path / "dags", AIRFLOW_CONN_CLIENT=CLIENT, **yarn.environment)
    values, events = airflow.xcoms("cluster_modes"), asset_events(airflow, "cluster_modes")
    assert [(fit["score"], fit["metrics"]["rows"]) for fit in values["client"]["fits"]] == [(0.25, 71), (0.75, 71)]
    assert without_times(cluster) == without_times(values["deferred"]) == without_times(values["client"])
    assert (cluster["model_path"], values["deferred"]["model_path"]) == (str(tmp_path / "m"), str(tmp_path / "deferred"))
    (event,) = events["by_client"]
    assert polling.events[Asset("by_cluster")].extra == event | {"model_path": cluster["model_path"]}
    assert events["by_deferred"] == [event | {"model_path": values["deferred"]["model_path"]}]
    names = {yarn.facts(each)["name"]: each for each in yarn.submitted}
    (deferred,) = [each for name, each in names.items() if name.startswith("cluster_modes.deferred")]
    assert len(names) == 3
    for each in (application, deferred):
        assert f"Application {each} is RUNNING, http://" in text
        assert f"Application {each} is SUCCEEDED" in text
        assert "Failed to add file" not in yarn.log(each)  # Spark, about a path of the runtime on the worker
    assert "[fit 1] mlsql_validation_score:0.75" in text
    assert f"Submitted application {deferred} to YARN" in text
    for secret in ("hidden-1", "hidden-2"):
        assert secret not in yarn.log(application) + yarn.log(deferred) + json.dumps(yarn.facts(application))
    assert leftovers(tmp_path) == []


def test_a_retry_goes_on_after_executors_and_nodes_are_lost(
    yarn: Applications, task: Callable[..., Task], tmp_path: Path
) -> None:
    """The second group waits for a file; the first one is finished before the node of the driver is lost."""
    marks = tmp_path / "marks"
    marks.mkdir()
    trains = task(
        source=MARKING.format(marks=marks),
        fit_params=[{"alpha": 1}, {"alpha": 2}],
        conf={"spark.executor.cores": "2"},
    )
    lost = BackgroundTry(trains)
    wait_until(lambda: any((tmp_path / "m/_staging").glob("*/fit-0-*/finished.json")) and (marks / "second").exists())
    (application,) = yarn.submitted
    (marks / "second").unlink()
    yarn.lose_executors(application)
    wait_until((marks / "second").exists)  # Spark has replaced the executor
    yarn.lose_node(application)
    assert re.search("ended without a result, FAILED: .* yarn logs -applicationId application_", lost.failure(), re.S)
    wait_until(lambda: yarn.processes(application) == [])

    (marks / "go").touch()
    assert len(trains.execute(try_number=2)["fits"]) == 2
    assert (marks / "first").read_text() == "trained\n"  # once
    assert leftovers(tmp_path) == []


MARKING = """
import time
from pathlib import Path
import mlsql, mlsql_model
marks = Path("{marks}")
if mlsql.fit_param["alpha"] == "1":
    with (marks / "first").open("a") as file:
        file.write("trained\\n")
else:
    (marks / "second").touch()
    while not (marks / "go").exists():
        time.sleep(0.1)
mlsql_model.sk_save_model(1)
print("mlsql_validation_score:1")
"""


def test_a_killed_task_ends_its_application_and_a_lost_driver_leaves_its_last_lines(
    yarn: Applications, task: Callable[..., Task], tmp_path: Path, log: Callable[[], str]
) -> None:
    source = "import os, time\nprint('here', os.getpid(), flush=True)\ntime.sleep(900)\n"
    killed = BackgroundTry(task(source), try_number=2)  # the last one, so that nothing has to stay
    wait_until(lambda: "[fit 0] here" in log())  # while it runs
    (application,) = yarn.submitted
    killed.operator.on_kill()
    assert killed.failure() == "the job was cancelled"
    assert yarn.state(application) == "KILLED"
    wait_until(lambda: yarn.processes(application) == [])
    assert leftovers(tmp_path) == []

    lost = BackgroundTry(task(source), try_number=2)
    wait_until(lambda: log().count("[fit 0] here") == 2)
    yarn.lose_driver(yarn.submitted[1])
    assert "ended without a result, FAILED: the driver was ended by SIGKILL" in lost.failure()
    assert "[fit 0] here" in log().partition("The driver's last lines:")[2]
    wait_until(lambda: yarn.processes(yarn.submitted[1]) == [])
    assert leftovers(tmp_path) == []


def test_waiting_applications_are_found_followed_and_ended(yarn: Applications, task: Callable[..., Task], tmp_path: Path) -> None:
    waiting = {"deferrable": True, "conf": yarn.held}
    trains = task(**waiting)
    for try_number in (1, 2):  # the second one does the same
        trains.defer(try_number)
        assert len(yarn.submitted) == 1
        trains.state.file.unlink()  # as if the worker had been lost before it could remember
    trigger = task(**waiting, fit_params=[{"alpha": 2}]).defer(try_number=2)
    assert [yarn.state(each) for each in yarn.submitted] == ["KILLED", "ACCEPTED"]
    asyncio.run(trigger.on_kill())
    late = task(**waiting, execution_timeout=timedelta(seconds=0))
    event = asyncio.run(event_of(late.defer()))
    assert event["status"] == "timeout"
    with pytest.raises(BaseException, match="after the execution_timeout"):
        late.operator().execute_complete(late.context(), event)
    assert [yarn.state(each) for each in yarn.submitted] == ["KILLED"] * 3
    assert leftovers(tmp_path) == []


async def event_of(trigger: MLSQLApplicationTrigger) -> dict[str, Any]:
    event: TriggerEvent = await anext(trigger.run())
    payload: dict[str, Any] = event.payload
    return payload


def test_a_submission_that_yarn_refuses_leaves_nothing(yarn: Applications, task: Callable[..., Task], tmp_path: Path) -> None:
    with pytest.raises(JobFailed, match=r"could not be submitted to YARN: .*unknown queue") as caught:
        task(conf={"spark.yarn.queue": "nowhere"}).execute()
    print(caught.value)
    assert task().state.all() == {}
    assert leftovers(tmp_path) == []
