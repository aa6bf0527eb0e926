"""The sensor against model stores on disk and on S3, in every mode: what it answers, and when it fails."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import PokeReturnValue
from airflow.sdk.exceptions import AirflowSensorTimeout, AirflowSkipException, AirflowTaskTimeout, TaskDeferred
from support.airflow import Airflow
from support.sensors import CONTEXT, wait_deferred
from support.stores import T0, Store, fail, half_written, publish, xcom

from airflow_provider_mlsql.operators.task_run import TaskRun
from airflow_provider_mlsql.sensors.model import MLSQLModelSensor
from mlsql_runtime.errors import InputError, IntegrityError, ScriptFailed, StorageError, TrainingFailed
from mlsql_runtime.storage.location import Location


def poke(tmp_path: Path, **arguments: Any) -> PokeReturnValue:
    return MLSQLModelSensor(task_id="s", model_path=str(tmp_path / "m"), **arguments).poke({})  # type: ignore[typeddict-item]


def found(tmp_path: Path, **arguments: Any) -> int | None:
    """The version found, None while there is none."""
    answer = poke(tmp_path, **arguments)
    return answer.xcom_value["version"] if answer.is_done else None


def test_the_answer_is_that_of_the_train_operator(store: Store, tmp_path: Path) -> None:
    store(score=0.75)
    assert poke(tmp_path, check_files=True).xcom_value == {
        "model_path": str(tmp_path / "m"),
        "version": 1,
        "score": 0.75,
        "best": {"alg_index": 0, "score": 0.75},
        "fits": [{"alg_index": 0, "status": "success", "score": 0.75, "metrics": {"loss": 0.1}, "seconds": 0.0}],
        "rows": 70,
    }


def test_nothing_there_yet(tmp_path: Path) -> None:
    assert found(tmp_path) is None
    (tmp_path / "m").mkdir()
    assert found(tmp_path) is None
    (tmp_path / "m/_model_1").mkdir()
    (tmp_path / "m/_model_1/claim.json").write_text("{}")  # a training under way, or one that was killed
    assert found(tmp_path) is None


@pytest.mark.parametrize(
    ("arguments", "version"),
    [
        ({}, 3),
        ({"min_version": 2}, 3),
        ({"min_version": "3"}, 3),
        ({"min_version": 4}, None),
        ({"min_version": ""}, 3),
        ({"job_id": "b"}, 2),
        ({"job_id": "z"}, None),
        ({"published_after": T0 + timedelta(days=1)}, 3),
        ({"published_after": "2026-01-03T00:00:00Z"}, None),
        ({"published_after": "2026-01-02 23:00:00"}, 3),
        ({"min_score": 0.9}, 3),
        ({"min_score": "0.95"}, 2),  # the newest that is good enough
        ({"min_score": 0.99}, None),
    ],
)
def test_conditions(store: Store, tmp_path: Path, arguments: dict[str, Any], version: int | None) -> None:
    store(score=0.5, job="a", created=0)
    store(score=0.97, job="b", created=1)
    store(score=0.9, job="c", created=2)
    assert found(tmp_path, **arguments) == version


@pytest.mark.parametrize("score", [0.4, None])
def test_a_low_score_waits_skips_or_fails(store: Store, tmp_path: Path, score: float | None) -> None:
    store(score=score)
    assert found(tmp_path, min_score=0.5) is None
    with pytest.raises(AirflowSkipException, match=f"has score {score}, and at least"):
        poke(tmp_path, min_score=0.5, on_low_score="skip")
    with pytest.raises(ScriptFailed, match=r"at least 0\.5"):
        poke(tmp_path, min_score=0.5, on_low_score="fail")


def test_a_loss_is_good_when_it_is_low(store: Store, tmp_path: Path) -> None:
    store(score=0.4, maximise=False)
    assert found(tmp_path, min_score=0.5) == 1
    assert found(tmp_path, min_score=0.3) is None


def test_a_failed_training_fails_the_sensor_with_its_own_message(store: Store, tmp_path: Path) -> None:
    store(job="old", created=0)
    store(job="mine", created=1, failure="2 of 2 fit groups failed: KeyError")
    for awaited in ({"min_version": 2}, {"job_id": "mine"}, {"published_after": T0}):
        with pytest.raises(TrainingFailed, match="2 of 2 fit groups failed: KeyError"):
            poke(tmp_path, **awaited)
    assert found(tmp_path) == 1  # nobody said that the failed one is awaited
    store(job="mine", created=2)
    assert found(tmp_path, job_id="mine") == 3  # a retry succeeded


def test_files_are_checked_when_asked(store: Store, tmp_path: Path) -> None:
    store()
    (tmp_path / "m/_model_1/model/0/model.pickle").write_bytes(b"modem")
    assert found(tmp_path) == 1
    with pytest.raises(IntegrityError, match=r"model\.pickle is not the file its manifest names"):
        poke(tmp_path, check_files=True)


@pytest.mark.parametrize(
    "arguments",
    [
        {"min_version": "new"},
        {"published_after": "yesterday"},
        {"min_score": "high"},
        {"min_score": "nan"},
        {"greater_is_better": "yes"},
    ],
)
def test_bad_arguments(tmp_path: Path, arguments: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(arguments))):
        poke(tmp_path, **arguments)


def test_a_model_path_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "m").touch()
    with pytest.raises(InputError, match="is a file"):
        poke(tmp_path)


def test_an_unknown_reaction_to_a_low_score_and_an_unknown_argument(store: Store, tmp_path: Path) -> None:
    store(score=0.1)
    with pytest.raises(InputError, match="on_low_score is 'ignore'; expected wait, skip or fail"):
        poke(tmp_path, min_score=0.5, on_low_score="ignore")
    with pytest.raises(InputError, match="MLSQLModelSensor has no argument 'min_scor'; did you mean 'min_score'"):
        poke(tmp_path, min_scor=0.5)


def test_a_failure_after_a_low_score_is_not_waited_out(store: Store, tmp_path: Path) -> None:
    store(score=0.1, job="a")
    store(job="b", failure="broken")
    with pytest.raises(TrainingFailed, match="broken") as caught:
        poke(tmp_path, min_version=1, min_score=0.5)
    assert caught.value.facts["tails"] == {"0": ["last words"]}


def test_a_named_metric_is_that_of_the_group_with_the_best_score(tmp_path: Path) -> None:
    publish(str(tmp_path / "m"), 0.7, 0.8, metrics={"auc": 0.99, "loss": 0.1}, others={"auc": 0.6, "loss": 0.4, "nan": None})
    assert found(tmp_path, metric="auc", min_score=0.6) == 1
    assert found(tmp_path, metric="auc", min_score=0.61) is None  # though the other group has it
    assert found(tmp_path, metric="loss", min_score=0.5) is None  # as for the score, more is better
    assert found(tmp_path, metric="loss", min_score=0.5, greater_is_better="False") == 1
    assert found(tmp_path, metric="loss", min_score=0.3, greater_is_better=False) is None
    assert found(tmp_path, metric="auc") == 1
    assert found(tmp_path, metric="", min_score=0.8) == 1
    with pytest.raises(ScriptFailed, match=r"has loss 0\.4, and at most 0\.3 is asked for"):
        poke(tmp_path, metric="loss", min_score=0.3, greater_is_better=False, on_low_score="fail")
    with pytest.raises(ScriptFailed, match=r"has nan None, and at least 0\.3"):
        poke(tmp_path, metric="nan", min_score=0.3, on_low_score="fail")
    with pytest.raises(ScriptFailed, match=r"has no metric 'f1' in its best group \(it has auc, loss, nan\)"):
        poke(tmp_path, metric="f1", min_score=0.3, on_low_score="fail")


def job_of(dag: str, task: str, run: str, tries: int = 0, map_index: int = -1) -> str:
    ti = SimpleNamespace(dag_id=dag, task_id=task, run_id=run, max_tries=tries, map_index=map_index)
    return TaskRun.of({"ti": ti}).job_id  # type: ignore[typeddict-item]


def test_a_version_is_known_by_the_run_that_trained_it(tmp_path: Path) -> None:
    root = str(tmp_path / "m")
    publish(root, job=job_of("daily", "train", "scheduled__2026-01-01T00:00:00+00:00"))
    publish(root, job=job_of("weekly", "group.train", "scheduled__2026-01-01T00:00:00+00:00", tries=2, map_index=3))
    publish(root, job=job_of("daily", "train", "manual__1"))
    publish(root, job="by hand")
    assert found(tmp_path, run_id="scheduled__2026-01-01T00:00:00+00:00") == 2
    assert found(tmp_path, run_id="scheduled__2026-01-01T00:00:00+00:00", external_dag_id="daily") == 1
    assert found(tmp_path, external_dag_id="daily") == 3
    assert found(tmp_path, external_dag_id="dail") is None
    assert found(tmp_path, run_id="manual__") is None
    assert found(tmp_path, run_id="hand") is None
    fail(root, "broken", job=job_of("daily", "train", "manual__2"))
    with pytest.raises(TrainingFailed, match="broken"):
        poke(tmp_path, run_id="manual__2")
    assert found(tmp_path, external_dag_id="daily") == 3  # nobody said that the failed one is awaited


# -- in every mode


def sensor(root: str, **arguments: Any) -> MLSQLModelSensor:
    """It looks once or, when it defers, twice: a timeout means that it would wait on."""
    return MLSQLModelSensor(task_id="s", model_path=root, **{"timeout": 0, "poke_interval": 0} | arguments)


def outcome(run: Callable[[], Any]) -> Any:
    """A value, or how the task would end."""
    try:
        return run()
    except AirflowSensorTimeout:
        return "waits"
    except Exception as error:
        return type(error), getattr(error, "message", str(error)), getattr(error, "facts", None)


def in_every_mode(root: str, prepare: Callable[[], object], **arguments: Any) -> Any:
    """The outcome when things are there before the sensor is; the same when they happen while it is deferred."""
    while_deferred = outcome(lambda: wait_deferred(sensor(root, deferrable=True, **arguments), prepare))
    outcomes = {
        "poke": outcome(lambda: sensor(root, mode="poke", **arguments).execute(CONTEXT)),
        "reschedule": outcome(lambda: sensor(root, mode="reschedule", **arguments).execute(CONTEXT)),
        "deferrable": outcome(lambda: wait_deferred(sensor(root, deferrable=True, **arguments))),
    }
    assert outcomes == dict.fromkeys(outcomes, while_deferred)
    return while_deferred


@dataclass(frozen=True)
class Case:
    """What there is, what the sensor is asked for, and either version and score, or how it ends."""

    name: str
    prepare: Callable[[str], object]
    expected: Any
    arguments: dict[str, Any] = field(default_factory=dict)
    storages: tuple[str, ...] = ("local", "s3")

    def __str__(self) -> str:
        return self.name


def corrupt(root: str) -> None:
    publish(root, 0.9)
    (Location.of(root) / "_model_1/model/0/model.pickle").write(b"modem")


def two_at_once(root: str) -> None:
    publish(root, 0.7, created=1)
    publish(root, 0.8, created=1)


def empty(root: str) -> None:
    """A folder, or what object stores have for one that people make in their consoles."""
    place = Location.of(root)
    if place.is_local:
        place.fs.mkdir(place.path)
    else:
        bucket, key = place.path.split("/", 1)
        place.fs.call_s3("put_object", Bucket=bucket, Key=key + "/")


def closed(root: str) -> None:
    publish(root)
    os.chmod(root, 0)


def closed_manifest(root: str) -> None:
    publish(root)
    os.chmod(f"{root}/_model_1/manifest.json", 0)


def an_older_one_and_a_failure(root: str) -> None:
    publish(root, 0.9, job="old")
    fail(root, "2 of 2 fit groups failed: KeyError", job="mine", created=1)


CASES = [
    Case("no path", lambda root: None, "waits"),
    Case("empty path", empty, "waits"),
    Case("half written", half_written, "waits", {"min_version": 1}),
    Case("below, and waits", lambda root: publish(root, 0.4), "waits", {"min_score": 0.5}),
    Case("below, and skips", lambda root: publish(root, 0.4), AirflowSkipException, {"min_score": 0.5, "on_low_score": "skip"}),
    Case("below, and fails", lambda root: publish(root, 0.4), ScriptFailed, {"min_score": 0.5, "on_low_score": "fail"}),
    Case("at the threshold", lambda root: publish(root, 0.5), (1, 0.5), {"min_score": 0.5, "on_low_score": "fail"}),
    Case("above", lambda root: publish(root, 0.6), (1, 0.6), {"min_score": "0.5", "on_low_score": "skip"}),
    Case("a loss above", lambda root: publish(root, 0.6, maximise=False), "waits", {"min_score": 0.5}),
    Case("NaN", lambda root: publish(root, None), (1, None)),
    Case("NaN, and a threshold", lambda root: publish(root, None), "waits", {"min_score": 0.5}),
    Case("NaN fails", lambda root: publish(root, None), ScriptFailed, {"min_score": 0.5, "on_low_score": "fail"}),
    Case("failed training", an_older_one_and_a_failure, TrainingFailed, {"job_id": "mine"}),
    Case("failed after a time", an_older_one_and_a_failure, TrainingFailed, {"published_after": T0}),
    Case("failed, but another", an_older_one_and_a_failure, (1, 0.9)),
    Case("corrupted", corrupt, IntegrityError, {"check_files": True}),
    Case("corrupted, unnoticed", corrupt, (1, 0.9)),
    Case("intact", lambda root: publish(root, 0.9), (1, 0.9), {"check_files": "true"}),
    Case("older version only", lambda root: publish(root, 0.9), "waits", {"min_version": 2}),
    Case("published earlier only", lambda root: publish(root, 0.9), "waits", {"published_after": T0 + timedelta(days=1)}),
    Case("two at once", two_at_once, (2, 0.8), {"min_version": 1}),
    Case("a damaged manifest", lambda root: (Location.of(root) / "_model_1/manifest.json").write(b"{"), InputError),
    Case("a file", lambda root: Location.of(root).write(b""), InputError),
    Case("permission denied", closed, StorageError, storages=("guarded",)),
    Case("permission to read the manifest denied", closed_manifest, StorageError, storages=("guarded",)),
]


@contextmanager
def guarded() -> Iterator[str]:
    """A folder of somebody to whom permissions apply, as whom the test goes on."""
    was_root = not os.geteuid()
    with tempfile.TemporaryDirectory() as folder:
        in_every_mode(f"{folder}/m", lambda: None)  # what is imported late may be closed to nobody
        if was_root:
            os.chown(folder, 65534, -1)
            os.seteuid(65534)
        try:
            yield folder
        finally:
            if was_root:
                os.seteuid(0)
            for path in Path(folder).glob("*"):
                path.chmod(0o755)


@contextmanager
def storage_for(kind: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """Where model paths may be made."""
    if kind == "guarded":
        with guarded() as folder:
            yield folder
    else:
        yield str(request.getfixturevalue("tmp_path" if kind == "local" else "s3_server"))


@pytest.mark.parametrize(("case", "storage"), [(case, storage) for case in CASES for storage in case.storages], ids=str)
def test_every_mode_ends_alike(case: Case, storage: str, request: pytest.FixtureRequest) -> None:
    with storage_for(storage, request) as place:
        root = f"{place}/{uuid.uuid4().hex}"
        ended = in_every_mode(root, lambda: case.prepare(root), **case.arguments)
    if case.expected == "waits":
        assert ended == "waits"
    elif isinstance(case.expected, tuple):
        version, score = case.expected
        assert ended == xcom(root, version, score)
    else:
        assert isinstance(ended, tuple), ended
        assert issubclass(ended[0], case.expected)
        assert ended[1]


@pytest.mark.parametrize("forgiving", ["soft_fail", "never_fail"])
def test_forgiving_sensors_skip_alike(forgiving: str, tmp_path: Path) -> None:
    root = str(tmp_path / "m")
    if forgiving == "soft_fail":  # Airflow itself forgives a timeout with never_fail to deferred sensors only
        assert skips(in_every_mode_raising(root, lambda: None, soft_fail=True))
    failed = in_every_mode_raising(root, lambda: fail(root, "broken", job="mine"), job_id="mine", **{forgiving: True})
    assert skips(failed) == (forgiving == "never_fail")  # soft_fail is about timeouts


def in_every_mode_raising(root: str, prepare: Callable[[], object], **arguments: Any) -> list[type]:
    """Which exceptions end it; the messages differ, since Airflow's own name seconds."""
    runs = [
        lambda: wait_deferred(sensor(root, deferrable=True, **arguments), prepare),
        lambda: wait_deferred(sensor(root, deferrable=True, **arguments)),
        lambda: sensor(root, **arguments).execute(CONTEXT),
        lambda: sensor(root, mode="reschedule", **arguments).execute(CONTEXT),
    ]
    return [outcome(run)[0] for run in runs]


