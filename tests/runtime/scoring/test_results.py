"""What predict functions return, as Arrow arrays: every declared type from every container, and what does not fit."""

from __future__ import annotations

import math
from datetime import date, datetime, timezone
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from scipy.sparse import csr_matrix

from mlsql_runtime.feed.decoding.sql_types import name_type, parse_type
from mlsql_runtime.feed.decoding.vectors import VECTOR_TYPE
from mlsql_runtime.scoring.results import WrongResult, place, to_array

STRUCT = "struct<label:string,p:double>"
ROWS = [{"label": "a", "p": 1.0}, {"label": "b", "p": 2.0}, {"label": None, "p": 3.0}]
NOON = pd.to_datetime(["2020-01-01 12:00"] * 3)


@pytest.mark.parametrize(
    ("kind", "returned", "expected"),
    [
        ("double", np.array([1, 2, 3]), [1.0, 2.0, 3.0]),
        ("double", np.ones((3, 1), np.float32), [1.0, 1.0, 1.0]),
        ("double", [1.5, None, 2], [1.5, None, 2.0]),
        ("double", pd.Series([1, None, 3], dtype="Int64"), [1.0, None, 3.0]),
        ("double", pd.DataFrame({"a": [1, 2, 3]}), [1.0, 2.0, 3.0]),
        ("double", [Decimal("0.1"), Decimal("0.7"), None], [0.1, 0.7, None]),
        ("double", pa.array([1, 2, None]), [1.0, 2.0, None]),
        ("double", pa.chunked_array([[1.0], [2.0, 3.0]]), [1.0, 2.0, 3.0]),
        ("int", np.array([1.0, math.nan, 3.0]), [1, None, 3]),
        ("int", np.array([True, False, True]), [1, 0, 1]),
        ("tinyint", (1, 2, 3), [1, 2, 3]),
        ("decimal(10,2)", [1, Decimal("1.10"), None], [Decimal("1.00"), Decimal("1.10"), None]),
        ("decimal(10,2)", np.array([1, 2, 3]), [Decimal("1.00"), Decimal("2.00"), Decimal("3.00")]),
        ("boolean", np.array([True, False, True]), [True, False, True]),
        ("string", np.array(["a", "b", "c"]), ["a", "b", "c"]),
        ("string", np.array(["a", None, math.nan], dtype=object), ["a", None, None]),
        ("string", pd.Series(["a", pd.NA, "c"], dtype="string"), ["a", None, "c"]),
        ("string", pd.Series(["a", "b", "a"], dtype="category"), ["a", "b", "a"]),
        ("string", pd.Categorical(["a", None, "a"]), ["a", None, "a"]),
        ("binary", [b"a", None, b"c"], [b"a", None, b"c"]),
        ("date", [date(2020, 1, 1)] * 3, [date(2020, 1, 1)] * 3),
        ("date", NOON.normalize(), [date(2020, 1, 1)] * 3),
        ("timestamp_ntz", NOON, [datetime(2020, 1, 1, 12)] * 3),
        ("timestamp", NOON.tz_localize("Asia/Tokyo"), [datetime(2020, 1, 1, 3, tzinfo=timezone.utc)] * 3),
        ("array<double>", np.arange(6).reshape(3, 2), [[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]]),
        ("array<double>", csr_matrix(np.eye(3, 2)), [[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]),
        ("array<int>", pd.DataFrame({"a": [1, 2, 3], "b": [4, 5, 6]}), [[1, 4], [2, 5], [3, 6]]),
        ("array<double>", [[1, 2], np.array([3.5]), None], [[1.0, 2.0], [3.5], None]),
        ("array<string>", pd.Series([["a"], [], None]), [["a"], [], None]),
        ("array<string>", np.array([["a"], ["b"], ["c"]]), [["a"], ["b"], ["c"]]),
        ("map<string,int>", [{"a": 1}, {}, None], [[("a", 1)], [], None]),
        (STRUCT, {"p": [1, 2, 3], "label": np.array(["a", "b", None])}, ROWS),
        (STRUCT, pd.DataFrame({"p": [1, 2, 3], "label": ["a", "b", None]}, index=[7, 8, 9]), ROWS),
        ("struct<one:struct<two:int>>", {"one": {"two": [1, 2, None]}}, [{"one": {"two": each}} for each in (1, 2, None)]),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)  # fmt: skip
def test_values_of_the_declared_type(kind: str, returned: Any, expected: list[Any]) -> None:
    found = to_array(returned, parse_type(kind), 3)
    assert name_type(found.type) == kind
    assert found.to_pylist() == expected


@pytest.mark.parametrize(
    "returned",
    [
        pd.Series([1.0, math.nan, 3.0]),
        pd.Series([1.0, math.nan, 3.0], dtype=object),
        np.array([1.0, math.nan, 3.0]),
        [1.0, math.nan, 3.0],
    ],
    ids=["series", "series of objects", "array", "list"],
)
def test_nan_is_a_number_where_numbers_with_a_fraction_are_declared(returned: Any) -> None:
    found = to_array(returned, pa.float64(), 3)
    assert found.null_count == 0
    assert math.isnan(found[1].as_py())


def test_nan_in_arrays_is_a_number_and_other_missing_values_are_null() -> None:
    ragged = to_array([np.array([math.nan, 1.0]), np.array([2.0]), None], parse_type("array<double>"), 3)
    assert math.isnan(ragged[0].as_py()[0])
    assert (ragged.null_count, ragged.flatten().null_count) == (1, 0)
    assert to_array([pd.NA, None, 1.5], pa.float64(), 3).to_pylist() == [None, None, 1.5]


@pytest.mark.parametrize(
    ("kind", "returned", "message"),
    [
        ("int", [1, 2.5, "x"], "expected int for each row, got 2.5 for row 1"),
        ("int", np.array([1, 2**40, 3]), "expected int for each row, got 1099511627776 for row 1"),
        ("int", np.array([1.5, 2, 3]), "expected int for each row, got 1.5 for row 0"),
        ("string", [1, "b", "c"], "expected string for each row, got 1 for row 0"),
        ("string", ["a", "b", "x" * 100, 1][1:], "expected string for each row, got 1 for row 2"),
        ("double", ["x" * 100, 1, 2], f"expected double for each row, got '{'x' * 56}... for row 0"),
        ("boolean", [True, 1, 0], "expected boolean for each row, got 1 for row 1"),
        ("decimal(10,2)", [Decimal("1.105")] * 3, "expected decimal(10,2) for each row, got Decimal('1.105') for row 0"),
        ("date", NOON, "expected date for each row, got Timestamp('2020-01-01 12:00:00') for row 0"),
        ("timestamp", NOON, "expected timestamp for each row, got Timestamp('2020-01-01 12:00:00') for row 0"),
        ("array<int>", np.array([[1, 2], [3, 4.5], [5, 6]]), "expected int for each row, got 4.5 for row 1"),
        ("array<int>", [[1], ["x"], [2]], "expected array<int> for each row, got ['x'] for row 1"),
        ("array<int>", np.ones((2, 2)), "expected 3 rows of array<int>, got shape (2, 2)"),
        ("map<string,int>", [{"a": "x"}, {}, None], "expected map<string,int> for each row, got {'a': 'x'} for row 0"),
        ("double", [1, 2], "expected 3 values of type double, got 2"),
        ("double", np.ones((3, 2)), "expected 3 values of type double, got ndarray of shape (3, 2)"),
        ("double", None, "expected 3 values of type double, got NoneType None"),
        ("string", "abc", "expected 3 values of type string, got str 'abc'"),
        (STRUCT, 5, "expected a DataFrame or a dict of arrays with label, p, got int 5"),
        (STRUCT, {"label": ["a"] * 3, "prob": [1] * 3}, "a DataFrame or a dict of arrays with label, p, got label, prob"),
        (STRUCT, {"lable": ["a"] * 3, "p": [1] * 3}, "got lable, p; did you mean 'label'?"),
        (STRUCT, pd.DataFrame([["a", 1.0, 2.0]] * 3, columns=["label", "p", "p"]), "got label, p, p"),
        (STRUCT, {"label": ["a", "b", 7], "p": [1, 2, 3]}, "expected string for each row in 'label', got 7 for row 2"),
        (STRUCT, {"label": ["a", "b"], "p": [1, 2, 3]}, "expected 3 values of type string in 'label', got 2"),
        ("vector", ["a", "b", "c"], "expected an array of numbers of shape (3,) or (3, k), got values of type <U1"),
    ],
)  # fmt: skip
def test_the_first_value_that_does_not_fit_is_shown(kind: str, returned: Any, message: str) -> None:
    with pytest.raises(WrongResult) as caught:
        to_array(returned, parse_type(kind), 3)
    assert message in str(caught.value)


@pytest.mark.parametrize("kind", ["double", "string", "array<double>", STRUCT, "vector"])
def test_rows_are_placed_between_nulls(kind: str) -> None:
    values = {"string": ["a", "b"], "array<double>": [[1], [2]], STRUCT: {"label": ["a", "b"], "p": [1, 2]}}
    array = to_array(values.get(kind, [1, 2]), parse_type(kind), 2)
    first, second = array.to_pylist()
    placed = place(array, np.array([True, False, True, False, True]))
    assert placed.type == array.type
    assert placed.to_pylist() == [None, first, None, second, None]
    assert place(array.slice(0, 0), np.array([True])).to_pylist() == [None]


@pytest.mark.parametrize("kind", [pa.float64(), VECTOR_TYPE], ids=["double", "vector"])
def test_the_only_row_of_a_batch_may_be_squeezed(kind: pa.DataType) -> None:
    """SPARK-42250: functions squeeze what a network returns."""
    squeezed = np.squeeze(np.array([[5.0]]))
    assert to_array(squeezed, kind, 1).to_pylist() == to_array(np.array([5.0]), kind, 1).to_pylist()
    with pytest.raises(WrongResult):
        to_array(squeezed, kind, 2)
