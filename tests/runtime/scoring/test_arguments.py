"""What a query passes to a function: columns by position, a struct by name, a row of a matrix; and everything else."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from mlsql_runtime import codec
from mlsql_runtime.errors import DataError, InputError
from mlsql_runtime.feed.decoding.sql_types import name_type, parse_type
from mlsql_runtime.feed.decoding.vectors import from_serialized, iter_serialized
from mlsql_runtime.scoring.arguments import Argument, Parameters
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store.function_records import FunctionRecord

VECTORS = from_serialized([(1, None, None, [1.0, 2.0]), None])


def parameters(is_matrix: bool = False, **columns: str) -> Parameters:
    return Parameters("jack", tuple(columns), tuple(map(parse_type, columns.values())), is_matrix, is_matrix)


PEOPLE = parameters(age="int", income="double", city="string")
PLACES = parameters(is_matrix=True, x="double", y="double")


def collected(takes: Parameters, *arguments: pa.Array) -> dict[str, tuple[str, list[Any]]]:
    """Return the columns that a function gets: type and values by name."""
    columns = takes.match([Argument(argument.type) for argument in arguments]).collect(arguments)
    return {name: (name_type(array.type), array.to_pylist()) for name, array in zip(columns.names, columns.arrays, strict=True)}


def refused(takes: Parameters, *kinds: str | Argument) -> str:
    with pytest.raises(InputError) as caught:
        takes.match([kind if isinstance(kind, Argument) else Argument(parse_type(kind)) for kind in kinds])
    return str(caught.value).removeprefix("function jack is called with what it does not take: ")


def test_columns_by_position_are_widened() -> None:
    found = collected(PEOPLE, pa.array([1, None], pa.int8()), pa.array([Decimal("0.1"), None]), pa.array(["x", None]))
    assert found == {"age": ("int", [1, None]), "income": ("double", [0.1, None]), "city": ("string", ["x", None])}


def test_a_struct_is_taken_by_name_in_any_order_and_case() -> None:
    fields = {
        "more": pa.array([[1], []]),
        "City": pa.array(["x", "y"]),
        "income": pa.array([1, 2]),
        "age": pa.array([3, 4], pa.int32()),
    }
    struct = pa.StructArray.from_arrays(list(fields.values()), list(fields))
    expected = {"age": ("int", [3, 4]), "income": ("double", [1.0, 2.0]), "city": ("string", ["x", "y"])}
    assert collected(PEOPLE, struct) == expected
    assert collected(PEOPLE, struct.slice(1)) == {name: (kind, values[1:]) for name, (kind, values) in expected.items()}


def test_a_null_struct_has_null_columns() -> None:
    struct = pa.array([{"x": 1.0, "y": 2.0}, None])
    assert collected(PLACES, struct) == {"x": ("double", [1.0, None]), "y": ("double", [2.0, None])}


def test_the_exact_name_wins_over_another_case() -> None:
    struct = pa.StructArray.from_arrays([pa.array([1.0]), pa.array([2.0]), pa.array([3.0])], ["X", "x", "y"])
    assert collected(PLACES, struct)["x"] == ("double", [2.0])


def test_a_matrix_takes_a_vector_or_an_array_as_its_row() -> None:
    for takes in (PLACES, parameters(is_matrix=True), parameters(is_matrix=True, features="vector")):
        call = takes.match([Argument(VECTORS.type)])
        assert list(iter_serialized(call.collect([VECTORS]).arrays[0])) == list(iter_serialized(VECTORS))
        assert list(collected(takes, pa.array([[1, 2], None])).values()) == [("array<bigint>", [[1, 2], None])]
        decimals = pa.array([[Decimal("0.1"), Decimal("0.7")]])
        assert list(collected(takes, decimals).values()) == [("array<double>", [[0.1, 0.7]])]


def test_a_frame_gets_arrays_as_the_vectors_of_its_training_and_the_other_way_round() -> None:
    vectors = parameters(features="vector").match([Argument(pa.list_(pa.int32()))]).collect([pa.array([[1, 2], None])])
    assert list(iter_serialized(vectors.arrays[0])) == list(iter_serialized(VECTORS))
    assert collected(parameters(features="array<double>"), VECTORS) == {"features": ("array<double>", [[1.0, 2.0], None])}


def test_a_single_column_may_be_a_struct_or_a_field_of_one() -> None:
    point = parameters(point="struct<x:double>")
    values = pa.array([{"x": 1.0}])
    assert collected(point, values)["point"][1] == [{"x": 1.0}]
    assert collected(point, pa.StructArray.from_arrays([values], ["point"]))["point"][1] == [{"x": 1.0}]


def test_untyped_nulls_are_nulls_of_the_columns_type() -> None:
    nulls = pa.nulls(2)
    assert collected(PEOPLE, nulls, nulls, nulls)["city"] == ("string", [None, None])
    assert collected(parameters(is_matrix=True, features="vector"), nulls) == {"features": ("vector", [None, None])}
    assert collected(parameters(is_matrix=True), nulls) == {"features": ("vector", [None, None])}


TAKES = "expected age int, income double, city string, in this order or as a struct"


@pytest.mark.parametrize(
    ("kinds", "problems", "got"),
    [
        pytest.param(
            ["bigint", "double", "double"],
            "'age', argument 1, is bigint, expected int; 'city', argument 3, is double, expected string",
            "bigint, double, double",
            id="types",
        ),
        pytest.param(["int", "double"], "2 columns, expected 3", "int, double", id="too few"),
        pytest.param([], "0 columns, expected 3", "no arguments", id="none"),
        pytest.param(["vector"], "1 column, expected 3", "vector", id="a vector for a frame"),
        pytest.param(
            ["struct<ctiy:string,age:string,income:float,income:double>"],
            "'age' is string, expected int; 'income' occurs 2 times; 'city' is missing, the nearest is 'ctiy'",
            "a struct of ctiy string, age string, income float, income double",
            id="fields",
        ),
        pytest.param(
            [Argument(pa.float64(), "income"), Argument(pa.int32(), "AGE"), Argument(pa.string(), "city")],
            "argument 1 is the column 'income', expected 'age'; argument 2 is the column 'AGE', expected 'income'",
            "income double, AGE int, city string",
            id="order",
        ),
    ],
)
def test_every_wrong_column_is_named(kinds: list[Any], problems: str, got: str) -> None:
    assert refused(PEOPLE, *kinds) == f"{problems}; {TAKES}, got {got}"


def test_a_column_of_another_name_is_taken_by_position() -> None:
    assert PEOPLE.match([Argument(pa.int32(), "years"), Argument(pa.float64(), "pay"), Argument(pa.string(), "city")])


def test_without_a_signature_only_a_row_is_taken() -> None:
    assert refused(parameters(is_matrix=True), "int", "int") == "expected a vector or an array of numbers, got int, int"
    assert (
        refused(parameters(is_matrix=True), "struct<a:int>") == "expected a vector or an array of numbers, got a struct of a int"
    )


def test_a_package_from_before_signatures_takes_a_row(local_root: Location, package: Callable[..., FunctionRecord]) -> None:
    document = json.loads(codec.dumps(package(local_root, "jack", 1)))
    for added in ("input", "returns", "signature"):
        del document[added]
    record = codec.loads(FunctionRecord, json.dumps(document), "the record of an older version")
    assert Parameters.of(record) == parameters(is_matrix=True)
    assert record.returns == "vector"


def test_a_long_signature_is_shortened() -> None:
    wide = parameters(**{f"c{number}": "double" for number in range(100)})
    assert refused(wide, "int").endswith("c18 double, c19 double and 80 more, in this order or as a struct, got int")


def test_a_number_that_the_columns_type_cannot_hold_is_an_error() -> None:
    call = PLACES.match([Argument(pa.int64()), Argument(pa.int64())])
    with pytest.raises(DataError, match=r"function jack: column 'y' cannot be double without loss: .*9007199254740993"):
        call.collect([pa.array([1]), pa.array([2**53 + 1])])
