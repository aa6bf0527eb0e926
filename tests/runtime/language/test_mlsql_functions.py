"""Functions that MLSQL had in queries: those that are not there are refused, those that differ are named."""

from __future__ import annotations

import pytest

from mlsql_runtime.language import check_script, compile_script
from mlsql_runtime.language.unsupported import FUNCTIONS
from mlsql_runtime.plan import FunctionRef


@pytest.mark.parametrize("name", FUNCTIONS)
def test_what_is_not_there_is_refused_where_it_is_called(name: str) -> None:
    (error,) = check_script(f"select 1 as x as t;\nselect {name.upper()} (x) as y from t as u;")
    assert f"script.mlsql:2:8: {FUNCTIONS[name]}" in error.message
    assert " is not supported" in error.message


@pytest.mark.parametrize(
    "query",
    ["select db.parse(x) from t", "select parse from t", "select 'parse(x)' from t", "select x as `sleep` from t /* sleep(1) */"],
)
def test_what_only_looks_like_a_call_passes(query: str) -> None:
    assert check_script(f"select 1 as x as t;\n{query} as u;") == ()


def test_a_function_of_ones_own_wins() -> None:
    parse = FunctionRef(name="parse", model_path="/m", function="parse")
    assert compile_script("select parse(x) from t as u;", functions=[parse]).warnings == ()


def test_functions_with_another_meaning_are_named() -> None:
    warnings = compile_script("select uuid(), array_intersect(array(1), array(1)) as y as t;").warnings
    assert [warning.partition(": ")[2].split("is Spark's")[0] for warning in warnings] == ["uuid() ", "array_intersect "]
