"""The register statement: what is registered, refused and recorded, on a real SparkSession with a real model."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date, datetime, timezone
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from support.models import publish_model
from support.predict_scripts import BATCH, OVER_COLUMNS, PREDICT, error_of, registered, sklearn_predictions
from support.workbench import RunPlan, Script

from mlsql_runtime.feed.decoding.sql_types import parse_type
from mlsql_runtime.plan import FunctionRef, Register, Select, Statement
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store.function_history import read_history
from mlsql_runtime.store.functions import read_pointer

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

FIRST = BATCH.format(body="return X[:, 0]", arguments="")


def test_a_function_may_load_its_model_with_the_helper_module(
    run_plan: RunPlan, spark: SparkSession, model_path: str, script: Script
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
    registered(run_plan(Register(model_path=model_path, function="jack", script_path=script(source))))
    rows = spark.sql("select label, jack(features) as p from data").collect()
    assert [(row.label, row.p[0]) for row in rows] == sklearn_predictions(model_path, 1)


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
    result = run_plan(Register(model_path=served, function="batch", script_path=script(source)))
    found, message = error_of(result)
    assert found == kind
    assert part in message
    assert result.error is not None
    assert (result.error["facts"]["model_path"], result.error["facts"]["version"]) == (served, 1)  # which the task links to
    assert read_pointer(Location.of(served), "batch") == before
    assert sorted(child.name for child in (Path(served) / "_functions/batch").iterdir()) == ["1", "current.json"]


@pytest.mark.parametrize("name", ["first", "Double", "explode"])
def test_a_name_of_sparks_own_functions_is_refused(run_plan: RunPlan, model_path: str, script: Script, name: str) -> None:
    """Spark 4.2 would call its own function in every query, without a word."""
    result = run_plan(Register(model_path=model_path, function=name, script_path=script(FIRST)))
    expected = f"{name} is the name of one of Spark's own functions; give the function another name"
    assert error_of(result) == ("InputError", expected)
    assert read_pointer(Location.of(model_path), name) is None


def test_a_function_may_not_be_called_by_such_a_name_either(run_plan: RunPlan, model_path: str, script: Script) -> None:
    registered(run_plan(Register(model_path=model_path, function="jack", script_path=script(FIRST))))
    called = FunctionRef(name="first", model_path=model_path, function="jack")
    assert "first is the name of one of" in error_of(run_plan(Select(table="t", sql="select 1", functions=(called,))))[1]


def test_training_parameters_reach_the_function_on_request(
    run_plan: RunPlan, spark: SparkSession, model_path: str, script: Script
) -> None:
    source = """
import pickle, python_fun

def predict(index, s):
    vector, directory, *params = [pickle.loads(item) for item in s]
    return [(1, None, None, [float(params[0][0]["fitParam.1.alpha"]) if params else -1.0])]

