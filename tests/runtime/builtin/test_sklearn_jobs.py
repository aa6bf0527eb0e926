"""The built-in algorithms of scikit-learn in jobs: SQL predicts what scikit-learn predicts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from support.estimators import BUILTIN, LEARNABLE, X, Y, group, manifest_of, model_of, train_groups
from support.training import train_result
from support.workbench import RunPlan

from mlsql_runtime.plan import KafkaFeed, PythonEnv, Register, Select

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from mlsql_runtime.kafka.settings import KafkaSettings


def test_sql_predicts_what_the_estimators_predict(
    run_plan: RunPlan, spark: SparkSession, tmp_path: Path, kafka_settings: KafkaSettings
) -> None:
    """Through Kafka; support vectors are trained on all rows at once, naive Bayes batch by batch."""
    feed = KafkaFeed(topic="sklearn", settings=kafka_settings.public)
    vectors = [group("sklearn.svm.SVC", C=value) for value in ("0.1", "2")]
    bayes = [group("sklearn.naive_bayes.MultinomialNB", alpha=value) for value in ("0.1", "2")]
    path = str(tmp_path / "m")
    train = train_groups(tmp_path / "m", BUILTIN, *vectors, *bayes, validate_table="data", feed=feed)
    best = Register(model_path=path, function="best", script_path=BUILTIN)
    other = Register(model_path=path, function="bayes", script_path=BUILTIN, alg_index=3)
    result = train_result(run_plan(train, best, other))
    assert [fit.status for fit in result.fits] == ["success"] * 4
    models = [model_of(tmp_path / "m", index) for index in range(4)]
    assert [model.C for model in models[:2]] == [0.1, 2]
    assert [model.alpha for model in models[2:]] == [0.1, 2]
    assert [fit.score for fit in result.fits] == [pytest.approx(model.score(X, Y)) for model in models]
    assert result.best.alg_index in (0, 1)
    rows = spark.sql("select label, best(features) as best, bayes(features) as bayes from data").collect()
    wanted = (Y, models[result.best.alg_index].predict(X), models[3].predict(X))
    assert [(row.label, row.best[0], row.bayes[0]) for row in rows] == list(zip(*map(np.ndarray.tolist, wanted), strict=True))


def test_a_built_in_model_is_the_one_of_scikit_learn_and_a_method_that_it_lacks_is_refused_by_register(
    run_plan: RunPlan, tmp_path: Path
) -> None:
    env = PythonEnv(seed=7)
    train = train_groups(tmp_path / "m", BUILTIN, group("sklearn.svm.SVC", C="0.5"), validate_fraction=0.2, python=env)
    result = train_result(run_plan(train))
    manifest = manifest_of(tmp_path / "m")
    assert manifest.script.name == BUILTIN
    assert manifest.parameters == {"seed": "7"}
    assert {"python", "scikit-learn", "numpy", "airflow-provider-mlsql"} <= set(manifest.fits[0].packages)
    assert "kafka-python" not in manifest.fits[0].packages
    assert result.rows + manifest.data.validate_rows == 100
    model = model_of(tmp_path / "m", 0)
    assert (model.C, model.random_state) == (0.5, 7)
    register = Register(model_path=str(tmp_path / "m"), function="f", script_path=BUILTIN, params={"method": "predict_proba"})
    error = run_plan(register).error
    assert error is not None
    assert error["kind"] == "ScriptFailed"
    assert "SVC, as it was trained, has no predict_proba" in error["message"]


def test_classes_with_names_are_predicted_as_their_positions(run_plan: RunPlan, spark: SparkSession, tmp_path: Path) -> None:
    names = Select(table="rows", sql=LEARNABLE)
    forest = group("sklearn.ensemble.RandomForestClassifier", label="word", n_estimators="5", random_state="1")
    train = train_groups(tmp_path / "m", BUILTIN, forest, table="rows")
    path = str(tmp_path / "m")
    run_plan(
        names,
        train,
        Register(model_path=path, function="place", script_path=BUILTIN),
        Register(model_path=path, function="chance", script_path=BUILTIN, params={"method": "predict_proba"}),
    ).raise_for_error()
    rows = spark.sql("select features, word, place(features) as place, chance(features) as chance from rows").collect()
    model = model_of(tmp_path / "m", 0)
    inputs = np.array([row.features for row in rows])
    assert model.classes_.tolist() == ["few", "many"]
    assert [model.classes_[int(row.place[0])] for row in rows] == model.predict(inputs).tolist()
    assert np.allclose([row.chance.toArray() for row in rows], model.predict_proba(inputs))
    assert "classes: 0 is few, 1 is many" in (tmp_path / "m/_model_1/logs/0.log").read_text()


def test_groups_that_cannot_be_trained_are_refused_before_data_move(run_plan: RunPlan, tmp_path: Path) -> None:
    groups = (group("sklearn.svm.SVC"), group("sklearn.svm.SVX"), group("sklearn.svm.SVC", kernl="rbf"))
    result = run_plan(train_groups(tmp_path / "m", BUILTIN, *groups))
    assert result.error is not None
    assert result.error["kind"] == "InputError"
    assert result.error["facts"]["problems"] == [
        "fitParam.1: sklearn.svm has no class 'SVX'; did you mean 'SVR'?",
        "fitParam.2: sklearn.svm.SVC has no parameter 'kernl'; did you mean 'kernel'?",
    ]
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize(("scorers", "greater"), [(["mean_squared_error"], True), (["r2", None], False)])
def test_scores_that_would_make_the_worst_group_the_best_are_refused(
    run_plan: RunPlan, tmp_path: Path, scorers: list[str | None], greater: bool
) -> None:
    groups = [group("sklearn.linear_model.Ridge", **({"scorer": scorer} if scorer else {})) for scorer in scorers]
    error = run_plan(train_groups(tmp_path / "m", BUILTIN, *groups, greater_is_better=greater)).error
    assert error is not None
    problems = error["facts"]["problems"]
    assert len(problems) == len(scorers)
    assert all("so that the worst group would be the best; set scoreMode to" in problem for problem in problems)
