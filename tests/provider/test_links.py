"""The links on a task's page, as a real run leaves them, and what decides about them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support.airflow import Airflow
from support.stores import Store
from support.workbench import SAMPLE, Script

from airflow_provider_mlsql.links import SPARK_UI, ModelLink, SparkUILink, task_page_url
from airflow_provider_mlsql.xcom_versions import FAILED_VERSION, ModelVersion, find_versions
from mlsql_runtime.events import ApplicationStarted

LINKED = """
from airflow.sdk import DAG
from airflow_provider_mlsql.operators.train import MLSQLTrainOperator
from airflow_provider_mlsql.sensors.model import MLSQLModelSensor

with DAG("linked", schedule=None):
    train = MLSQLTrainOperator(
        task_id="train",
        model_path="{tmp}/trained",
        python_script_path="{script}",
        data="libsvm.`{data}`",
        conf={{
            "spark.eventLog.enabled": "true",
            "spark.eventLog.dir": "file://{tmp}/events",
            "spark.yarn.historyServer.address": "history.example:18080",
        }},
    )
    fail = MLSQLTrainOperator(
        task_id="fail", model_path="{tmp}/failed", python_script_path="{tmp}/none.py", data="libsvm.`{data}`"
    )
    raise_ = MLSQLTrainOperator(
        task_id="raise", model_path="{tmp}/failed", python_script_path="{tmp}/raise.py", data="libsvm.`{data}`"
    )
    wait = MLSQLModelSensor(task_id="wait", model_path="{tmp}/m")
    await_ = MLSQLModelSensor(
        task_id="await", model_path="{tmp}/failed", run_id="{{{{ run_id }}}}", trigger_rule="all_done", timeout=60
    )
    raise_ >> await_
"""
SAVE = "import mlsql_model\nmlsql_model.sk_save_model(1)\nprint('mlsql_validation_score:1')"


def test_after_a_run_links_lead_to_the_history_server_to_models_and_to_versions(
    airflow: Airflow, tmp_path: Path, script: Script, store: Store
) -> None:
    store(score=0.9)
    (tmp_path / "events").mkdir()
    (tmp_path / "dags").mkdir()
    dag = LINKED.format(tmp=tmp_path, script=script(SAVE), data=SAMPLE)
    (tmp_path / "dags/linked.py").write_text(dag)
    (tmp_path / "raise.py").write_text("raise KeyError('weight')")
    log = airflow.test("linked", dags=tmp_path / "dags", AIRFLOW__API__BASE_URL="https://airflow.example/team/")
    spark = airflow.xcoms("linked", "_link_SparkUILink")
    (events,) = [path.name.removeprefix("eventlog_v2_") for path in (tmp_path / "events").iterdir()]
    assert spark == {"train": f"http://history.example:18080/history/{events}/", "fail": "", "raise": ""}, log[-3000:]
    versions = airflow.xcoms("linked", "_link_VersionLink")
    assert set(versions) == {"train", "fail", "raise", "wait", "await"}
    assert versions["train"].startswith("/team/mlsql/dags/linked/runs/manual__")
    for task in ("train", "raise", "wait", "await"):
        assert versions[task].endswith(f"/tasks/{task}/manifest")
    assert versions["fail"] == ""  # so there is no link
    failed = {"model_path": str(tmp_path / "failed"), "version": 1}
    assert airflow.xcoms("linked", FAILED_VERSION) == {"raise": failed, "await": failed}
    models = airflow.xcoms("linked", "_link_ModelLink")
    assert {task: url.rpartition("/tasks/")[2] for task, url in models.items()} == {
        task: f"{task}/model" for task in ("train", "fail", "raise", "wait", "await")
    }


def key(**others: Any) -> Any:
    return SimpleNamespace(**{"dag_id": "d", "run_id": "r", "task_id": "t", "map_index": -1, **others})


def test_the_address_of_a_page_escapes_names_and_has_the_map_index() -> None:
    url = task_page_url(key(run_id="a/b?c#d+e", map_index=2), "manifest")
    assert url == "/mlsql/dags/d/runs/a%2Fb%3Fc%23d%2Be/tasks/t/manifest?map_index=2"


def test_a_task_that_begins_shows_its_model() -> None:
    task = _Pushed()
    for operator in (SimpleNamespace(model_path="/m"), SimpleNamespace()):
        ModelLink().show({"ti": task}, operator)  # type: ignore[arg-type, typeddict-item]
    assert task.xcoms == {"_link_ModelLink": "/mlsql/dags/d/runs/r/tasks/t/model"}


class _Pushed:
    """A task instance that keeps what is pushed."""

    dag_id, run_id, task_id, map_index = "d", "r", "t", -1

    def __init__(self) -> None:
        self.xcoms: dict[str, Any] = {}

    def xcom_push(self, key: str, value: Any) -> None:
        self.xcoms[key] = value


@pytest.mark.parametrize(
    ("base_url", "ui", "is_shown"),
    [
        ("", "http://localhost:4040", True),
        ("http://localhost:8080", "http://127.0.0.1:4040", True),
        ("https://airflow.example", "http://localhost:4040", False),  # nobody who sees the link is on the worker
        ("https://airflow.example", "http://worker.example:4040", True),
        ("", None, False),
    ],
)
def test_spark_s_ui_is_linked_to_as_soon_as_it_is_there_for_those_who_can_reach_it(
    base_url: str, ui: str | None, is_shown: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", base_url)
    link, task, operator = SparkUILink(), _Pushed(), SimpleNamespace()
    started = ApplicationStarted(spark="4.2.0", master="yarn", application="a-1", ui=ui, history="http://h/history/a-1/")
    link.show({"ti": task}, operator, started)  # type: ignore[arg-type, typeddict-item]
    addresses = {"ui": ui, "history": "http://h/history/a-1/"}
    shown = {SPARK_UI: addresses, "_link_SparkUILink": "/mlsql/dags/d/runs/r/tasks/t/spark"}
    assert task.xcoms == (shown if is_shown else {})
    assert link.get_link(operator, ti_key=key()) == "http://h/history/a-1/"  # type: ignore[arg-type]


def test_what_versions_an_xcom_names() -> None:
    one, two = {"model_path": "/a", "version": 1, "score": 0.5}, {"model_path": "s3://b/c", "version": 2}
    a, b = ModelVersion("/a", 1), ModelVersion("s3://b/c", 2)
    assert find_versions(one) == (a,)
    assert find_versions({"train": [one, two], "register": [one], "save": [], "table": None}) == (a, b)
    assert find_versions({"rows": 3, "functions": {"jack": two, "jill": two}}) == (b,)
    for other in (None, 1, "/a", [one], {"model_path": "/a"}, {"model_path": "/a", "version": "1"}, {"functions": [one]}):
        assert find_versions(other) == ()
