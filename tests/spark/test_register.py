"""Functions: registered, tried, called in SQL, refused; on a real SparkSession with a real model."""

from __future__ import annotations

import hashlib
import json
import pickle
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from sklearn.datasets import load_svmlight_file
from sklearn.dummy import DummyClassifier
from support.workbench import EXAMPLES, SAMPLE, SEED, RunPlan, Script

from mlsql_runtime.plan import FunctionRef, Load, Register, Save, Select, Train
from mlsql_runtime.result import RegisterResult, RunResult
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store.function_history import read_history
from mlsql_runtime.store.functions import read_function, read_pointer

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

PREDICT = str(EXAMPLES / "predict_bayes.py")
ROW_PREDICT = str(SEED / "predict.py")
BATCH = """
import python_fun

def predict(X, model):
    {body}

python_fun.batch_udf(predict{arguments})
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, run_plan: RunPlan) -> Path:
    """A trained version 1, with two groups of scores 0.6 and 0.9; tests work on copies."""
    folder = tmp_path_factory.mktemp("models")
    script = folder / "train.py"
    source = (EXAMPLES / "train_bayes.py").read_text()
    script.write_text(source + "\nprint('mlsql_validation_score:' + mlsql.fit_param['score'])\n")
    groups = ({"score": "0.6", "alpha": "5"}, {"score": "0.9", "alpha": "1"})
    run_plan(Train(table="data", model_path=str(folder / "m"), script_path=str(script), fit_params=groups)).raise_for_error()
    return folder / "m"


@pytest.fixture
def path(model: Path, tmp_path: Path) -> str:
    """A model path of its own for each test."""
    shutil.copytree(model, tmp_path / "m")
    return str(tmp_path / "m")


@pytest.fixture(scope="module")
def served(model: Path, run_plan: RunPlan, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model path with the functions ``batch`` and ``row``, for tests that leave it as it is."""
    path = tmp_path_factory.mktemp("served") / "m"
    shutil.copytree(model, path)
    for name, script_path in (("batch", PREDICT), ("row", ROW_PREDICT)):
        registered(run_plan(Register(model_path=str(path), function=name, script_path=script_path)))
    return str(path)


def registered(result: RunResult, at: int = 0) -> RegisterResult:
    result.raise_for_error()
    step = result.steps[at]
    assert isinstance(step, RegisterResult)
    return step


def error_of(result: RunResult) -> tuple[str, str]:
    assert result.error is not None
    return result.error["kind"], result.error["message"]


def scikit_learns_own(path: str, alg_index: int) -> list[tuple[float, float]]:
    X, y = load_svmlight_file(SAMPLE, n_features=692)
    with open(f"{path}/_model_1/model/{alg_index}/model.pickle", "rb") as file:
        return list(zip(y.tolist(), pickle.load(file).predict(X).tolist(), strict=True))


@pytest.mark.parametrize(
    ("script_path", "contract"), [(PREDICT, "batch"), (ROW_PREDICT, "row")], ids=["the batch contract", "the seed's row contract"]
)
def test_sql_predicts_what_scikit_learn_predicts_row_by_row(
    run_plan: RunPlan, spark: SparkSession, path: str, script_path: str, contract: str, capfd: pytest.CaptureFixture[str]
) -> None:
    result = registered(run_plan(Register(model_path=path, function="jack", script_path=script_path)))
    assert (result.registered, result.version, result.alg_index, result.score, result.function_version) == (True, 1, 1, 0.9, 1)
    rows = spark.sql("select label, jack(features) as p from data").collect()
    assert [(row.label, row.p[0]) for row in rows] == scikit_learns_own(path, 1)
    assert read_function(Location.of(path), "jack").contract == contract
    assert f"score 0.9, {contract} contract" in capfd.readouterr().out


def test_a_registered_function_serves_another_job(run_plan: RunPlan, spark: SparkSession, path: str, tmp_path: Path) -> None:
    registered(run_plan(Register(model_path=path, function="jack", script_path=PREDICT, alg_index=0)))
    ref = FunctionRef(name="joe", model_path=path, function="jack")
    result = run_plan(
        Select(table="out", sql="select label, joe(features) as p from data", functions=(ref,)),
        Save(table="out", format="parquet", path=str(tmp_path / "out")),
    )
    result.raise_for_error()
    rows = spark.read.parquet(str(tmp_path / "out")).collect()
    assert sorted((row.label, row.p[0]) for row in rows) == sorted(scikit_learns_own(path, 0))


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
    assert sorted((row.label, row.p[0]) for row in rows) == sorted(scikit_learns_own(served, 1))


