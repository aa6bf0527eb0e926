"""The batch contract: vectors of every kind to a matrix and back, and answers that are none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array, csr_matrix, issparse

from mlsql_runtime.errors import DataError, ScriptFailed
from mlsql_runtime.feed.decoding.vectors import SPARK_VECTOR_TYPE, from_serialized, iter_serialized, to_dense
from mlsql_runtime.scoring import batch_scorer as batches
from mlsql_runtime.scoring.arguments import Columns
from mlsql_runtime.scoring.batch_scorer import BatchFunction, BatchScorer
from mlsql_runtime.store.function_types import FunctionInput

WIDTH = 4
NUMBERS = st.floats(-1e6, 1e6)
DENSE_ROWS = st.lists(NUMBERS, min_size=WIDTH, max_size=WIDTH).map(lambda values: (1, None, None, values))
SPARSE_ROWS = st.dictionaries(st.integers(0, WIDTH - 1), NUMBERS).map(
    lambda entries: (0, WIDTH, sorted(entries), [entries[index] for index in sorted(entries)])
)
ROWS = st.one_of(
    st.lists(DENSE_ROWS), st.lists(SPARSE_ROWS), st.lists(st.one_of(st.none(), DENSE_ROWS, SPARSE_ROWS)), st.lists(st.none())
)


class Scorer:
    """A function over vectors."""

    def __init__(self, predict: Callable[[Any, Any], Any], sparse: bool | None = None) -> None:
        self.scorer = BatchScorer("jack", BatchFunction(predict, lambda directory: directory, sparse), "/model")

    def score(self, vectors: pa.StructArray, width: int) -> pa.Array:
        return self.scorer.score(0, Columns(("features",), (vectors,)), width)


def numbers(row: Any) -> list[float]:
    """A serialised vector as all its numbers."""
    filled = np.zeros(WIDTH)
    if row[0] == 1:
        return list(row[3])
    filled[row[2]] = row[3]
    return filled.tolist()


def dense(count: int, width: int = 3) -> pa.StructArray:
    return from_serialized([(1, None, None, [float(row * width + at) for at in range(width)]) for row in range(count)])


class OfColumns:
    """A function over the columns ``a`` and ``b``."""

    def __init__(self, predict: Callable[[Any, Any], Any], takes: FunctionInput, returns: str = "double") -> None:
        self.scorer = BatchScorer("jack", BatchFunction(predict, lambda directory: directory, None), "/model", takes, returns)

    def score(self, a: pa.Array, b: pa.Array) -> list[Any]:
        found: list[Any] = self.scorer.score(0, Columns(("a", "b"), (a, b)), 2).to_pylist()
        return found


@given(rows=ROWS, sparse=st.sampled_from([None, True, False]), start=st.integers(0, 3), cells=st.sampled_from([5, 1 << 22]))
def test_each_row_is_answered_in_its_place(rows: list[Any], sparse: bool | None, start: int, cells: int) -> None:
    """Of slices too, whatever kinds of vectors and nulls there are; several columns come back as a vector of as many."""
    seen = []

    def predict(X: Any, model: Any) -> Any:
        seen.append((issparse(X), X.shape[0]))
        return X.toarray() * 2 if issparse(X) else X * 2

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batches, "CELLS", cells)  # a smaller piece at a time than 32 MiB
        vectors = from_serialized(rows).slice(start)
        predictions = Scorer(predict, sparse).score(vectors, WIDTH)
    left = rows[start:]
    assert predictions.type == SPARK_VECTOR_TYPE
    found = [None if row is None else list(row[3]) for row in iter_serialized(predictions)]
    assert found == [None if row is None else [2 * value for value in numbers(row)] for row in left]
    present = [row for row in left if row is not None]
    assert sum(count for _, count in seen) == len(present)
    assert all(count > 0 for _, count in seen)
    if present:
        expected = sparse if sparse is not None else all(row[0] == 0 for row in present)
        assert {kind for kind, _ in seen} == {expected}


def test_dense_rows_are_a_view_of_arrows_memory() -> None:
    vectors = dense(1000)
    values = vectors.field("values").flatten().to_numpy()
    seen = []
    Scorer(lambda X, model: seen.append(X) or X[:, 0]).score(vectors.slice(10, 20), 3)
    assert np.shares_memory(seen[0], values)
    assert seen[0][0].tolist() == [30.0, 31.0, 32.0]


def test_the_values_of_sparse_rows_are_not_copied() -> None:
    vectors = from_serialized([(0, WIDTH, [1, 3], [1.0, 2.0])] * 100)
    values = vectors.field("values").flatten().to_numpy()
    seen = []
    Scorer(lambda X, model: seen.append(X) or np.zeros(X.shape[0])).score(vectors.slice(7, 9), WIDTH)
    assert np.shares_memory(seen[0].data, values)
    assert seen[0].shape == (9, WIDTH)


def test_answers_of_one_number_are_vectors_of_width_one() -> None:
    for returned in (np.array([1, 0, 1]), [True, False, True], np.array([[1.0], [0.0], [1.0]], dtype=np.float32)):
        vectors = Scorer(lambda X, model, returned=returned: returned).score(dense(3), 3)
        assert [row[3] for row in iter_serialized(vectors) if row] == [[1.0], [0.0], [1.0]]


def test_a_sparse_answer_gives_sparse_vectors() -> None:
    returned = csr_matrix(([5.0, 1.0, 2.0], [9, 3, 3], [0, 1, 3, 3]), shape=(3, 10))  # a repeated entry: Spark knows none
    for kind in (returned, csr_array(returned), returned.tocoo()):
        rows = list(iter_serialized(Scorer(lambda X, model, kind=kind: kind).score(dense(3), 3)))
        assert rows == [(0, 10, [9], [5.0]), (0, 10, [3], [3.0]), (0, 10, [], [])]


def test_nulls_between_sparse_answers() -> None:
    rows = [None, (1, None, None, [1.0]), None, (1, None, None, [2.0])]
    predictions = Scorer(lambda X, model: csr_matrix(X)).score(from_serialized(rows), 1)
    assert list(iter_serialized(predictions)) == [None, (0, 1, [0], [1.0]), None, (0, 1, [0], [2.0])]


def test_a_wide_mixed_batch_asked_for_as_csr_is_never_spread_out() -> None:
    width = 2**31 - 1
    rows = [(0, width, [5], [1.0]), (0, width, [7, width - 1], [2.0, 3.0])]
    predictions = Scorer(lambda X, model: X.sum(axis=1).A1, True).score(from_serialized(rows), width)
    assert to_dense(predictions, 1).tolist() == [[1.0], [5.0]]


@pytest.mark.parametrize(
    ("returned", "got"),
    [
        (np.zeros(2), "shape (2,)"),
        (np.zeros((1, 3)), "shape (1, 3)"),
        (7.0, "shape ()"),
        (None, "shape ()"),
        (np.zeros((3, 2, 2)), "shape (3, 2, 2)"),
        (csr_matrix((2, 2)), "shape (2, 2)"),
        (np.array(["a", "b", "c"]), "values of type <U1; declare it, as in python_fun.batch_udf(…, returns='string')"),
        (np.array([1, "b", None], dtype=object), "values of type object"),
        (np.zeros(3, dtype=complex), "values of type complex128"),
    ],
)
def test_a_wrong_prediction_names_the_expected_shape(returned: Any, got: str) -> None:
    with pytest.raises(ScriptFailed) as caught:
        Scorer(lambda X, model: returned).score(dense(3), 3)
    message = str(caught.value)
    assert message.startswith("function jack: predict_batch(X, model) was called with X, an ndarray of shape (3, 3)")
    assert f"expected an array of numbers of shape (3,) or (3, k), got {got}" in message


def test_what_the_function_raises_says_what_it_was_given() -> None:
    def predict(X: Any, model: Any) -> Any:
        raise ValueError("dense data is required")

    with pytest.raises(
        ScriptFailed, match=r"function jack failed: ValueError: dense data is required .*ndarray of shape \(3, 3\)"
    ):
        Scorer(predict).score(dense(3), 3)
    with pytest.raises(ScriptFailed, match=r"a CSR matrix of shape \(1, 4\); with python_fun.batch_udf\(…, sparse=False\)"):
        Scorer(predict).score(from_serialized([(0, 4, [1], [1.0])]), 4)


@pytest.mark.parametrize(("code", "reason"), [("no rows", "no rows"), (3, "SystemExit: 3")])
def test_a_function_that_ends_its_process_fails(code: str | int, reason: str) -> None:
    def predict(X: Any, model: Any) -> Any:
        raise SystemExit(code)

    with pytest.raises(ScriptFailed) as caught:
        Scorer(predict).score(dense(3), 3)
    assert caught.value.message.startswith(f"function jack failed: {reason} (for X, ")


@pytest.mark.parametrize(
    ("file", "place"),
    [
        ("/scratch/mlsql-register-ab_1/work/rules/predict.py", " (rules/predict.py:2)"),
        ("/scratch/mlsql-fit-0-ab_1/work/train.py", " (train.py:2)"),
        ("mlsql_project_0123abcd/helpers.py", " (helpers.py:2)"),
        ("/opt/lib/site-packages/other/mlsql_model.py", ""),
    ],
)
def test_what_the_function_raises_is_told_in_a_line_with_the_line_of_its_script(file: str, place: str) -> None:
    made: dict[str, Any] = {}
    source = "def predict(X, model):\n    raise ValueError('columns are wrong:\\n a: null')"
    exec(compile(source, file, "exec"), made)
    with pytest.raises(ScriptFailed) as caught:
        Scorer(made["predict"]).score(dense(3), 3)
    assert caught.value.message.startswith(f"function jack failed: ValueError: columns are wrong:{place} (for X, ")


def test_a_model_that_cannot_be_loaded_names_its_folder() -> None:
    def load(directory: str) -> Any:
        raise FileNotFoundError("no model.pickle")

    with pytest.raises(ScriptFailed, match=r"function jack, its load\('/model'\), failed: FileNotFoundError: no model.pickle"):
        BatchScorer("jack", BatchFunction(lambda X, model: X, load, None), "/model")


def test_the_model_is_loaded_once_for_all_batches() -> None:
    loads = []
    function = BatchFunction(lambda X, model: np.full(X.shape[0], model), lambda directory: loads.append(directory) or 7.0, None)
    jack = BatchScorer("jack", function, "/model")
    for _ in range(3):
        assert to_dense(jack.score(0, Columns(("features",), (dense(2),)), 3), 1).tolist() == [[7.0], [7.0]]
    assert loads == ["/model"]


def test_columns_are_a_matrix_without_the_rows_that_have_a_null() -> None:
    seen = []

    def predict(X: Any, model: Any) -> Any:
        seen.append(X.copy())
        return X.sum(axis=1)

    jack = OfColumns(predict, "matrix")
    assert jack.score(pa.array([1, None, 3], pa.int16()), pa.array([0.5, 1.5, None])) == [1.5, None, None]
    assert jack.score(pa.array([None], pa.int16()), pa.array([2.0])) == [None]  # without a call
    assert jack.score(pa.array([], pa.int16()), pa.array([], pa.float64())) == []
    assert [X.tolist() for X in seen] == [[[1.0, 0.5]]]


def test_an_array_is_a_row_and_one_with_a_null_in_it_gives_null() -> None:
    jack = BatchScorer("jack", BatchFunction(lambda X, model: X.sum(axis=1), str, None), "/model", "matrix", "double")
    arrays = pa.array([[1.0, 2.0], None, [3.0, None], [4.0, 5.0], [None, None]])
    assert jack.score(0, Columns(("features",), (arrays,)), 2).to_pylist() == [3.0, None, None, 9.0, None]
    with pytest.raises(DataError, match="function jack: expected 3 numbers for each row, got 2"):
        jack.score(0, Columns(("features",), (arrays,)), 3)


def test_a_frame_keeps_nulls_and_types() -> None:
    seen = []

    def predict(X: Any, model: Any) -> Any:
        seen.append(X)
        return {"label": X["b"].fillna("?"), "missing": X["a"].isna()}

    jack = OfColumns(predict, "frame", "struct<label:string,missing:boolean>")
    assert jack.score(pa.array([1, None], pa.int32()), pa.array(["x", None])) == [
        {"label": "x", "missing": False},
        {"label": "?", "missing": True},
    ]
    assert {name: str(kind) for name, kind in seen[0].dtypes.items()} == {"a": "Int32", "b": "object"}


def test_what_a_frame_function_raises_says_what_it_was_given() -> None:
    jack = OfColumns(lambda X, model: X["c"], "frame")
    with pytest.raises(ScriptFailed, match=r"function jack failed: KeyError: 'c' \(for X, a DataFrame of shape \(1, 2\)\)"):
        jack.score(pa.array([1]), pa.array([2]))


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (["no", 1], "expected string for each row, got 1 for row 1"),
        (["no"], "expected 2 values of type string, got 1"),
        ("no", "expected 2 values of type string, got str 'no'"),
        ({"label": ["no", "no"]}, "expected 2 values of type string, got dict {'label': ['no', 'no']}"),
    ],
)
def test_a_result_of_another_type_shows_the_first_wrong_value(returned: Any, message: str) -> None:
    with pytest.raises(ScriptFailed) as caught:
        OfColumns(lambda X, model: returned, "frame", "string").score(pa.array([1, 2]), pa.array([2, 3]))
    assert str(caught.value).startswith("function jack: predict_batch(X, model) was called with X, a DataFrame of shape (2, 2); ")
    assert message in str(caught.value)
