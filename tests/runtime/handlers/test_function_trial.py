"""When two answers count as the same: last digits of single precision may differ, classes may not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

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