def skips(ends: list[type]) -> bool:
    assert len(set(ends)) == 1, ends
    return ends[0] is AirflowSkipException


# -- deferrable


def test_a_version_that_is_there_never_defers(store: Store, tmp_path: Path) -> None:
    store(score=0.75)
    assert sensor(str(tmp_path / "m"), deferrable=True, min_score=0.5).execute(CONTEXT)["version"] == 1


def test_airflow_keeps_the_timeout_too(tmp_path: Path) -> None:
    with pytest.raises(TaskDeferred) as caught:
        sensor(str(tmp_path / "m"), deferrable=True, timeout=90, min_score="0.5", published_after=T0, run_id="").execute(CONTEXT)
    assert caught.value.timeout == timedelta(seconds=90)
    arguments = caught.value.trigger.serialize()[1]
    assert (arguments["min_score"], arguments["published_after"], arguments["run_id"]) == (0.5, T0.isoformat(), None)


def test_the_execution_timeout_counts_while_deferred_and_is_worth_a_retry(tmp_path: Path) -> None:
    waits = sensor(str(tmp_path / "m"), deferrable=True, timeout=3600, execution_timeout=timedelta(milliseconds=1))
    with pytest.raises(AirflowTaskTimeout, match=r"after 0\.001 s, the execution_timeout"):
        wait_deferred(waits)
    softly = sensor(
        str(tmp_path / "m"), deferrable=True, timeout=3600, execution_timeout=timedelta(milliseconds=1), soft_fail=True
    )
    with pytest.raises(AirflowSkipException):
        wait_deferred(softly)


