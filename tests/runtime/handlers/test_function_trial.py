"""When two answers count as the same: last digits of single precision may differ, classes may not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlsql_runtime.feed.decoding.sql_types import parse_type
from mlsql_runtime.feed.decoding.vectors import from_serialized
from mlsql_runtime.handlers.function_trial import first_difference

NAN, INF = float("nan"), float("inf")


def vectors(*rows: list[float] | None) -> Any:
    return from_serialized([None if row is None else (1, None, None, row) for row in rows])


@pytest.mark.parametrize(
    ("here", "there", "expected"),
    [
        pytest.param([[1.0, 2.5], None], [[1.0, 2.5], None], None, id="equal"),
        pytest.param([[0.25], None], [[0.25], [0.25]], 1, id="null and a vector"),
        pytest.param([[0.25], [0.25, 1.0]], [[0.25], [0.25]], 1, id="another width"),
        pytest.param([[], [1.5], [1.5, 2.5]], [[], [1.5], [1.5, 2.6]], 2, id="rows of different widths"),
        pytest.param([[0.1234567]], [[0.1234599]], None, id="the last digits"),
        pytest.param([[0.1234567]], [[0.1244567]], 0, id="the third digit"),
        pytest.param([[812.5], [0.0013]], [[812.5], [0.0011]], None, id="what is left where large terms cancel"),
        pytest.param([[812.5, 0.3], [0.1, 0.2]], [[812.5, 0.3], [0.2, 0.21]], 1, id="each column has a scale of its own"),
        pytest.param([[1.0], [3.0], [900_000.0]], [[1.0], [4.0], [900_000.0]], 1, id="a class is another class"),
        pytest.param([[1.0], [0.0]], [[0.9999999], [1e-9]], None, id="a probability that is whole by rounding"),
        pytest.param([[2.0**30]], [[2.0**30 + 64]], None, id="whole numbers beyond single precision"),
        pytest.param([[0.7, 3e-15], [0.2, -1e-15]], [[0.7, 0.0], [0.2, 4e-15]], None, id="what rounding left of nothing"),
        pytest.param([[NAN, INF, -INF, 0.5]], [[NAN, INF, -INF, 0.5]], None, id="no numbers"),
        pytest.param([[INF], [0.5]], [[-INF], [0.5]], 0, id="another infinity"),
        pytest.param([[0.5], [0.5]], [[0.5], [NAN]], 1, id="no number instead of one"),
        pytest.param([], [], None, id="nothing"),
    ],
)
def test_the_first_row_that_differs(
    here: list[list[float] | None], there: list[list[float] | None], expected: int | None
) -> None:
    assert first_difference(vectors(*here), vectors(*there)) == expected
    assert first_difference(vectors(*there), vectors(*here)) == expected


@given(st.integers(5, 40), st.integers(1, 300), st.floats(1e-6, 1e6), st.integers(0, 2**32 - 1))
def test_a_layer_in_single_precision_agrees_with_itself_in_another_order(rows: int, width: int, scale: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    X = (random.random((rows, width)) * scale).astype(np.float32)
    weights = random.normal(size=(width, 3)).astype(np.float32)
    order = random.permutation(width)
    here, there = (vectors(*answer.astype(float).tolist()) for answer in (X @ weights, X[:, order] @ weights[order]))
    assert first_difference(here, there) is None


@pytest.mark.parametrize(
    ("kind", "here", "there", "expected"),
    [
        pytest.param("double", [0.1234567, None], [0.1234599, None], None, id="the last digits"),
        pytest.param("double", [0.1, None], [0.1, 0.2], 1, id="null and a number"),
        pytest.param("double", [NAN, 0.3], [NAN, 0.4], 1, id="no number is one"),
        pytest.param("array<double>", [[1.5, 2.5], None, []], [[1.50001, 2.5], None, []], None, id="arrays"),
        pytest.param("array<double>", [[1.5], [2.5]], [[1.5], [2.5, 1.0]], 1, id="arrays of other lengths"),
        pytest.param("array<double>", [[None, 2.5]], [[None, 2.6]], 0, id="arrays with a null"),
        pytest.param("string", ["yes", None], ["yes", "no"], 1, id="text"),
        pytest.param("bigint", [2**60], [2**60 + 1], 0, id="a whole number"),
        pytest.param("array<string>", [["a"], ["b"]], [["a"], ["b"]], None, id="arrays of text"),
        pytest.param("map<string,double>", [[("a", NAN)]], [[("a", NAN)]], None, id="no number in a map"),
        pytest.param("map<string,double>", [[("a", NAN)]], [[("a", 1.0)]], 0, id="maps"),
    ],
)
def test_any_type_is_compared(kind: str, here: list[Any], there: list[Any], expected: int | None) -> None:
    first, second = (pa.array(values, parse_type(kind)) for values in (here, there))
    assert first_difference(first, second) == expected
    structs = (pa.StructArray.from_arrays([pa.nulls(len(here)), each], ["other", "it"]) for each in (first, second))
    assert first_difference(*structs) == expected


def test_a_null_struct_is_another_than_one_of_nulls() -> None:
    kind = pa.struct({"a": pa.float64()})
    assert first_difference(pa.array([{"a": None}, None], kind), pa.array([{"a": None}, {"a": None}], kind)) == 1
