"""Functions in SQL: each row gets the prediction that scikit-learn gives for it."""

from __future__ import annotations

import hashlib
import json
import pickle
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from sklearn.datasets import load_svmlight_file
from sklearn.dummy import DummyClassifier
from support.predict_scripts import BATCH, PREDICT, ROW_PREDICT, error_of, registered, sklearn_predictions
from support.workbench import SAMPLE, RunPlan, Script

from mlsql_runtime.plan import FunctionRef, Load, Register, Save, Select
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store.functions import read_function

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@pytest.mark.parametrize(
    ("script_path", "contract"), [(PREDICT, "batch"), (ROW_PREDICT, "row")], ids=["the batch contract", "the seed's row contract"]
)
def test_sql_predicts_what_scikit_learn_predicts_row_by_row(
    run_plan: RunPlan, spark: SparkSession, model_path: str, script_path: str, contract: str, capfd: pytest.CaptureFixture[str]
) -> None:
    result = registered(run_plan(Register(model_path=model_path, function="jack", script_path=script_path)))
    assert (result.registered, result.version, result.alg_index, result.score, result.function_version) == (True, 1, 1, 0.9, 1)
    rows = spark.sql("select label, jack(features) as p from data").collect()
    assert [(row.label, row.p[0]) for row in rows] == sklearn_predictions(model_path, 1)
    assert read_function(Location.of(model_path), "jack").contract == contract
    assert f"score 0.9, {contract} contract" in capfd.readouterr().out


def test_a_registered_function_serves_another_job(
    run_plan: RunPlan, spark: SparkSession, model_path: str, tmp_path: Path
) -> None:
    registered(run_plan(Register(model_path=model_path, function="jack", script_path=PREDICT, alg_index=0)))
    ref = FunctionRef(name="joe", model_path=model_path, function="jack")
    result = run_plan(
        Select(table="out", sql="select label, joe(features) as p from data", functions=(ref,)),
        Save(table="out", format="parquet", path=str(tmp_path / "out")),
    )
    result.raise_for_error()
    rows = spark.read.parquet(str(tmp_path / "out")).collect()
    assert sorted((row.label, row.p[0]) for row in rows) == sorted(sklearn_predictions(model_path, 0))


@pytest.mark.parametrize("columnar", ["parquet", "orc"])
def test_vectors_in_columnar_files_are_scored(
    run_plan: RunPlan, spark: SparkSession, served: str, tmp_path: Path, columnar: str
) -> None:
    stored = str(tmp_path / "stored")
    batch = FunctionRef(name="jack", model_path=served, function="batch")
    run_plan(
        Save(table="data", format=columnar, path=stored),
        Load(table="stored", format=columnar, path=stored),
        Select(table="out", sql="select label, jack(features) as p from stored", functions=(batch,)),
    ).raise_for_error()
    rows = spark.table("out").collect()
    assert sorted((row.label, row.p[0]) for row in rows) == sorted(sklearn_predictions(served, 1))


def test_equal_functions_of_two_models_use_their_own_model(
    run_plan: RunPlan, spark: SparkSession, model_path: str, tmp_path: Path
) -> None:
    """Equal names, numbers and pickles, in the same Python worker; only the model paths differ."""
    other = str(tmp_path / "other")
    shutil.copytree(model_path, other)
    constant = Path(other) / "_model_1/model/1/model.pickle"
    constant.write_bytes(pickle.dumps(DummyClassifier(strategy="constant", constant=7).fit([[0.0] * 692], [7])))
    manifest = Path(other) / "_model_1/manifest.json"
    document = json.loads(manifest.read_text())
    entry = next(file for file in document["files"] if file["path"] == "model/1/model.pickle")
    entry |= {"size": constant.stat().st_size, "sha256": hashlib.sha256(constant.read_bytes()).hexdigest()}
    manifest.write_text(json.dumps(document))
    for model in (model_path, other):
        registered(run_plan(Register(model_path=model, function="jack", script_path=PREDICT, alg_index=1)))
    both = (
        FunctionRef(name="a", model_path=model_path, function="jack"),
        FunctionRef(name="b", model_path=other, function="jack"),
    )
    run_plan(
        Select(table="out", sql="select label, a(features) as a, b(features) as b from data", functions=both)
    ).raise_for_error()
    rows = spark.table("out").collect()
    assert [(row.label, row.a[0]) for row in rows] == sklearn_predictions(model_path, 1)
    assert {row.b[0] for row in rows} == {7.0}


def test_a_column_of_another_type_is_refused(run_plan: RunPlan, served: str) -> None:
    ref = FunctionRef(name="jack", model_path=served, function="batch")
    assert error_of(run_plan(Select(table="out", sql="select jack(label) as p from data", functions=(ref,)))) == (
        "InputError",
        "function batch is called with what it does not take: 'features', argument 1, is double, expected vector; "
        "expected features vector, got label double",
    )