def test_the_same_function_of_two_models_answers_for_each(
    run_plan: RunPlan, spark: SparkSession, path: str, tmp_path: Path
) -> None:
    """Equal names, numbers and pickles, in the same Python worker; only the model paths differ."""
    other = str(tmp_path / "other")
    shutil.copytree(path, other)
    constant = Path(other) / "_model_1/model/1/model.pickle"
    constant.write_bytes(pickle.dumps(DummyClassifier(strategy="constant", constant=7).fit([[0.0] * 692], [7])))
    manifest = Path(other) / "_model_1/manifest.json"
    document = json.loads(manifest.read_text())
    entry = next(file for file in document["files"] if file["path"] == "model/1/model.pickle")
    entry |= {"size": constant.stat().st_size, "sha256": hashlib.sha256(constant.read_bytes()).hexdigest()}
    manifest.write_text(json.dumps(document))
    for model in (path, other):
        registered(run_plan(Register(model_path=model, function="jack", script_path=PREDICT, alg_index=1)))
    both = (FunctionRef(name="a", model_path=path, function="jack"), FunctionRef(name="b", model_path=other, function="jack"))
    run_plan(
        Select(table="out", sql="select label, a(features) as a, b(features) as b from data", functions=both)
    ).raise_for_error()
    rows = spark.table("out").collect()
    assert [(row.label, row.a[0]) for row in rows] == scikit_learns_own(path, 1)
    assert {row.b[0] for row in rows} == {7.0}


def test_a_function_may_load_its_model_with_the_helper_module(
    run_plan: RunPlan, spark: SparkSession, path: str, script: Script
) -> None:
    source = """
import pickle, python_fun, mlsql_model
from pyspark.ml.linalg import Vectors, VectorUDT

def predict(index, s):
    features = VectorUDT().deserialize(pickle.loads(next(s)))
    model = mlsql_model.load(pickle.loads(next(s))[0])
    return [VectorUDT().serialize(Vectors.dense(model.predict([features.toArray()])))]

python_fun.udf(predict)
"""
    registered(run_plan(Register(model_path=path, function="jack", script_path=script(source))))
    rows = spark.sql("select label, jack(features) as p from data").collect()
    assert [(row.label, row.p[0]) for row in rows] == scikit_learns_own(path, 1)


def test_a_column_that_is_no_vector_is_refused(run_plan: RunPlan, served: str, tmp_path: Path) -> None:
    ref = FunctionRef(name="jack", model_path=served, function="batch")
    select = Select(table="out", sql="select jack(label) as p from data", functions=(ref,))
    kind, message = error_of(run_plan(select, Save(table="out", format="parquet", path=str(tmp_path / "out"))))
    assert (kind, message) == ("InputError", "function jack is called with a column of type double; expected a vector")


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


def test_a_batch_function_answers_several_numbers_for_each_row(
    run_plan: RunPlan, spark: SparkSession, path: str, script: Script
) -> None:
    source = BATCH.format(body="return model.predict_proba(X)", arguments="")
    registered(run_plan(Register(model_path=path, function="jack", script_path=script(source))))
    X, _ = load_svmlight_file(SAMPLE, n_features=692)
    with open(f"{path}/_model_1/model/1/model.pickle", "rb") as file:
        expected = pickle.load(file).predict_proba(X)
    rows = spark.sql("select jack(features) as p from data").collect()
    np.testing.assert_allclose([row.p.toArray() for row in rows], expected)


@pytest.mark.parametrize(
    ("arguments", "kind"), [("", "csr_matrix"), (", sparse=True", "csr_matrix"), (", sparse=False", "ndarray")]
)
def test_sparse_rows_stay_sparse_unless_told(
    run_plan: RunPlan, spark: SparkSession, path: str, script: Script, arguments: str, kind: str
) -> None:
    body = f"assert type(X).__name__ == {kind!r}, type(X); return X.sum(axis=1)"
    registered(
        run_plan(Register(model_path=path, function="jack", script_path=script(BATCH.format(body=body, arguments=arguments))))
    )
    rows = spark.sql("select features, jack(features) as p from data").collect()
    assert [row.p[0] for row in rows] == [float(row.features.values.sum()) for row in rows]


