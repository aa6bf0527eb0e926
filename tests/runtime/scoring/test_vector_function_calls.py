"""Which vector functions a query calls, and which function of a name it gets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.vectors import Ask, argmax
from support.workbench import WIDTH

from mlsql_runtime.plan import FunctionRef
from mlsql_runtime.scoring.vector_functions import FUNCTIONS, find_called

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@pytest.mark.parametrize(
    ("sql", "called"),
    [
        ("select VEC_Size (features) from data", {"vec_size"}),
        ("select `Vec_size` ( features) from data", {"vec_size"}),
        ("select vec_size -- of what\n /* of\nthis */ (features) from data", {"vec_size"}),
        ("select (vec_size(vec_dense(array(1)))), onehot(1,2) from data", {"vec_size", "vec_dense", "onehot"}),
        ("select my_vec_size(features), vec_sizes(features), onehot from data", set()),
        ("select label as vec_size from data", set()),
    ],
)
def test_calls_are_found_in_any_spelling(sql: str, called: set[str]) -> None:
    assert find_called(sql) == called


def test_any_spelling_runs_and_what_is_not_called_is_not_registered(ask: Ask, spark: SparkSession) -> None:
    assert set(ask("select `Vec_Size` /* width */ (features) from data")) == {WIDTH}
    assert spark.catalog.functionExists("vec_size")
    assert not any(spark.catalog.functionExists(name) for name in FUNCTIONS if name != "vec_size")
    assert set(ask("select VEC_SIZE(features) from data")) == {WIDTH}


def test_a_function_that_the_session_knows_wins(ask: Ask, spark: SparkSession) -> None:
    spark.udf.register("Vec_Size", lambda vector: -5, "int")
    assert set(ask("select vec_size(features) from data")) == {-5}


def test_a_registered_function_of_the_same_name_wins(ask: Ask, served: str) -> None:
    assert set(ask("select vec_size(features) from data")) == {WIDTH}
    ref = FunctionRef(name="Vec_Size", model_path=served, function="batch")
    answers = ask("select vec_size(features) from data", (ref,))
    assert {tuple(answer) for answer in answers} == {(0.0,), (1.0,)}


def test_composed_with_each_other_and_with_a_model(ask: Ask, served: str) -> None:
    jack = (FunctionRef(name="jack", model_path=served, function="batch"),)
    rows = ask(
        "select label, features, jack(features), vec_argmax(jack(features)), vec_array(jack(features)), "
        "vec_array(vec_concat(array(features, vec_dense(array(label))))), "
        "vec_argmax(vec_concat(array(jack(features), onehot(1, 2)))) from data",
        jack,
    )
    assert len(rows) == 100
    for label, features, p, first, array, longer, place in rows:
        assert (first, array) == (0, p.toArray().tolist())
        assert longer == [*features.toArray().tolist(), label]
        assert place == argmax([p[0], 0.0, 1.0])
    assert sum(ask("select count(*) from data where vec_array(jack(features))[0] = label", jack)) > 90


def test_calls_inside_each_other_share_a_python_worker(ask: Ask, spark: SparkSession, served: str) -> None:
    jack = (FunctionRef(name="jack", model_path=served, function="batch"),)
    rows = ask("select vec_argmax(jack(features)), vec_size(jack(features)) from data", jack)
    assert set(rows) == {(0, 1)}
    assert spark.table("answer")._jdf.queryExecution().executedPlan().toString().count("ArrowEvalPython") == 1
