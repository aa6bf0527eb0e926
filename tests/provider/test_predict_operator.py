"""The predict operator: arguments in, statements out."""

from __future__ import annotations

from typing import Any

import pytest
from support.operators import LOAD, REGISTERED, predict

from mlsql_runtime.plan import (
    FunctionRef,
    Load,
    Predict,
    PythonEnv,
    Save,
    Select,
)

REFUSED = {"function": "jill", "model_path": "/n", "function_version": None, "registered": False, "reason": "low"}
JACK = FunctionRef(name="jack", model_path="/m", function="jack", function_version=4)
JILL = FunctionRef(name="jill", model_path="/n", function="jill")


@pytest.mark.parametrize(
    ("functions", "refs"),
    [
        ({"jill": "/n"}, (JILL,)),
        ({"joe": REGISTERED}, (FunctionRef(name="joe", model_path="/m", function="jack", function_version=4),)),
        ('{"jill": "/n"}', (JILL,)),
        (REGISTERED, (JACK,)),
        ([REGISTERED, REFUSED], (JACK, JILL)),
        (None, ()),
    ],
)
def test_predict_takes_functions_by_path_and_from_register_tasks(functions: Any, refs: tuple[FunctionRef, ...]) -> None:
    assert predict(functions=functions, sql="select 1 from data").build_job().statements == (
        LOAD,
        Select(table="selected", sql="select 1 from data", functions=refs),
        Save(table="selected", format="parquet", path="/o", mode="overwrite"),
    )


def test_predict_with_the_script_of_the_training() -> None:
    operator = predict(model_path="/m", python_script_path="{}", script_options={"threshold": 0.5})
    statement = operator.build_job().statements[1]
    assert statement == Predict(table="data", model_path="/m", result="predicted", others={"threshold": "0.5"})
    assert statement.outline.secret_values == {"threshold": "0.5"}  # masked by name


def test_predict_with_a_batch_script() -> None:
    output = {"format": "json", "path": "/o", "mode": "append", "partition_by": "day", "options": {"compression": "gzip"}}
    operator = predict(
        model_path="/m",
        python_script_path="/b.py",
        script_params={"n": 2},
        model_version=1,
        seed="7",
        same_rows=False,
        output=output,
    )
    assert operator.build_job().statements == (
        LOAD,
        Predict(
            table="data",
            model_path="/m",
            script_path="/b.py",
            result="predicted",
            model_version=1,
            params={"n": "2"},
            python=PythonEnv(seed=7),
            same_rows=False,
        ),
        Save(table="predicted", format="json", path="/o", mode="append", options={"compression": "gzip"}, partition_by=("day",)),
    )


@pytest.mark.parametrize(
    ("output", "save"),
    [
        ("table.`shop.scores`", {"mode": "overwrite"}),
        ({"table": "shop.scores", "mode": "append"}, {"mode": "append"}),
        (
            '{"table": "shop.scores", "format": "delta", "partition_by": "day", "options": {"mergeSchema": true}}',
            {"mode": "overwrite", "using": "delta", "partition_by": ("day",), "options": {"mergeSchema": "true"}},
        ),
    ],
)
def test_predictions_of_a_catalogs_table_are_saved_to_another(output: Any, save: dict[str, Any]) -> None:
    query = "select jack(features) as p from shop.orders"
    operator = predict(data=None, functions=REGISTERED, sql=query, output=output)
    assert operator.build_job().statements == (
        Select(table="selected", sql=query, functions=(JACK,)),
        Save(table="selected", format="table", path="shop.scores", **save),
    )


def test_a_table_of_a_catalog_is_data() -> None:
    operator = predict(data={"table": "shop.orders", "options": {"versionAsOf": 3}}, sql="select x from data")
    load = Load(table="data", format="table", path="shop.orders", options={"versionAsOf": "3"})
    assert operator.build_job().statements[0] == load