def test_a_sensor_that_goes_on_after_errors_does_not_defer(tmp_path: Path) -> None:
    (tmp_path / "m").touch()
    with pytest.raises(AirflowSensorTimeout):
        sensor(str(tmp_path / "m"), deferrable=True, silent_fail=True).execute(CONTEXT)


def test_a_path_with_a_password_is_not_deferred(tmp_path: Path) -> None:
    from airflow_provider_mlsql.triggers.model import MLSQLModelTrigger

    with pytest.raises(InputError, match=r"^sftp://…@host/m holds a password") as caught:
        MLSQLModelTrigger(model_path="sftp://me:s3cret@host/m")
    assert "s3cret" not in str(caught.value)


def test_airflow_says_by_default_whether_to_defer() -> None:
    code = "from airflow_provider_mlsql.sensors.model import *; print(MLSQLModelSensor(task_id='s', model_path='m').deferrable)"
    for given in ("True", "False"):
        env = os.environ | {"AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE": given}
        done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
        assert done.stdout.split()[-1] == given


DEFERRED = """
import shutil
from airflow.sdk import DAG
from airflow_provider_mlsql.sensors.model import MLSQLModelSensor

class Sensor(MLSQLModelSensor):
    def __init__(self, lands=None, **kwargs):
        super().__init__(**kwargs)
        self.lands = lands

    def defer(self, **kwargs):  # so it has looked, and found nothing
        if self.lands:
            shutil.copytree(self.lands, self.model_path)
        super().defer(**kwargs)

with DAG("deferred", schedule=None):
    deferred = Sensor(task_id="deferred", lands="{tmp}/m", model_path="{tmp}/late", poke_interval=1, check_files=True)
    poke = MLSQLModelSensor(task_id="poke", model_path="{tmp}/late", min_score="0.5", deferrable=False)
    there = Sensor(task_id="there", lands="{tmp}/m", model_path="{tmp}/late", min_score="0.5")
    deferred >> poke >> there
    Sensor(task_id="failed", lands="{tmp}/broken", model_path="{tmp}/failing", run_id="r", poke_interval=1)
    Sensor(task_id="timed_out", model_path="{tmp}/late", min_version=7, timeout=2, poke_interval=1)
    Sensor(task_id="skipped", lands="{tmp}/m", model_path="{tmp}/low", min_score=0.9, on_low_score="skip", poke_interval=1)
"""


def test_airflow_defers_and_resumes_it(airflow: Airflow, tmp_path: Path) -> None:
    publish(str(tmp_path / "m"), 0.75)
    fail(str(tmp_path / "broken"), "2 of 2 fit groups failed: KeyError", job="dag.train/r/0")
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags/deferred.py").write_text(DEFERRED.format(tmp=tmp_path))
    log = airflow.test("deferred", dags=tmp_path / "dags", AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE="True")
    values = airflow.xcoms("deferred")
    assert values == dict.fromkeys(["deferred", "poke", "there"], xcom(str(tmp_path / "late"), 1, 0.75))
    assert log.count("running trigger in line") == 4
    assert "TrainingFailed: 2 of 2 fit groups failed: KeyError" in log
    assert f"Sensor has timed out; no such version in {tmp_path / 'late'} after 2 s" in log
    assert f"version 1 of {tmp_path / 'low'} has score 0.75, and at least 0.9 is asked for" in log
