"""The built-in algorithms over columns: missing numbers, text, booleans, unknown values; labels, probabilities and both."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from support.builtin_algorithms import name_class
from support.estimators import BUILTIN, model_of
from support.workbench import RunPlan

from mlsql_runtime.plan import KafkaFeed, Register, Select, Train
from mlsql_runtime.result import TrainResult

if TYPE_CHECKING:
    import pandas as pd
    from pyspark.sql import SparkSession

    from mlsql_runtime.kafka.settings import KafkaSettings

FEATURES = ("months", "calls", "income", "plan", "abroad")
CUSTOMERS = Select(
    table="customers",
    sql="""
        select id, cast(id % 50 as int) as months, if(id % 10 = 0, null, id % 7) as calls,
               cast(id % 13 as decimal(6, 2)) * 10 as income, if(id % 9 = 0, null, if(id % 3 = 0, 'basic', 'family')) as plan,
               if(id % 8 = 0, null, id % 2 = 0) as abroad, if(id % 50 < 20, 'yes', 'no') as churned,
               id % 50 < 20 as leaves, id % 50 + 0.5d as price
        from range(0, 200, 1, 1)
    """,
)


def train(path: Path, name: str = "sklearn.linear_model.LogisticRegression", **more: Any) -> Train:
    params = {"max_iter": "5000"} if name.endswith("LogisticRegression") else {}
    given: dict[str, Any] = {
        "table": "customers",
        "feature_columns": FEATURES,
        "label_column": "churned",
        "fit_params": (name_class(name, **params),),
    }
    return Train(model_path=str(path), script_path=BUILTIN, **given | more)


def register(path: Path, function: str, **params: str) -> Register:
    return Register(model_path=str(path), function=function, script_path=BUILTIN, params=params)


def plain(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the frame of a Spark table as scikit-learn takes it."""
    numbers = {name: frame[name].astype(float) for name in ("months", "calls", "income")}
    others = {name: frame[name].astype(object).where(frame[name].notna(), None) for name in ("plan", "abroad")}
    return frame.assign(**numbers, **others)


def test_labels_probabilities_and_both(
    run_plan: RunPlan, spark: SparkSession, tmp_path: Path, kafka_settings: KafkaSettings
) -> None:
    """The model is trained through Kafka; through files it is the same."""
    path = tmp_path / "kafka"
    trainings = (
        train(path, validate_table="customers", feed=KafkaFeed(topic="columns", settings=kafka_settings.public)),
        train(tmp_path / "files", validate_table="customers"),
    )
    functions = [
        register(path, "churn"),
        register(path, "chances", output="probability"),
        register(path, "both", output="both"),
        register(path, "margin", method="decision_function"),
    ]
    done = run_plan(CUSTOMERS, *trainings, *functions)
    done.raise_for_error()
    through_kafka, through_files = (step for step in done.steps if isinstance(step, TrainResult))
    rows = spark.sql("""
        select *, churn(struct(*)) as label, churn(months, calls, income, plan, abroad) as by_position,
               chances(struct(*)) as chances, both(struct(*)) as both, margin(struct(*)) as margin
        from customers
    """).toPandas()
    model, X = model_of(path, 0), plain(rows)[list(FEATURES)]
    assert through_kafka.score == pytest.approx(model.score(X, rows.churned))
    assert through_kafka.score > 0.9
    assert through_files.score == through_kafka.score
    assert np.array_equal(model_of(tmp_path / "files", 0).decision_function(X), model.decision_function(X))
    assert rows.label.tolist() == rows.by_position.tolist() == model.predict(X).tolist()
    chances = model.predict_proba(X)
    assert np.allclose(np.stack(list(rows.chances)), chances)
    assert [both["label"] for both in rows.both] == rows.label.tolist()
    assert np.allclose([both["probability"] for both in rows.both], chances.max(axis=1))
    assert np.allclose(np.stack(list(rows.margin))[:, 0], model.decision_function(X))
    unknown = spark.sql("select churn(2, null, 3.5, 'never seen', null) as label").collect()
    assert unknown[0].label == "yes"
    assert spark.sql("select id from customers where churn(struct(*)) = 'yes'").count() == (rows.label == "yes").sum()


def test_numbers_and_booleans_are_answered_in_their_types(run_plan: RunPlan, spark: SparkSession, tmp_path: Path) -> None:
    statements = []
    for name, estimator, label in (
        ("price", "sklearn.tree.DecisionTreeRegressor", "price"),
        ("leaves", "sklearn.tree.DecisionTreeClassifier", "leaves"),
        ("segment", "sklearn.cluster.KMeans", None),
    ):
        statements += [train(tmp_path / name, estimator, label_column=label), register(tmp_path / name, name)]
    run_plan(CUSTOMERS, *statements).raise_for_error()
    answers = spark.sql("select *, price(struct(*)) as p, leaves(struct(*)) as l, segment(struct(*)) as s from customers")
    assert [answers.schema[name].dataType.simpleString() for name in "pls"] == ["double", "boolean", "double"]
    rows = answers.toPandas()
    assert np.allclose(rows.p, rows.price)
    assert rows.l.tolist() == rows.leaves.tolist()
    assert set(rows.s) == set(np.arange(8.0))


def test_what_cannot_be_learned_is_named(run_plan: RunPlan, tmp_path: Path) -> None:
    name = "sklearn.naive_bayes.GaussianNB"
    groups = (name_class(name), name_class(name, incremental="true"), name_class(name, epochs="2"))
    more = Select(table="more", sql="select *, date'2026-01-02' as day from customers")
    columns = ("months", "day")
    result = run_plan(CUSTOMERS, more, train(tmp_path / "m", table="more", feature_columns=columns, fit_params=groups))
    assert result.error is not None
    message = str(result.error["message"])
    assert "column 'day' holds values of type datetime64" in message
    assert "incremental is for batches of vectors" in message
    assert "epochs is for batches of vectors" in message


def test_what_a_model_lacks_and_two_answers_are_refused_by_the_registration(run_plan: RunPlan, tmp_path: Path) -> None:
    path = tmp_path / "m"
    lacking = run_plan(CUSTOMERS, train(path, "sklearn.svm.LinearSVC"), register(path, "both", output="both"))
    two = run_plan(register(path, "both", output="both", method="predict_proba"))
    assert lacking.error is not None
    assert two.error is not None
    assert "LinearSVC, as it was trained, has no predict_proba, only predict, decision_function" in str(lacking.error["message"])
    assert "both method 'predict_proba' and output 'both' are given" in str(two.error["message"])