def test_a_batch_function_loads_its_model_its_own_way_once_in_each_worker(
    run_plan: RunPlan, spark: SparkSession, path: str, script: Script, tmp_path: Path
) -> None:
    source = f"""
import os, pickle, uuid
import python_fun

def load(directory):
    open({str(tmp_path)!r} + f"/{{os.getpid()}}-{{uuid.uuid4()}}.load", "w").close()
    with open(os.path.join(directory, "model.pickle"), "rb") as file:
        return pickle.load(file)

def predict(X, model):
    return model.predict(X)

python_fun.batch_udf(predict, load=load)
"""
    registered(run_plan(Register(model_path=path, function="jack", script_path=script(source))))
    for _ in range(2):
        rows = spark.sql("select label, jack(features) as p from data").collect()
        assert [(row.label, row.p[0]) for row in rows] == scikit_learns_own(path, 1)
    processes = [file.name.partition("-")[0] for file in tmp_path.glob("*.load")]
    assert processes
    assert len(set(processes)) == len(processes)


def test_a_models_threads_stay_within_the_cores_of_the_task(
    run_plan: RunPlan, spark: SparkSession, path: str, script: Script
) -> None:
    body = "import joblib, pyspark; return [joblib.effective_n_jobs(-1) if pyspark.TaskContext.get() else 1] * len(X)"
    registered(
        run_plan(
            Register(model_path=path, function="jack", script_path=script(BATCH.format(body=body, arguments=", sparse=False")))
        )
    )
    assert {row.p[0] for row in spark.sql("select jack(features) as p from data").collect()} == {1.0}


def test_another_width_is_an_error_that_names_both(run_plan: RunPlan, served: str, tmp_path: Path, spark: SparkSession) -> None:
    from pyspark.ml.linalg import Vectors

    spark.createDataFrame([(Vectors.dense([1.0, 2.0]),)], ["features"]).createOrReplaceTempView("narrow")
    ref = FunctionRef(name="jack", model_path=served, function="batch")
    select = Select(table="out", sql="select jack(features) as p from narrow", functions=(ref,))
    kind, message = error_of(run_plan(select, Save(table="out", format="parquet", path=str(tmp_path / "out"))))
    assert (kind, message) == ("DataError", "function jack: expected vectors of width 692, got one of width 2")


