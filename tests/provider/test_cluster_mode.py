"""Cluster mode: the driver runs on YARN, and one application gives the result even if workers are lost."""

from __future__ import annotations

import asyncio
import json
import re
import stat
import time
from collections.abc import Callable, Iterator
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
from support.workbench import SAMPLE, Script, processes_with
from support.yarn import Yarn, yarn_cluster

from airflow_provider_mlsql.hooks.mlsql import MLSQLHook
from airflow_provider_mlsql.triggers.application import MLSQLApplicationTrigger
from mlsql_runtime.errors import InputError, JobFailed, TrainingFailed
from mlsql_runtime.plan import Load, Plan, Save
from mlsql_runtime.result import SaveResult


@pytest.fixture
def yarn(starts_jvm: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Yarn]:
    with yarn_cluster(tmp_path / "yarn") as cluster:
        for name, value in cluster.environment.items():
            monkeypatch.setenv(name, value)
        yield cluster


@pytest.fixture
def task(tmp_path: Path, script: Script) -> Callable[..., Task]:
    """A task that trains on YARN, in a moment."""

    def make(source: str = SAVE, **arguments: Any) -> Task:
        usual = training("yarn", tmp_path / "m", script(source))
        return Task(tmp_path, usual | arguments)

    return make


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

usual = dict(python_script_path="{script}", data="libsvm.`{data}`", **{usual})
with DAG("cluster_modes", schedule=None):
    MLSQLTrainOperator(task_id="client", model_path="{tmp}/client", outlets=[Asset("by_client")], **usual)
    MLSQLTrainOperator(task_id="deferred", model_path="{tmp}/deferred", outlets=[Asset("by_deferred")], spark_conn_id="yarn",
                       poll_interval=0.2, job_path="{tmp}/jobs", deferrable=True, **usual)
