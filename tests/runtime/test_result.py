from __future__ import annotations

import json
from typing import Any

import pytest

from mlsql_runtime import codec
from mlsql_runtime.errors import DataError, FormatError, JobFailed, TrainingFailed
from mlsql_runtime.result import (
    Best,
    FitSummary,
    FunctionUse,
    RegisterResult,
    RunResult,
    SaveResult,
    SelectResult,
    TrainResult,
    load_result,
    to_xcom,
)

TRAINED = TrainResult(
    model_path="/m",
    version=3,
    score=None,
    best=Best(alg_index=1, score=None),
    fits=(
        FitSummary(alg_index=0, status="timeout", score=None, metrics={}, seconds=1.5),
        FitSummary(alg_index=1, status="success", score=None, metrics={"loss": None, "auc": 0.5}, seconds=2),
    ),
    rows=150,
)
REGISTERED = RegisterResult(
    function="jack",
    registered=False,
    reason="its score 0.5 is below 0.9",
    model_path="/m",
    version=3,
    alg_index=1,
    score=0.5,
    function_version=None,
)
SAVED = SaveResult(format="parquet", output="/o", rows=None)
USED = FunctionUse(name="j", model_path="/m", function="jack", function_version=2, version=3, alg_index=1, score=0.5)
SELECTED = SelectResult(table="t", functions=(USED,))


def test_a_result_survives_json() -> None:
    run = RunResult(job_id="job-1", steps=(TRAINED, REGISTERED, SAVED, SELECTED))
    back = load_result(codec.dumps(run))
    assert back == run
    assert back.is_successful
    back.raise_for_error()


@pytest.mark.parametrize("error", [DataError("no rows", column="x"), TrainingFailed("2 of 2 failed", tails={"0": ["boom"]})])
def test_an_error_crosses_json_as_the_same_class(error: DataError | TrainingFailed) -> None:
    run = load_result(codec.dumps(RunResult.of_error("job-1", (TRAINED,), error)))
    assert not run.is_successful
    assert run.steps == (TRAINED,)
    with pytest.raises(type(error)) as caught:
        run.raise_for_error()
    assert type(caught.value) is type(error)
    assert (caught.value.message, caught.value.facts) == (error.message, error.facts)


def test_an_error_of_an_unknown_kind_becomes_job_failed() -> None:
    error = {"kind": "InventedLater", "message": "boom", "facts": {}}
    with pytest.raises(JobFailed, match="boom"):
        load_result(codec.dumps(RunResult(job_id="job-1", steps=(), error=error))).raise_for_error()


@pytest.mark.parametrize(
    ("step", "keys"),
    [
        (TRAINED, {"model_path", "version", "score", "best", "fits", "rows"}),
        (
            REGISTERED,
            {"function", "registered", "reason", "model_path", "version", "alg_index", "score", "function_version"},
        ),
    ],
)
def test_an_xcom_has_exactly_the_promised_keys(step: Any, keys: set[str]) -> None:
    assert set(to_xcom(step)) == keys


def test_the_parts_of_a_train_xcom_have_exactly_the_promised_keys() -> None:
    xcom = to_xcom(TRAINED)
    assert set(xcom["best"]) == {"alg_index", "score"}
    assert [set(fit) for fit in xcom["fits"]] == [{"alg_index", "status", "score", "metrics", "seconds"}] * 2


@pytest.mark.parametrize("step", [TRAINED, REGISTERED, SAVED, SELECTED, USED])
def test_an_xcom_is_plain_json(step: Any) -> None:
    xcom = to_xcom(step)
    assert json.loads(json.dumps(xcom, allow_nan=False)) == xcom
    assert type(xcom) is dict


def test_another_version_of_the_result_is_refused() -> None:
    document = json.loads(codec.dumps(RunResult(job_id="job-1", steps=()))) | {"result_version": 99}
    with pytest.raises(FormatError) as caught:
        load_result(json.dumps(document), "/tmp/result.json")
    assert caught.value.facts["found"] == 99
    assert "/tmp/result.json" in caught.value.message
