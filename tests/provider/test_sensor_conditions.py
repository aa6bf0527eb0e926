"""The sensor against a model store on disk: which version it finds, and when it fails."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowSkipException
from airflow.sdk import PokeReturnValue
from support.sensors import SensorTask
from support.stores import T0, Store, fail, publish

from airflow_provider_mlsql.operators.task_run import TaskRun
from airflow_provider_mlsql.sensors.model import MLSQLModelSensor
from airflow_provider_mlsql.xcom_versions import FAILED_VERSION
from mlsql_runtime.errors import InputError, IntegrityError, ScriptFailed, TrainingFailed
from mlsql_runtime.plan import TaskTry


def poke(tmp_path: Path, task: SensorTask | None = None, **arguments: Any) -> PokeReturnValue:
    context: Any = {"ti": task or SensorTask()}
    return MLSQLModelSensor(task_id="s", model_path=str(tmp_path / "m"), **arguments).poke(context)


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
    task = SensorTask()
    with pytest.raises(ScriptFailed, match=r"at least 0\.5"):
        poke(tmp_path, task, min_score=0.5, on_low_score="fail")
    assert task.xcoms == {FAILED_VERSION: {"model_path": str(tmp_path / "m"), "version": 1}}  # which the task links to


def test_a_loss_is_good_when_it_is_low(store: Store, tmp_path: Path) -> None:
    store(score=0.4, maximise=False)
    assert found(tmp_path, min_score=0.5) == 1
    assert found(tmp_path, min_score=0.3) is None


def test_a_failed_training_fails_the_sensor_with_its_own_message(store: Store, tmp_path: Path) -> None:
    store(job="old", created=0)
    store(job="mine", created=1, failure="2 of 2 fit groups failed: KeyError")
    for awaited in ({"min_version": 2}, {"job_id": "mine"}, {"published_after": T0}):
        task = SensorTask()
        with pytest.raises(TrainingFailed, match="2 of 2 fit groups failed: KeyError"):
            poke(tmp_path, task, **awaited)
        assert task.xcoms == {FAILED_VERSION: {"model_path": str(tmp_path / "m"), "version": 2}}  # which the task links to
    assert found(tmp_path) == 1  # nobody said that the failed one is awaited
    store(job="mine", created=2)
    assert found(tmp_path, job_id="mine") == 3  # a retry succeeded


def test_files_are_checked_when_asked(store: Store, tmp_path: Path) -> None:
    store()
    (tmp_path / "m/_model_1/model/0/model.pickle").write_bytes(b"modem")
    assert found(tmp_path) == 1
    with pytest.raises(IntegrityError, match=r"model\.pickle is not the file its manifest names"):
        poke(tmp_path, check_files=True)


def test_a_sensor_that_pokes_again_reads_only_what_is_new(store: Store, tmp_path: Path) -> None:
    for _ in range(3):
        store(score=0.5)
    sensor, context = MLSQLModelSensor(task_id="s", model_path=str(tmp_path / "m"), job_id="mine"), {"ti": SensorTask()}
    assert not sensor.poke(context).is_done
    (tmp_path / "m/_model_1/manifest.json").write_text("this would be an error")
    assert not sensor.poke(context).is_done
    store(score=0.5, job="mine")
    assert sensor.poke(context).xcom_value["version"] == 4


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


@pytest.mark.parametrize("nothing", [None, "", "None"])
def test_a_model_path_that_is_rendered_as_nothing(nothing: Any) -> None:
    with pytest.raises(InputError, match="the model path is empty; give it"):
        MLSQLModelSensor(task_id="s", model_path=nothing).poke({"ti": SensorTask()})


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


def task_try(dag: str, run: str, map_index: int = -1) -> TaskTry:
    ti = SimpleNamespace(dag_id=dag, task_id="train", run_id=run, try_number=2, max_tries=2, map_index=map_index)
    return TaskRun.of({"ti": ti}).task  # type: ignore[typeddict-item]


def test_a_version_is_known_by_the_run_that_trained_it(tmp_path: Path) -> None:
    root, scheduled = str(tmp_path / "m"), "scheduled__2026-01-01T00:00:00+00:00"
    publish(root, task=task_try("daily", scheduled))
    publish(root, task=task_try("daily.mail", scheduled, map_index=3))
    publish(root, task=task_try("daily", "manual__1"))
    publish(root)
    assert found(tmp_path, run_id=scheduled) == 2
    assert found(tmp_path, run_id=scheduled, external_dag_id="daily") == 1
    assert found(tmp_path, external_dag_id="daily") == 3
    assert found(tmp_path, external_dag_id="daily.mail") == 2
    assert found(tmp_path, external_dag_id="dail") is None
    assert found(tmp_path, run_id="manual__") is None
    fail(root, "broken", task=task_try("daily", "manual__2"))
    with pytest.raises(TrainingFailed, match="broken"):
        poke(tmp_path, run_id="manual__2")
    assert found(tmp_path, external_dag_id="daily") == 3  # nobody said that the failed one is awaited
