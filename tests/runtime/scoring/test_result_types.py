"""The types of functions' results: each arrives in SQL, and what cannot be returned or used so is refused."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from support.models import publish_model
from support.predict_scripts import OVER_COLUMNS, error_of
from support.workbench import RunPlan, Script

from mlsql_runtime.plan import FunctionRef, Register, Select

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

RETURNED = {
    "vector": "return X",
    "struct<a: double>": "return {'a': X[:, 0]}",
    "array<double>": "return X",
    "string": "return ['a'] * len(X)",
}


@pytest.fixture(scope="module")
def returning(run_plan: RunPlan, tmp_path_factory: pytest.TempPathFactory) -> dict[str, FunctionRef]:
    """A function of each type of ``RETURNED``, which queries call ``jack``."""
    folder = tmp_path_factory.mktemp("returning")
    path = publish_model(folder / "m", None, pa.table({"x": [1.0, 2.0], "y": [1.0, 2.0]}))
    functions = {returns: f"f{place}" for place, returns in enumerate(RETURNED)}
    for returns, function in functions.items():
        (folder / f"{function}.py").write_text(OVER_COLUMNS.format(body=RETURNED[returns], takes="matrix", returns=returns))
    registers = (Register(model_path=path, function=name, script_path=f"{folder}/{name}.py") for name in functions.values())
    run_plan(*registers).raise_for_error()
    return {returns: FunctionRef(name="jack", model_path=path, function=name) for returns, name in functions.items()}


@pytest.mark.parametrize(
    ("returns", "sql", "message"),
    [
        ("vector", "jack(x, y) = 1", "jack returns a vector: vec_array(jack(…))[0] is its first number"),
        ("vector", "jack(x, y) + 1", "jack returns a vector"),
        ("vector", "jack(x, y)[0]", "jack returns a vector"),
        ("struct<a: double>", "jack(x, y) = 1", "jack returns struct<a:double>: jack(…).a is its first field"),
        ("array<double>", "jack(x, y) + 1", "jack returns array<double>: jack(…)[0] is its first value"),
        ("string", "jack(x, y).label", "jack returns string"),
    ],
)
def test_a_result_that_is_used_as_another_type_says_what_it_is(
    run_plan: RunPlan, returning: dict[str, FunctionRef], returns: str, sql: str, message: str
) -> None:
    query = f"select {sql} from (select 1.0D as x, 2.0D as y)"
    kind, found = error_of(run_plan(Select(table="out", sql=query, functions=(returning[returns],))))
    assert kind == "InputError"
    assert found.startswith("Spark: ")
    assert message in found


RESULTS = [
    ("double", "return X.sum(axis=1)", [3.0, None, 7.0]),
    ("float", "return X.sum(axis=1).astype('float32')", [3.0, None, 7.0]),
    ("int", "return X.sum(axis=1)", [3, None, 7]),
    ("bigint", "return [int(row.sum()) for row in X]", [3, None, 7]),
    ("decimal(5,1)", "return X.sum(axis=1)", ["3.0", None, "7.0"]),
    ("boolean", "return X[:, 0] > 2", [False, None, True]),
    ("string", "import numpy; return numpy.where(X[:, 0] > 2, 'big', 'small')", ["small", None, "big"]),
    ("binary", "return [b'x' * int(n) for n in X[:, 0]]", [b"x", None, b"xxx"]),
    ("date", "import pandas; return pandas.to_datetime(['2020-01-01'] * len(X))", ["2020-01-01", None, "2020-01-01"]),
    ("timestamp", "import pandas; return pandas.to_datetime(['2020'] * len(X), utc=True)", ["2020", None, "2020"]),
    ("array<double>", "return X", [[1.0, 2.0], None, [3.0, 4.0]]),
    ("array<string>", "return [['a'] * int(n) for n in X[:, 0]]", [["a"], None, ["a", "a", "a"]]),
    ("map<string,int>", "return [{'n': int(n)} for n in X[:, 0]]", [{"n": 1}, None, {"n": 3}]),
    ("struct<a: int, b: array<double>>", "return {'b': X, 'a': X[:, 0]}", [(1, [1.0, 2.0]), None, (3, [3.0, 4.0])]),
    ("a int, b string", "import pandas; return pandas.DataFrame({'a': X[:, 0], 'b': 'x'})", [(1, "x"), None, (3, "x")]),
    ("vector", "return X", [[1.0, 2.0], None, [3.0, 4.0]]),
]  # fmt: skip
CALLS = {"decimal(5,1)": "string({})", "date": "string({})", "timestamp": "string(year({}))"}


@pytest.fixture(scope="module")
def results(run_plan: RunPlan, spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Any]]:
    """The results of a function of each type, by type: one query calls all of them."""
    folder = tmp_path_factory.mktemp("results")
    path = publish_model(folder / "m", None, pa.table({"x": [1.0, 2.0, 3.0], "y": [2.0, 3.0, 4.0]}))
    registers, calls = [], []
    for place, (returns, body, _) in enumerate(RESULTS):
        file = folder / f"predict{place}.py"
        file.write_text(OVER_COLUMNS.format(body=body, takes="matrix", returns=returns))
        registers.append(Register(model_path=path, function=f"f{place}", script_path=str(file)))
        calls.append(CALLS.get(returns, "{}").format(f"f{place}(x, y)") + f" as p{place}")
    rows = "select * from values (1, 1.0D, 2.0D), (2, null, 1.0D), (3, 3.0D, 4.0D) as t(id, x, y)"
    query = Select(table="out", sql=f"select {', '.join(calls)} from ({rows}) order by id")
    run_plan(*registers, query).raise_for_error()
    found = zip(*spark.table("out").collect(), strict=True)
    return {returns: list(column) for (returns, *_), column in zip(RESULTS, found, strict=True)}


@pytest.mark.parametrize(("returns", "expected"), [(returns, expected) for returns, _, expected in RESULTS])
def test_every_type_of_result_arrives(results: dict[str, list[Any]], returns: str, expected: list[Any]) -> None:
    found = [each.toArray().tolist() if hasattr(each, "toArray") else each for each in results[returns]]
    assert found == expected


@pytest.mark.parametrize(
    ("returns", "message"),
    [
        ("nonsense", "returns='nonsense' is not a type of Spark; expected for example 'vector', 'double'"),
        ("struct<a: int, A: double>", "returns='struct<a: int, A: double>' has two fields 'a'"),
        ("array<struct<a: int, a: int>>", "has two fields 'a'"),
        ("struct<`a,b`: int>", "the name 'a,b' holds one of , : < >"),
        ("interval year to month", "functions cannot return interval year to month"),
        ("void", "functions cannot return void"),
    ],
)
def test_a_type_that_no_function_can_return_is_refused(
    run_plan: RunPlan, script: Script, tmp_path: Path, returns: str, message: str
) -> None:
    path = publish_model(tmp_path / "m", None, pa.table({"x": [1.0, 2.0]}))
    source = OVER_COLUMNS.format(body="return X", takes="matrix", returns=returns)
    kind, found = error_of(run_plan(Register(model_path=path, function="jack", script_path=script(source))))
    assert kind == "InputError"
    assert message in found
    assert not (tmp_path / "m/_functions").exists()
