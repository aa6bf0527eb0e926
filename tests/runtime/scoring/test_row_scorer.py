"""The row contract: what a function is given, and what it may answer."""

from __future__ import annotations

import pickle
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlsql_runtime.errors import ScriptFailed
from mlsql_runtime.feed.decoding.vectors import from_serialized, iter_serialized
from mlsql_runtime.scoring.arguments import Columns
from mlsql_runtime.scoring.row_scorer import RowScorer, pickle_rows

NUMBERS = st.floats(allow_nan=False)
DENSE_ROWS = st.lists(NUMBERS, max_size=300).map(lambda values: (1, None, None, values))
SPARSE_ROWS = st.dictionaries(st.integers(0, 2**31 - 2), NUMBERS, max_size=20).map(
    lambda entries: (0, 2**31 - 1, sorted(entries), [entries[index] for index in sorted(entries)])
)


@given(
    rows=st.one_of(st.lists(DENSE_ROWS), st.lists(SPARSE_ROWS), st.lists(st.one_of(st.none(), DENSE_ROWS, SPARSE_ROWS))),
    start=st.integers(0, 3),
)
def test_pickles_made_of_arrays_are_those_of_python_objects(rows: list[Any], start: int) -> None:
    vectors = from_serialized(rows).slice(start)
    found = [None if row is None else pickle.loads(row) for row in pickle_rows(vectors)]
    assert found == rows[start:]
    assert repr(found) == repr(list(iter_serialized(vectors)))  # the types, too, and the sign of a zero


def test_a_row_comes_with_its_partition_the_model_and_on_request_the_parameters() -> None:
    seen: list[Any] = []

    def predict(index: int, s: Any) -> Any:
        seen.append((index, [pickle.loads(item) for item in s]))
        return [(1, None, None, [float(len(seen))])]

    vectors = from_serialized([(1, None, None, [1.5, 0.0, 2.5]), None, (0, 3, [1], [2.0])])
    predictions = RowScorer("jack", predict, "/model", None).score(7, Columns(("features",), (vectors,)), 3)
    assert list(iter_serialized(predictions)) == [(1, None, None, [1.0]), None, (1, None, None, [2.0])]
    RowScorer("jack", predict, "/model", {"fitParam.0.alpha": "1"}).score(8, Columns(("features",), (vectors.slice(0, 1),)), None)
    assert seen == [
        (7, [(1, None, None, [1.5, 0.0, 2.5]), ["/model"]]),
        (7, [(0, 3, [1], [2.0]), ["/model"]]),
        (8, [(1, None, None, [1.5, 0.0, 2.5]), ["/model"], [{"fitParam.0.alpha": "1"}]]),
    ]


@pytest.mark.parametrize(
    "returned", [[], [4.0], [(1, 2)], [(1, None, None, "x")], [(1, None, None, [1.0])] * 2, [("x", 1, [1], [1.0])]]
)
def test_a_prediction_other_than_a_vector_is_shown(returned: Any) -> None:
    columns = Columns(("features",), (from_serialized([(1, None, None, [1.0])]),))
    with pytest.raises(ScriptFailed, match=r"function jack returned .*expected a list with one serialised vector"):
        RowScorer("jack", lambda index, s: returned, "/model", None).score(0, columns, 1)


def test_columns_of_numbers_are_a_vector() -> None:
    columns = Columns(("a", "b"), (pa.array([1, None, 3], pa.int32()), pa.array([0.5, 1.5, 2.5])))

    def predict(index: int, s: Any) -> Any:
        return [pickle.loads(next(s))]

    predictions = RowScorer("jack", predict, "/model", None).score(0, columns, 2)
    assert list(iter_serialized(predictions)) == [(1, None, None, [1.0, 0.5]), None, (1, None, None, [3.0, 2.5])]