python_fun.udf(predict)
"""
    for wanted, alpha in ((True, 1.0), (False, -1.0)):
        register = Register(model_path=model_path, function="jack", script_path=script(source), copy_train_params=wanted)
        registered(run_plan(register))
        row = spark.sql("select jack(features) as p from data limit 1").first()
        assert row is not None
        assert row.p[0] == alpha


def test_a_function_may_use_modules_next_to_its_script(
    run_plan: RunPlan, spark: SparkSession, model_path: str, script: Script
) -> None:
    script("def answer(): return 41.0 + 1", "project/rules.py")
    script(
        "import python_fun, rules\ndef predict(index, s): return [(1, None, None, [rules.answer()])]\npython_fun.udf(predict)",
        "project/predict.py",
    )
    folder = str(Path(script("", "project/__init__.py")).parent)
    registered(run_plan(Register(model_path=model_path, function="jack", script_path=folder)))
    assert {row.p[0] for row in spark.sql("select jack(features) as p from data").collect()} == {42.0}


def test_gates_refuse_with_a_reason_and_leave_the_function(run_plan: RunPlan, model_path: str) -> None:
    first = Register(model_path=model_path, function="jack", script_path=PREDICT, alg_index=0)
    refused = registered(run_plan(Register(model_path=model_path, function="jack", script_path=PREDICT, min_score=0.95)))
    assert (refused.registered, refused.function_version) == (False, None)
    assert refused.reason == "version 1, group 1 has score 0.9; expected at least 0.95"
    assert read_pointer(Location.of(model_path), "jack") is None
    assert registered(run_plan(first)).registered
    better = Register(model_path=model_path, function="jack", script_path=PREDICT, only_if_better=0.3)
    assert registered(run_plan(better)).registered  # 0.9 is better than 0.6 by exactly that
    worse = Register(model_path=model_path, function="jack", script_path=PREDICT, alg_index=0, only_if_better=0.0)
    refused = registered(run_plan(worse))
    assert refused.reason is not None
    assert "better than 0.9 of the current version 1" in refused.reason
    pointer = read_pointer(Location.of(model_path), "jack")
    assert pointer is not None
    assert [move.alg_index for move in pointer.history] == [0, 1]


def test_the_history_has_time_author_and_reason_of_registrations_and_refusals(run_plan: RunPlan, model_path: str) -> None:
    asked = Register(model_path=model_path, function="jack", script_path=PREDICT, only_if_better=0, author="ann")
    low = replace(asked, min_score=0.95)
    assert not registered(run_plan(low, job_id="first")).registered  # creates no function
    assert registered(run_plan(replace(asked, alg_index=0, only_if_better=None, author=None), job_id="second")).registered
    assert registered(run_plan(asked, job_id="third")).registered
    assert registered(run_plan(asked, job_id="third")).registered  # retried after its result was lost
    assert not registered(run_plan(replace(asked, alg_index=0), job_id="fourth")).registered
    history = read_history(Location.of(model_path), "jack").history
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


def test_a_sample_table_is_used_for_trying(run_plan: RunPlan, model_path: str) -> None:
    small = Select(table="small", sql="select features from data limit 2")
    assert registered(
        run_plan(small, Register(model_path=model_path, function="jack", script_path=PREDICT, sample_table="small"))
    ).registered
    other = Select(table="small", sql="select label from data")
    kind, message = error_of(
        run_plan(other, Register(model_path=model_path, function="jill", script_path=PREDICT, sample_table="small"))
    )
    assert kind == "DataError"
    assert "no column 'features'; it has label" in message


# -- trying a function over columns

NUMBERS = pa.table({"x": [1.0, 2.0, 3.0], "y": pa.array([1, 2, 3], pa.int32())})


def refusal(run_plan: RunPlan, *statements: Statement) -> tuple[str, str]:
    """Return kind and message of an error that leaves no function."""
    found = error_of(run_plan(*statements))
    model = next(statement.model_path for statement in statements if isinstance(statement, Register))
    assert not (Path(model) / "_functions").exists()
    return found


def test_a_version_that_keeps_no_rows_asks_for_some(run_plan: RunPlan, script: Script, tmp_path: Path) -> None:
    path = publish_model(tmp_path / "m", None, NUMBERS, has_samples=False)
    source = OVER_COLUMNS.format(body="return X.sum(axis=1)", takes="matrix", returns="double")
    register = Register(model_path=path, function="jack", script_path=script(source))
    assert refusal(run_plan, register) == (
        "InputError",
        "function jack cannot be tried: version 1 has no sample rows without nulls of x, y; "
        "give sample_data, a table with these columns",
    )
    rows = Select(table="rows", sql="select 7 as other, tinyint(2) as Y, 1.5 as X")
    assert run_plan(rows, replace(register, sample_table="rows")).error is None
    nulls = Select(table="rows", sql="select int(null) as y, 1.5D as x")
    assert error_of(run_plan(nulls, replace(register, sample_table="rows"))) == (
        "InputError",
        "function jack cannot be tried: the table 'rows' of sample_data has no sample rows without nulls of x, y; "
        "give sample_data, a table with these columns",
    )
    others = Select(table="rows", sql="select 1 as xx, 2 as z")
    assert error_of(run_plan(others, replace(register, sample_table="rows"))) == (
        "DataError",
        "the sample table 'rows' has no column 'x' (the nearest is 'xx'), 'y'; it has xx, z",
    )


@pytest.mark.parametrize("features", [pa.array([[1.0, 2.0], None, [3.0, 4.0]]), pa.array([1, 2, 3])], ids=["arrays", "numbers"])
def test_a_function_that_always_fails_never_becomes_current(
    run_plan: RunPlan, script: Script, tmp_path: Path, features: pa.Array
) -> None:
    for number, has_signature in enumerate((True, False)):  # also in a version from before signatures
        table = pa.table({"features": features, "label": [1, 2, 3]})
        path = publish_model(tmp_path / str(number), None, table, label="label", has_signature=has_signature)
        source = OVER_COLUMNS.format(body="return 1 / 0", takes="matrix", returns="double")
        kind, message = refusal(run_plan, Register(model_path=path, function="jack", script_path=script(source)))
        assert kind == "ScriptFailed"
        assert re.match(r"function jack failed: ZeroDivisionError: division by zero \(\w+\.py:\d+\)", message)


def test_a_function_of_a_version_without_feature_columns_is_loaded_and_not_tried(
    run_plan: RunPlan, script: Script, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = publish_model(tmp_path / "m", None, NUMBERS, has_signature=False)
    source = "import python_fun\ndef load(path): {body}\npython_fun.batch_udf(lambda X, model: 1 / 0, load=load)"
    kind, message = refusal(
        run_plan, Register(model_path=path, function="jack", script_path=script(source.format(body="return model")))
    )
    assert kind == "ScriptFailed"
    assert "NameError: name 'model' is not defined" in message
    register = Register(model_path=path, function="jack", script_path=script(source.format(body="pass")))
    assert registered(run_plan(register)).registered
    assert "jack was loaded, but not tried: version 1 has no feature columns; give sample_data" in capfd.readouterr().out
    rows = Select(table="rows", sql="select vec_dense(array(1.0)) as features")
    kind, message = error_of(run_plan(rows, replace(register, sample_table="rows")))
    assert (kind, "division by zero" in message) == ("ScriptFailed", True)


def test_text_is_nothing_for_a_matrix(run_plan: RunPlan, script: Script, tmp_path: Path) -> None:
    table = pa.table({"x": [1.0], "city": ["Rome"], "day": pa.array([0], pa.date32())})
    path = publish_model(tmp_path / "m", None, table)
    source = OVER_COLUMNS.format(body="return X[:, 0]", takes="matrix", returns="double")
    assert refusal(run_plan, Register(model_path=path, function="jack", script_path=script(source))) == (
        "InputError",
        "function jack takes a matrix of numbers, and version 1 was trained on city string, day date; "
        "take a DataFrame, with python_fun.batch_udf(predict, input='frame')",
    )


def test_rows_of_every_type_reach_the_function(run_plan: RunPlan, spark: SparkSession, script: Script, tmp_path: Path) -> None:
    """As frames that are the same on the driver and in Spark, nulls included."""
    kinds = [
        ("boolean", [True, None]),
        ("tinyint", [1, None]),
        ("int", [1, None]),
        ("bigint", [2**60 + 1, None]),
        ("float", [0.5, None]),
        ("double", [0.1, None]),
        ("decimal(20,3)", [Decimal("1.125"), None]),
        ("string", ["é", None]),
        ("binary", [b"\x00", None]),
        ("date", [date(2020, 2, 29), None]),
        ("timestamp", [datetime(2020, 1, 1, 12, tzinfo=timezone.utc), None]),
        ("timestamp_ntz", [datetime(2020, 1, 1, 12), None]),
        ("array<double>", [[0.1, None], None]),
        ("array<string>", [["a", None], None]),
        ("map<string,int>", [[("a", 1)], None]),
        ("struct<a:int,b:array<string>>", [{"a": 1, "b": ["x"]}, None]),
        ("vector", [{"type": 0, "size": 3, "indices": [1], "values": [2.0]}, None]),
    ]
    table = pa.table({f"c{place}": pa.array(values, parse_type(kind)) for place, (kind, values) in enumerate(kinds)})
    path = publish_model(tmp_path / "m", None, table)
    body = "return ['|'.join(map(str, row)) + str(list(map(str, X.dtypes))) for row in X.itertuples(index=False)]"
    source = OVER_COLUMNS.format(body=body, takes="frame", returns="string")
    registered(run_plan(Register(model_path=path, function="jack", script_path=script(source))))