@pytest.mark.parametrize("function", ["batch", "row"])
def test_a_null_vector_gives_null_and_mixed_vectors_work(
    run_plan: RunPlan, spark: SparkSession, served: str, function: str
) -> None:
    from pyspark.ml.linalg import SparseVector, Vectors, VectorUDT
    from pyspark.sql.types import StructField, StructType

    ref = FunctionRef(name="jack", model_path=served, function=function)
    run_plan(Select(table="none", sql="select jack(features) from data", functions=(ref,))).raise_for_error()
    sparse = spark.table("data").first()
    assert sparse is not None
    dense = Vectors.dense(sparse.features.toArray())
    assert isinstance(sparse.features, SparseVector)
    schema = StructType([StructField("features", VectorUDT())])
    spark.createDataFrame([(None,), (sparse.features,), (dense,), (None,)], schema).coalesce(1).createOrReplaceTempView("mixed")
    answers = [row.p for row in spark.sql("select jack(features) as p from mixed").collect()]
    assert answers[0] is None
    assert answers[3] is None
    assert answers[1] == answers[2]
    spark.createDataFrame([], schema).createOrReplaceTempView("nothing")
    assert spark.sql("select jack(features) from nothing").collect() == []


def test_a_batch_function_returns_several_numbers_for_each_row(
    run_plan: RunPlan, spark: SparkSession, model_path: str, script: Script
) -> None:
    source = BATCH.format(body="return model.predict_proba(X)", arguments="")
    registered(run_plan(Register(model_path=model_path, function="jack", script_path=script(source))))
    X, _ = load_svmlight_file(SAMPLE, n_features=692)
    with open(f"{model_path}/_model_1/model/1/model.pickle", "rb") as file:
        expected = pickle.load(file).predict_proba(X)
    rows = spark.sql("select jack(features) as p from data").collect()
    np.testing.assert_allclose([row.p.toArray() for row in rows], expected)


@pytest.mark.parametrize(
    ("arguments", "kind"), [("", "csr_matrix"), (", sparse=True", "csr_matrix"), (", sparse=False", "ndarray")]
)
def test_sparse_rows_stay_sparse_by_default(
    run_plan: RunPlan, spark: SparkSession, model_path: str, script: Script, arguments: str, kind: str
) -> None:
    body = f"assert type(X).__name__ == {kind!r}, type(X); return X.sum(axis=1)"
    registered(
        run_plan(
            Register(model_path=model_path, function="jack", script_path=script(BATCH.format(body=body, arguments=arguments)))
        )
    )
    rows = spark.sql("select features, jack(features) as p from data").collect()
    assert [row.p[0] for row in rows] == [float(row.features.values.sum()) for row in rows]


def test_a_models_threads_stay_within_the_cores_of_the_task(
    run_plan: RunPlan, spark: SparkSession, model_path: str, script: Script
) -> None:
    body = "import joblib, pyspark; return [joblib.effective_n_jobs(-1) if pyspark.TaskContext.get() else 1] * len(X)"
    registered(
        run_plan(
            Register(
                model_path=model_path, function="jack", script_path=script(BATCH.format(body=body, arguments=", sparse=False"))
            )
        )
    )
    assert {row.p[0] for row in spark.sql("select jack(features) as p from data").collect()} == {1.0}


def test_another_width_is_an_error_that_names_both(run_plan: RunPlan, served: str, tmp_path: Path, spark: SparkSession) -> None:
    from pyspark.ml.linalg import Vectors

    spark.createDataFrame([(Vectors.dense([1.0, 2.0]),)], ["features"]).createOrReplaceTempView("narrow")
    ref = FunctionRef(name="jack", model_path=served, function="batch")
    select = Select(table="out", sql="select jack(features) as p from narrow", functions=(ref,))
    kind, message = error_of(run_plan(select, Save(table="out", format="parquet", path=str(tmp_path / "out"))))
    assert (kind, message) == ("DataError", "function batch: expected vectors of width 692, got one of width 2")


def test_each_row_is_scored_once(run_plan: RunPlan, spark: SparkSession, served: str) -> None:
    ref = FunctionRef(name="jack", model_path=served, function="batch")
    run_plan(
        Select(table="many", sql="select /*+ REPARTITION(3) */ d.features from data d cross join range(30)"),
        Select(table="out", sql="select jack(features) as p from many", functions=(ref,)),
    ).raise_for_error()
    scored = spark.table("out").collect()
    assert len(scored) == 3000
    expected = [p for _, p in sklearn_predictions(served, 1)] * 30
    np.testing.assert_array_equal(np.sort([row.p[0] for row in scored]), np.sort(expected))
