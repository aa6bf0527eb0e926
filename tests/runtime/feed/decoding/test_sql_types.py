"""Spark's types as Arrow has them: names there and back, and which values of one type fit into another."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyspark.ml.linalg import VectorUDT
from pyspark.sql import types as T
from pyspark.sql.pandas.types import from_arrow_type

from mlsql_runtime.feed.decoding.sql_types import holds, is_same, name_type, parse_type, widen

ATOMS = [
    T.BooleanType(),
    T.ByteType(),
    T.ShortType(),
    T.IntegerType(),
    T.LongType(),
    T.FloatType(),
    T.DoubleType(),
    T.StringType(),
    T.BinaryType(),
    T.DateType(),
    T.TimestampType(),
    T.TimestampNTZType(),
    T.DayTimeIntervalType(),
    T.DecimalType(10, 2),
    VectorUDT(),
]
NAMES = st.text("ab _()é", min_size=1, max_size=4)
TYPES = st.recursive(
    st.sampled_from(ATOMS),
    lambda inner: st.one_of(
        inner.map(T.ArrayType),
        st.builds(T.MapType, st.sampled_from(ATOMS[:9]), inner),
        st.lists(st.tuples(NAMES, inner), min_size=1, max_size=4).map(
            lambda fields: T.StructType([T.StructField(name, kind) for name, kind in fields])
        ),
    ),
    max_leaves=6,
)


@given(TYPES)
def test_every_type_of_spark_keeps_its_name(kind: Any) -> None:
    assert name_type(parse_type(kind.simpleString())) == kind.simpleString()


@pytest.mark.parametrize("kind", ATOMS[:-1], ids=str)
def test_the_arrow_type_is_the_one_that_spark_makes(kind: Any) -> None:
    assert from_arrow_type(parse_type(kind.simpleString()), prefer_timestamp_ntz=True) == kind


def test_a_type_that_arrow_does_not_have_is_only_itself() -> None:
    variant = parse_type("variant")
    assert name_type(variant) == "variant"
    assert holds(variant, parse_type("variant"))
    assert not holds(variant, pa.string())
    assert name_type(parse_type("string collate UTF8_LCASE")) == "string"


def test_the_zone_and_what_may_be_null_make_no_difference() -> None:
    assert is_same(parse_type("timestamp"), pa.timestamp("us", "Europe/Berlin"))
    assert not is_same(parse_type("timestamp"), parse_type("timestamp_ntz"))
    assert is_same(parse_type("array<double>"), pa.large_list(pa.field("item", pa.float64(), nullable=False)))


@pytest.mark.parametrize(
    ("wanted", "given"),
    [
        ("bigint", "int"),
        ("int", "tinyint"),
        ("double", "int"),
        ("double", "bigint"),
        ("double", "float"),
        ("double", "decimal(15,3)"),
        ("float", "smallint"),
        ("decimal(12,2)", "int"),
        ("decimal(12,4)", "decimal(10,2)"),
        ("array<double>", "array<int>"),
        ("string", "void"),
        ("struct<a:int>", "struct<a:int>"),
    ],
)
def test_what_loses_nothing_is_taken(wanted: str, given: str) -> None:
    assert holds(parse_type(wanted), parse_type(given))


@pytest.mark.parametrize(
    ("wanted", "given"),
    [
        ("int", "bigint"),
        ("int", "double"),
        ("int", "boolean"),
        ("double", "boolean"),
        ("double", "string"),
        ("string", "int"),
        ("float", "double"),
        ("double", "decimal(16,3)"),
        ("decimal(10,2)", "int"),
        ("decimal(10,2)", "decimal(10,3)"),
        ("timestamp", "date"),
        ("timestamp", "timestamp_ntz"),
        ("array<int>", "array<double>"),
        ("array<int>", "int"),
        ("struct<a:int>", "struct<b:int>"),
    ],
)
def test_what_may_lose_something_is_not(wanted: str, given: str) -> None:
    assert not holds(parse_type(wanted), parse_type(given))


@pytest.mark.parametrize(
    ("values", "given", "wanted", "expected"),
    [
        ([1, None, 3], "int", "bigint", [1, None, 3]),
        ([1, None], "int", "double", [1.0, None]),
        ([2**53, -(2**53)], "bigint", "double", [2.0**53, -(2.0**53)]),
        ([Decimal("0.1"), None, Decimal("2.3")], "decimal(4,1)", "double", [0.1, None, 2.3]),
        ([[1, None], None, [], [2]], "array<int>", "array<double>", [[1.0, None], None, [], [2.0]]),
        ([[Decimal("0.1")], None], "array<decimal(2,1)>", "array<double>", [[0.1], None]),
        ([None, None], "void", "string", [None, None]),
    ],
)
def test_values_are_widened(values: list[Any], given: str, wanted: str, expected: list[Any]) -> None:
    column = pa.array(values, parse_type(given))
    for part, rest in ((column, expected), (column.slice(1), expected[1:])):
        found = widen(part, parse_type(wanted))
        assert name_type(found.type) == wanted
        assert found.to_pylist() == rest


def test_a_whole_number_that_a_double_does_not_have_is_refused() -> None:
    with pytest.raises(pa.ArrowInvalid, match="9007199254740993"):
        widen(pa.array([1, 2**53 + 1]), pa.float64())
