"""The example scripts and the pages of scikit-learn and LightGBM: SQL predicts what the libraries predict."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from support.estimators import BUILTIN, LEARNABLE, X, Y, manifest_of, model_of, train_groups
from support.training import train_result
from support.workbench import EXAMPLES, SAMPLE, TESTS, RunPlan, Script

from mlsql_runtime import engine
from mlsql_runtime.language import compile_script
from mlsql_runtime.plan import KafkaFeed, Plan, Predict, PythonEnv, Register, Save, Select

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from mlsql_runtime.kafka.settings import KafkaSettings


def blocks(page: str, language: str) -> list[str]:
    """What a page of the documentation shows in a language."""
    text = (TESTS.parent / "docs" / "how-to" / page).read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def test_the_smaller_loss_is_best(run_plan: RunPlan, spark: SparkSession, tmp_path: Path) -> None:
    script = str(EXAMPLES / "train_regressor.py")
    groups = ({"max_iter": "1", "label": "number"}, {"max_iter": "60", "label": "number"})
    path = tmp_path / "m"
    rows = Select(table="rows", sql=LEARNABLE)
    train = train_groups(path, script, *groups, table="rows", validate_table="rows", greater_is_better=False)
    result = train_result(run_plan(rows, train, Register(model_path=str(path), function="guess", script_path=BUILTIN)))
    assert result.best.alg_index == 1
    assert result.score is not None
    assert result.score < min(1000.0, *(fit.score for fit in result.fits if fit.alg_index == 0 and fit.score is not None))
    answers = spark.sql("select features, guess(features) as p from rows").collect()
    wanted = model_of(path, 1).predict([row.features for row in answers])
    assert np.allclose([row.p[0] for row in answers], wanted)


def test_a_forest(run_plan: RunPlan, spark: SparkSession, tmp_path: Path) -> None:
    groups = ({"n_estimators": "3"}, {"n_estimators": "20", "max_depth": "4"})
    path = tmp_path / "m"
    train = train_groups(path, str(EXAMPLES / "train_forest.py"), *groups, validate_fraction=0.3, python=PythonEnv(seed=3))
    result = train_result(run_plan(train, Register(model_path=str(path), function="forest", script_path=BUILTIN)))
    assert [fit.metrics["trees"] for fit in result.fits] == [3, 20]
    answers = [row.p[0] for row in spark.sql("select forest(features) as p from data").collect()]
    assert answers == model_of(path, result.best.alg_index).predict(X).tolist()


def test_a_pipeline_on_texts(run_plan: RunPlan, spark: SparkSession, tmp_path: Path) -> None:
    path = tmp_path / "m"
    groups = ({"C": "0.1", "label": "word"}, {"C": "10", "label": "word"})
    texts = Select(table="texts", sql=f"select text, word as label from ({LEARNABLE})")
    train = train_groups(path, str(EXAMPLES / "train_text.py"), *groups, table="texts")
    script = str(EXAMPLES / "predict_text.py")
    predict = Predict(table="texts", model_path=str(path), script_path=script, result="predicted")
    result = train_result(run_plan(texts, train, predict, Save(table="predicted", format="json", path=str(tmp_path / "out"))))
    assert result.score == 1.0
    rows = spark.read.json(str(tmp_path / "out")).collect()
    assert len(rows) == 200
    assert set(rows[0].asDict()) == {"text", "label", "prediction"}
    table = spark.table("texts").collect()
    own = make_pipeline(TfidfVectorizer(), LogisticRegression(C=0.1)).fit([r.text for r in table], [r.label for r in table])
    assert {row.text: row.prediction for row in rows} == {row.text: own.predict([row.text])[0] for row in table}


@pytest.mark.parametrize("page", ["builtin.md", "frameworks/lightgbm.md"])
def test_the_mlsql_of_a_page(spark: SparkSession, tmp_path: Path, page: str) -> None:
    (script,) = blocks(page, "sql")
    compiled = compile_script(script, variables={"data": SAMPLE, "model": str(tmp_path / "m")})
    engine.run(Plan(job_id="docs", statements=compiled.statements), spark).raise_for_error()
    assert spark.table("predicted").filter("label = prediction").count() > 90
    assert {row.status for row in spark.table("groups").collect()} == {"success"}


def test_the_scripts_of_the_scikit_learn_page_through_kafka(
    run_plan: RunPlan, spark: SparkSession, tmp_path: Path, script: Script, kafka_settings: KafkaSettings
) -> None:
    train, predict = (script(text, f"{at}.py") for at, text in enumerate(blocks("frameworks/scikit-learn.md", "python")))
    path = tmp_path / "m"
    groups = ({"C": "0.01"}, {"C": "1"})
    feed = KafkaFeed(topic="sklearn", settings=kafka_settings.public)
    register = Register(model_path=str(path), function="chance", script_path=predict)
    result = train_result(run_plan(train_groups(path, train, *groups, validate_table="data", feed=feed), register))
    assert [fit.status for fit in result.fits] == ["success", "success"]
    assert all(model_of(path, index).score(X, Y) > 0.9 for index in range(2))
    answers = [row.p.toArray() for row in spark.sql("select chance(features) as p from data").collect()]
    assert np.allclose(answers, model_of(path, result.best.alg_index).predict_proba(X))


LEAVES = tuple({"n_estimators": "30", "min_child_samples": "5", "num_leaves": leaves} for leaves in ("3", "7"))


def test_the_script_of_the_lightgbm_page(run_plan: RunPlan, spark: SparkSession, tmp_path: Path, script: Script) -> None:
    (train,) = blocks("frameworks/lightgbm.md", "python")
    path = tmp_path / "m"
    chance = Register(model_path=str(path), function="chance", script_path=BUILTIN, params={"method": "predict_proba"})
    result = train_result(run_plan(train_groups(path, script(train), *LEAVES, validate_table="data"), chance))
    assert [model_of(path, index).num_leaves for index in range(2)] == [3, 7]
    assert [list(fit.metrics) for fit in result.fits] == [["binary_logloss"]] * 2
    assert "lightgbm" in manifest_of(path).fits[0].packages
    answers = [row.p.toArray() for row in spark.sql("select chance(features) as p from data").collect()]
    assert np.allclose(answers, model_of(path, result.best.alg_index).predict_proba(X))
