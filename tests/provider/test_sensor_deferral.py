"""The deferrable sensor, and sensors of every mode in a real Airflow."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowSensorTimeout, AirflowSkipException, AirflowTaskTimeout, TaskDeferred
from support.airflow import Airflow
from support.sensors import CONTEXT, make_sensor, wait_deferred
from support.stores import T0, Store, fail, publish, xcom

from mlsql_runtime.errors import InputError
from mlsql_runtime.plan import TaskTry


def test_a_version_that_is_there_never_defers(store: Store, tmp_path: Path) -> None:
    store(score=0.75)
    assert make_sensor(str(tmp_path / "m"), deferrable=True, min_score=0.5).execute(CONTEXT)["version"] == 1


def test_airflow_keeps_the_timeout_too(tmp_path: Path) -> None:
    with pytest.raises(TaskDeferred) as caught:
        make_sensor(str(tmp_path / "m"), deferrable=True, timeout=90, min_score="0.5", published_after=T0, run_id="").execute(
            CONTEXT
        )
    assert caught.value.timeout == timedelta(seconds=90)
    arguments = caught.value.trigger.serialize()[1]
    assert (arguments["min_score"], arguments["published_after"], arguments["run_id"]) == (0.5, T0.isoformat(), None)


def test_the_execution_timeout_counts_while_deferred_and_is_worth_a_retry(tmp_path: Path) -> None:
    waits = make_sensor(str(tmp_path / "m"), deferrable=True, timeout=3600, execution_timeout=timedelta(milliseconds=1))
    with pytest.raises(AirflowTaskTimeout, match=r"after 0\.001 s, the execution_timeout"):
        wait_deferred(waits)
    softly = make_sensor(
        str(tmp_path / "m"), deferrable=True, timeout=3600, execution_timeout=timedelta(milliseconds=1), soft_fail=True
    )
    with pytest.raises(AirflowSkipException):
        wait_deferred(softly)


def test_a_sensor_that_goes_on_after_errors_does_not_defer(tmp_path: Path) -> None:
    (tmp_path / "m").touch()
    with pytest.raises(AirflowSensorTimeout):
        make_sensor(str(tmp_path / "m"), deferrable=True, silent_fail=True).execute(CONTEXT)


def test_a_path_with_a_password_is_not_deferred(tmp_path: Path) -> None:
    from airflow_provider_mlsql.triggers.model import MLSQLModelTrigger

    with pytest.raises(InputError, match=r"^sftp://…@host/m holds a password") as caught:
        MLSQLModelTrigger(model_path="sftp://me:s3cret@host/m")
    assert "s3cret" not in str(caught.value)


def test_airflow_says_by_default_whether_to_defer(monkeypatch: pytest.MonkeyPatch) -> None:
    for text, is_deferrable in (("True", True), ("False", False)):
        monkeypatch.setenv("AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE", text)
        assert make_sensor("m").deferrable is is_deferrable
        assert make_sensor("m", deferrable=not is_deferrable).deferrable is not is_deferrable


SENSORS = """
import os, shutil
from airflow.sdk import DAG, task
from airflow_provider_mlsql.sensors.model import MLSQLModelSensor

class Sensor(MLSQLModelSensor):
    def __init__(self, lands=None, **kwargs):
        super().__init__(**kwargs)
        self.lands = lands

    def defer(self, **kwargs):  # so it has looked, and found nothing
        if self.lands:
            shutil.copytree(self.lands, self.model_path)
        super().defer(**kwargs)

with DAG("sensors", schedule=None):
    deferred = Sensor(task_id="deferred", lands="{tmp}/m", model_path="{tmp}/late", poke_interval=1, check_files=True)
    poke = MLSQLModelSensor(task_id="poke", model_path="{tmp}/late", min_score="0.5", deferrable=False)
    there = Sensor(task_id="there", lands="{tmp}/m", model_path="{tmp}/late", min_score="0.5")
    deferred >> poke >> there
    Sensor(task_id="failed", lands="{tmp}/broken", model_path="{tmp}/failing", run_id="r", timeout=60, poke_interval=1)
    Sensor(task_id="timed_out", model_path="{tmp}/late", min_version=7, timeout=2, poke_interval=1)
    Sensor(task_id="skipped", lands="{tmp}/m", model_path="{tmp}/low", min_score=0.9, on_low_score="skip", poke_interval=1)

    MLSQLModelSensor(task_id="reschedule", model_path="{tmp}/later", mode="reschedule", poke_interval=1, deferrable=False,
                     pre_execute=lambda context: open("{tmp}/looked", "w").close())

    @task.sensor(mode="reschedule", poke_interval=1)
    def publish():  # not before the sensor has looked once; dags test runs one task at a time, in any order
        return os.path.exists("{tmp}/looked") and bool(shutil.copytree("{tmp}/m", "{tmp}/later"))

    publish()
"""


@dataclass(frozen=True)
class SensorRun:
    """A run of sensors of every mode in Airflow."""

    folder: Path
    log: str
    xcoms: dict[str, Any]


@pytest.fixture(scope="module")
def sensors(airflow: Airflow, tmp_path_factory: pytest.TempPathFactory) -> SensorRun:
    folder = tmp_path_factory.mktemp("sensors")
    publish(str(folder / "m"), 0.75)
    trained = TaskTry(dag_id="dag", task_id="train", map_index=None, run_id="r", try_number=1)
    fail(str(folder / "broken"), "2 of 2 fit groups failed: KeyError", task=trained)
    (folder / "dags").mkdir()
    (folder / "dags/sensors.py").write_text(SENSORS.format(tmp=folder))
    log = airflow.test("sensors", dags=folder / "dags", AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE="True")
    return SensorRun(folder, log, airflow.xcoms("sensors"))


def test_airflow_defers_and_resumes_it(sensors: SensorRun) -> None:
    names = ["deferred", "poke", "there"]
    found = {name: value for name, value in sensors.xcoms.items() if name not in ("reschedule", "publish")}
    assert found == dict.fromkeys(names, xcom(str(sensors.folder / "late"), 1, 0.75))
    assert sensors.log.count("running trigger in line") == 4
    assert "TrainingFailed: 2 of 2 fit groups failed: KeyError" in sensors.log
    assert f"Sensor has timed out; no such version in {sensors.folder / 'late'} after 2 s" in sensors.log
    assert f"version 1 of {sensors.folder / 'low'} has score 0.75, and at least 0.9 is asked for" in sensors.log


def test_a_rescheduled_sensor_returns_the_same_as_one_that_pokes(sensors: SensorRun) -> None:
    assert f"No such version in {sensors.folder / 'later'} yet" in sensors.log  # so it was rescheduled once
    assert sensors.xcoms["reschedule"] == xcom(str(sensors.folder / "later"), 1, 0.75)