def flip_a_byte(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def test_one_flipped_byte_in_the_model_stops_register_and_predict(run_plan: RunPlan, path: str, tmp_path: Path) -> None:
    registered(run_plan(Register(model_path=path, function="jack", script_path=PREDICT)))
    file = Path(path) / "_model_1/model/1/model.pickle"
    expected = read_function(Location.of(path), "jack").model_files[0].sha256
    flip_a_byte(file)
    ref = FunctionRef(name="jack", model_path=path, function="jack")
    select = Select(table="out", sql="select jack(features) as p from data", functions=(ref,))
    save = Save(table="out", format="parquet", path=str(tmp_path / "out"))
    for result in (run_plan(Register(model_path=path, function="other", script_path=PREDICT)), run_plan(select, save)):
        kind, message = error_of(result)
        assert kind == "IntegrityError"
        assert str(file) in message
        assert f"expected SHA-256 {expected}, found " in message
    assert not (Path(path) / "_functions/other").exists()


def test_one_flipped_byte_in_the_function_stops_predict(run_plan: RunPlan, path: str) -> None:
    registered(run_plan(Register(model_path=path, function="jack", script_path=PREDICT)))
    flip_a_byte(Path(path) / "_functions/jack/1/function.pickle")
    ref = FunctionRef(name="jack", model_path=path, function="jack")
    kind, message = error_of(run_plan(Select(table="out", sql="select jack(features) as p from data", functions=(ref,))))
    assert kind == "IntegrityError"
    assert "function.pickle" in message


def test_a_function_of_another_python_minor_version_is_refused(run_plan: RunPlan, path: str, tmp_path: Path) -> None:
    registered(run_plan(Register(model_path=path, function="jack", script_path=PREDICT)))
    record = Path(path) / "_functions/jack/1/function.json"
    document = json.loads(record.read_text())
    here, document["python"] = document["python"], "3.9"
    document["pickle"]["sha256"] = "0" * 64  # would be an error too, but the Python version is looked at first
    record.write_text(json.dumps(document))
    ref = FunctionRef(name="jack", model_path=path, function="jack")
    select = Select(table="out", sql="select jack(features) as p from data", functions=(ref,))
    kind, message = error_of(run_plan(select, Save(table="out", format="parquet", path=str(tmp_path / "out"))))
    assert kind == "InterpreterError"
    assert "registered under Python 3.9" in message
    assert f"under Python {here}" in message


@pytest.mark.parametrize(
    ("source", "kind", "part"),
    [
        ("def predict(index, s): pass", "InputError", "python_fun.batch_udf(predict_batch) or"),
        ("raise OSError('no such thing')", "ScriptFailed", "OSError: no such thing"),
        ("import python_fun; python_fun.udf(lambda s: s)", "ScriptFailed", "expected a function predict(index, s)"),
        ("import python_fun\ndef predict(index, s): return 1 / 0\npython_fun.udf(predict)", "ScriptFailed", "ZeroDivisionError"),
        ("import python_fun\ndef predict(index, s): return [4.0]\npython_fun.udf(predict)", "ScriptFailed", "returned [4.0]"),
        (
            "import python_fun\ndef predict(index, s): return [(1, 2, 3, 'x')]\npython_fun.udf(predict)",
            "ScriptFailed",
            "returned",
        ),
        (
            "import os, python_fun\ndef predict(i, s): return [(1, None, None, [os.getpid() * 1.0])]\npython_fun.udf(predict)",
            "ScriptFailed",
            "predicts differently on the driver and in Spark",
        ),
        ("import python_fun\npython_fun.batch_udf(lambda X: X)", "ScriptFailed", "expected a function predict_batch(X, model)"),
        (
            "import python_fun\npython_fun.batch_udf(lambda X, model: X, load=lambda: 1)",
            "ScriptFailed",
            "expected a function load(model_dir)",
        ),
        (BATCH.format(body="return 1 / 0", arguments=""), "ScriptFailed", "ZeroDivisionError"),
        (BATCH.format(body="return [4.0]", arguments=""), "ScriptFailed", "expected an array of numbers of shape (5,) or (5, k)"),
        (
            BATCH.format(body="return X.sum(axis=1) - X.sum()", arguments=""),
            "ScriptFailed",
            "predicts differently for a row alone and among 5 rows",
        ),
        (BATCH.format(body="return X", arguments=", load=open"), "ScriptFailed", "its load("),
    ],
    ids=[
        "hands nothing over",
        "raises",
        "wrong signature",
        "function raises",
        "no vector",
        "bad vector",
        "not a function of its row",
        "wrong signature of a batch function",
        "wrong signature of load",
        "batch function raises",
        "another number of rows",
        "answers hang on the batch",
        "no model to load",
    ],
)
def test_a_bad_predict_script_leaves_the_current_function(
    run_plan: RunPlan, served: str, script: Script, source: str, kind: str, part: str
) -> None:
    before = read_pointer(Location.of(served), "batch")
    assert before is not None
    found, message = error_of(run_plan(Register(model_path=served, function="batch", script_path=script(source))))
    assert found == kind
    assert part in message
    assert read_pointer(Location.of(served), "batch") == before
    assert sorted(child.name for child in (Path(served) / "_functions/batch").iterdir()) == ["1", "current.json"]


def test_training_parameters_reach_the_function_on_request(
    run_plan: RunPlan, spark: SparkSession, path: str, script: Script
) -> None:
    source = """
import pickle, python_fun

def predict(index, s):
    vector, directory, *params = [pickle.loads(item) for item in s]
    return [(1, None, None, [float(params[0]["alpha"]) if params else -1.0])]

python_fun.udf(predict)
"""
    for wanted, alpha in ((True, 1.0), (False, -1.0)):
        register = Register(model_path=path, function="jack", script_path=script(source), copy_train_params=wanted)
        registered(run_plan(register))
        row = spark.sql("select jack(features) as p from data limit 1").first()
        assert row is not None
        assert row.p[0] == alpha


def test_a_function_may_use_modules_next_to_its_script(run_plan: RunPlan, spark: SparkSession, path: str, script: Script) -> None:
    script("def answer(): return 41.0 + 1", "project/rules.py")
    script(
        "import python_fun, rules\ndef predict(index, s): return [(1, None, None, [rules.answer()])]\npython_fun.udf(predict)",
        "project/predict.py",
    )
    folder = str(Path(script("", "project/__init__.py")).parent)
    registered(run_plan(Register(model_path=path, function="jack", script_path=folder)))
    assert {row.p[0] for row in spark.sql("select jack(features) as p from data").collect()} == {42.0}


def test_gates_refuse_with_a_reason_and_leave_the_function(run_plan: RunPlan, path: str) -> None:
    first = Register(model_path=path, function="jack", script_path=PREDICT, alg_index=0)
    refused = registered(run_plan(Register(model_path=path, function="jack", script_path=PREDICT, min_score=0.95)))
    assert (refused.registered, refused.function_version) == (False, None)
    assert refused.reason == "version 1, group 1 has score 0.9; expected at least 0.95"
    assert read_pointer(Location.of(path), "jack") is None
    assert registered(run_plan(first)).registered
    better = Register(model_path=path, function="jack", script_path=PREDICT, only_if_better=0.3)
    assert registered(run_plan(better)).registered  # 0.9 is better than 0.6 by exactly that
    worse = Register(model_path=path, function="jack", script_path=PREDICT, alg_index=0, only_if_better=0.0)
    refused = registered(run_plan(worse))
    assert refused.reason is not None
    assert "better than 0.9 of the current version 1" in refused.reason
    pointer = read_pointer(Location.of(path), "jack")
    assert pointer is not None
    assert [move.alg_index for move in pointer.history] == [0, 1]


def test_the_history_says_when_who_and_why_also_of_refusals(run_plan: RunPlan, path: str) -> None:
    asked = Register(model_path=path, function="jack", script_path=PREDICT, only_if_better=0, author="ann")
    low = replace(asked, min_score=0.95)
    assert not registered(run_plan(low, job_id="first")).registered  # creates no function
    assert registered(run_plan(replace(asked, alg_index=0, only_if_better=None, author=None), job_id="second")).registered
    assert registered(run_plan(asked, job_id="third")).registered
    assert registered(run_plan(asked, job_id="third")).registered  # retried after its result was lost
    assert not registered(run_plan(replace(asked, alg_index=0), job_id="fourth")).registered
    history = read_history(Location.of(path), "jack").history
    better = "score 0.9 is better than 0.6 of version 1"
    assert [(each.happened, each.function_version, each.alg_index, each.job_id, each.by, each.reason) for each in history] == [
        ("refused", None, 1, "first", "ann", "version 1, group 1 has score 0.9; expected at least 0.95"),
        ("registered", 1, 0, "second", None, None),
        ("registered", 2, 1, "third", "ann", better),
        ("registered", 3, 1, "third", "ann", better),
        (
            "refused",
            None,
            0,
            "fourth",
            "ann",
            "version 1, group 0 has score 0.6; expected better than 0.9 of the current version 1",
        ),
    ]
    assert [each.current for each in history] == [False, False, False, True, False]
    assert sorted(each.at for each in history) == [each.at for each in history]


def test_a_sample_table_is_used_for_trying(run_plan: RunPlan, path: str) -> None:
    small = Select(table="small", sql="select features from data limit 2")
    assert registered(
        run_plan(small, Register(model_path=path, function="jack", script_path=PREDICT, sample_table="small"))
    ).registered
    other = Select(table="small", sql="select label from data")
    kind, message = error_of(
        run_plan(other, Register(model_path=path, function="jill", script_path=PREDICT, sample_table="small"))
    )
    assert kind == "DataError"
    assert "no column 'features'; it has label" in message


def test_the_same_rows_are_scored_as_are_given(run_plan: RunPlan, spark: SparkSession, served: str) -> None:
    ref = FunctionRef(name="jack", model_path=served, function="batch")
    run_plan(
        Select(table="many", sql="select /*+ REPARTITION(3) */ d.features from data d cross join range(30)"),
        Select(table="out", sql="select jack(features) as p from many", functions=(ref,)),
    ).raise_for_error()
    scored = spark.table("out").collect()
    assert len(scored) == 3000
    expected = [p for _, p in scikit_learns_own(served, 1)] * 30
    np.testing.assert_array_equal(np.sort([row.p[0] for row in scored]), np.sort(expected))