"""
SCORED = """
import mlsql, mlsql_model
mlsql.report(rows=len(mlsql.all_data()[1]))
mlsql_model.sk_save_model(mlsql.fit_param["alpha"])
print("mlsql_validation_score:" + mlsql.fit_param["alpha"])
"""


def test_every_mode_gives_the_same_xcom_and_events_also_if_a_worker_is_lost(
    airflow: Airflow,
    yarn: Yarn,
    task: Callable[..., Task],
    tmp_path: Path,
    script: Script,
    capfd: pytest.CaptureFixture[str],
) -> None:
    trains = task(source=SCORED, outlets=["by_cluster"], **USUAL)
    yarn.hold()
    with trains.worker() as worker:
        wait_until(lambda: trains.state.all())
        worker.kill()
    (run,) = (tmp_path / "m/_staging").glob("app-*/*/job.json")
    assert stat.S_IMODE(run.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE((run.parent / "secrets.json").stat().st_mode) == 0o600
    yarn.release()
    cluster = trains.execute(try_number=2)
    assert trains.execute(try_number=2) == cluster  # as if the worker had been lost before Airflow had the result
    assert len(yarn.submitted) == 1
    log = capfd.readouterr().out

    (tmp_path / "dags").mkdir()
    dag = MODES.format(tmp=tmp_path, data=SAMPLE, script=trains.arguments["python_script_path"], usual=USUAL)
    (tmp_path / "dags/modes.py").write_text(dag, encoding="utf-8")
    log += airflow.succeed("cluster_modes", dags=tmp_path / "dags", **yarn.environment)
    values, events = airflow.xcoms("cluster_modes"), asset_events(airflow, "cluster_modes")
    assert [(fit["score"], fit["metrics"]["rows"]) for fit in values["client"]["fits"]] == [(0.25, 71), (0.75, 71)]
    assert without_times(cluster) == without_times(values["deferred"]) == without_times(values["client"])
    assert (cluster["model_path"], values["deferred"]["model_path"]) == (str(tmp_path / "m"), str(tmp_path / "deferred"))
    (event,) = events["by_client"]
    assert trains.events[Asset("by_cluster")].extra == event | {"model_path": cluster["model_path"]}
    assert events["by_deferred"] == [event | {"model_path": values["deferred"]["model_path"]}]
    assert len(yarn.submitted) == 2
    assert yarn.facts(yarn.submitted[1])["name"].startswith("cluster_modes.")
    for application in yarn.submitted:
        assert f"Application {application} is RUNNING, {yarn.url}/proxy/{application}/" in log
        assert f"Application {application} is SUCCEEDED" in log
        submitted = yarn.facts(application)
        assert submitted["conf"]["spark.yarn.maxAppAttempts"] == "1"
        assert "hidden" not in json.dumps(submitted)
    assert f"Submitted application {yarn.submitted[1]} to YARN" in log

    path = script("raise ValueError('no luck')")
    with pytest.raises(TrainingFailed, match=f"^training {re.escape(path)} for .*ValueError: no luck"):  # not the copy's path
        trains.execute(clears=1)
    assert len(yarn.submitted) == 3
    assert leftovers(tmp_path) == []


def test_an_unknown_application_is_found_and_followed_or_ended(yarn: Yarn, task: Callable[..., Task], tmp_path: Path) -> None:
    yarn.hold()
    trains = task(deferrable=True)
    for try_number in (1, 2):  # the second one does the same
        trains.defer(try_number)
        assert len(yarn.submitted) == 1
        trains.state.file.unlink()  # as if the worker had been lost before it could remember
    trigger = task(deferrable=True, fit_params=[{"alpha": 2}]).defer(try_number=2)
    assert yarn.killed == yarn.submitted[:1]
    assert len(yarn.submitted) == 2
    asyncio.run(trigger.on_kill())
    assert leftovers(tmp_path) == []


def test_a_task_fails_when_its_application_is_lost_and_ends_it_when_it_is_killed(
    yarn: Yarn, task: Callable[..., Task], tmp_path: Path
) -> None:
    number = f"{time.monotonic_ns()}"
    trains = task(source=f"import subprocess\nsubprocess.run(['sleep', '{number}'])\n")
    lost = BackgroundTry(trains)
    wait_until(lambda: processes_with(number))
    yarn.lose(yarn.submitted[0])
    message = r"ended without a result, FAILED: AM Container .* yarn logs -applicationId application_"
    assert re.search(message, lost.failure())
    wait_until(lambda: not processes_with(number))

    killed = BackgroundTry(trains, try_number=2)  # the last one, so that nothing has to stay
    wait_until(lambda: processes_with(number))
    killed.operator.on_kill()
    assert killed.failure() == "the job was cancelled"
    _, second = yarn.submitted
    assert yarn.killed == [second]
    assert yarn.processes(second) == []
    assert processes_with(number) == []
    assert leftovers(tmp_path) == []


def test_a_submission_that_fails_leaves_no_application(yarn: Yarn, task: Callable[..., Task], tmp_path: Path) -> None:
    (yarn.folder / "full").touch()
    with pytest.raises(JobFailed, match="could not be submitted to YARN"):
        task().execute()
    (yarn.folder / "full").unlink()
    (yarn.folder / "unsure").touch()
    yarn.hold()
    with pytest.raises(JobFailed, match="could not be submitted to YARN"):
        task().execute()
    assert yarn.killed == yarn.submitted
    assert task().state.all() == {}
    assert leftovers(tmp_path) == []


async def event_of(trigger: MLSQLApplicationTrigger) -> dict[str, Any]:
    event: TriggerEvent = await anext(trigger.run())
    payload: dict[str, Any] = event.payload
    return payload


def test_a_deferred_task_that_is_ended_or_runs_out_of_time_ends_its_application(
    yarn: Yarn, task: Callable[..., Task], tmp_path: Path
) -> None:
    yarn.hold()
    trigger = task(deferrable=True).defer()
    asyncio.run(trigger.on_kill())
    assert yarn.killed == yarn.submitted
    assert leftovers(tmp_path) == []
    late = task(deferrable=True, execution_timeout=timedelta(seconds=0))
    event = asyncio.run(event_of(late.defer()))
    assert event["status"] == "timeout"
    with pytest.raises(BaseException, match="after the execution_timeout"):
        late.operator().execute_complete(late.context(), event)
    assert yarn.killed == yarn.submitted
    assert leftovers(tmp_path) == []


def test_a_trigger_tolerates_a_cluster_that_does_not_respond_for_a_while(
    yarn: Yarn, task: Callable[..., Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    yarn.hold()
    trigger = task(deferrable=True).defer()
    yarn.away = True
    event = asyncio.run(event_of(trigger))
    assert event["status"] == "failed"
    assert "does not respond" in event["error"]["message"]
    assert yarn.killed == []  # a retry follows it
    yarn.away = False


def test_a_plan_without_a_model_needs_a_folder_for_its_files(yarn: Yarn, tmp_path: Path) -> None:
    load = Load(table="data", format="libsvm", path=SAMPLE, options={"numFeatures": "692"})
    plan = Plan(job_id="save", statements=(load, Save(table="data", format="json", path=str(tmp_path / "out"))))
    with pytest.raises(InputError, match="set job_path to a folder that this worker and the cluster reach"):
        MLSQLHook("yarn").run(plan)
    (saved,) = MLSQLHook("yarn", job_path=f"file:{tmp_path}/jobs", poll_interval=0.2).run(plan).steps
    assert isinstance(saved, SaveResult)
    assert saved.rows == 100
    assert list((tmp_path / "jobs").iterdir()) == []


@pytest.mark.parametrize(
    ("connection", "arguments", "part"),
    [
        (
            {"host": "spark://host:7077"},
            {},
            "Spark does not run Python applications in that mode; set deploy-mode to client",
        ),
        ({"host": "local[2]"}, {}, "that is for yarn and k8s://"),
        ({"host": "yarn", "extra": {}}, {}, "yarn_resourcemanager_webapp_address"),
        ({}, {"job_path": "ftp://user:pw@host/jobs"}, "holds a password in its URI"),
        ({}, {"conf": {"spark.yarn.maxAppAttempts": "3"}}, "spark.yarn.maxAppAttempts is '3'; expected 1"),
        ({}, {"python_script_path": "/no/such.py"}, "there is no script at /no/such.py"),
        ({"host": "local[2]", "extra": {"deploy-mode": "client"}}, {"deferrable": True}, "which cannot leave it"),
    ],
)
def test_wrong_settings_are_errors_before_anything_is_submitted(
    connection: dict[str, Any],
    arguments: dict[str, Any],
    part: str,
    yarn: Yarn,
    task: Callable[..., Task],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    usual = json.loads(yarn.connection)
    extra = {"deploy-mode": "cluster", **(connection["extra"])} if "extra" in connection else usual["extra"]
    monkeypatch.setenv("AIRFLOW_CONN_YARN", json.dumps(usual | connection | {"extra": extra}))
    with pytest.raises(InputError) as caught:
        task(**arguments).execute()
    assert part in caught.value.message
    assert "pw@" not in caught.value.message
    assert yarn.submitted == []
    assert leftovers(tmp_path) == []
