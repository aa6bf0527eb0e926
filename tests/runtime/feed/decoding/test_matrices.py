from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from scipy.sparse import issparse

from mlsql_runtime.errors import DataError
from mlsql_runtime.feed.decoding.matrices import complete_column, feature_matrix, label_array
from mlsql_runtime.feed.decoding.rows import to_rows

AsVectors = Callable[[Iterable[Any]], pa.StructArray]


def table_of(array: pa.Array | pa.ChunkedArray, name: str = "x") -> pa.Table:
    return pa.table({name: array})


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        ([1, 2, 3], pa.int32(), [[1], [2], [3]]),
        ([0.5, -1.5], pa.float32(), [[0.5], [-1.5]]),
        ([[1, 2], [3, 4]], pa.list_(pa.int64()), [[1, 2], [3, 4]]),
        ([[1.5], [2.5]], pa.large_list(pa.float32()), [[1.5], [2.5]]),
        ([[], []], pa.list_(pa.float64()), [[], []]),
    ],
)
def test_numbers_and_lists_become_a_matrix(values: list[Any], kind: pa.DataType, expected: list[list[float]]) -> None:
    X = feature_matrix(table_of(pa.array(values, kind)), "x")
    assert (X.dtype, X.shape) == (np.float64, (len(expected), len(expected[0])))
    assert X.tolist() == expected


@pytest.mark.parametrize("kind", [pa.int32(), pa.float64(), pa.list_(pa.float64()), pa.large_list(pa.int32())])
def test_an_empty_column_becomes_a_matrix_without_rows(kind: pa.DataType) -> None:
    X = feature_matrix(table_of(pa.array([], kind)), "x")
    assert (X.ndim, X.shape[0]) == (2, 0)


def test_vectors_become_a_matrix_across_chunks_and_slices(as_vectors: AsVectors) -> None:
    chunks = [as_vectors([[9, 9], [1, 2]]).slice(1), as_vectors([(2, {1: 4}), [5, 6], [7, 8]]).slice(0, 2)]
    X = feature_matrix(pa.table({"x": pa.chunked_array(chunks)}), "x")
    assert X.tolist() == [[1, 2], [0, 4], [5, 6]]
    assert issparse(feature_matrix(pa.table({"x": pa.chunked_array(chunks)}), "x", sparse=True))


@pytest.mark.parametrize("sparse", [None, True, False])
@pytest.mark.parametrize("kinds", ["dense", "sparse", "mixed"])
def test_pieces_make_the_same_matrix_wherever_they_are_cut(as_vectors: AsVectors, kinds: str, sparse: bool | None) -> None:
    rows: dict[str, list[Any]] = {"dense": [[1, 2, 0], [0, 0, 3]] * 2, "sparse": [(3, {1: 4}), (3, {}), (3, {0: 1, 2: 5})]}
    vectors = as_vectors(rows["dense"] + rows["sparse"] if kinds == "mixed" else rows[kinds])
    expected = feature_matrix(table_of(vectors), "x", sparse)
    for cut in range(len(vectors) + 1):
        found = feature_matrix(table_of(pa.chunked_array([vectors.slice(0, cut), vectors.slice(cut)])), "x", sparse)
        assert issparse(found) == issparse(expected)
        assert (found != expected).sum() == 0


def test_lists_become_a_matrix_across_chunks_and_slices() -> None:
    chunks = [pa.array([[9, 9, 9], [1, 2]]).slice(1), pa.array([[3, 4], [9]]).slice(0, 1)]
    assert feature_matrix(pa.table({"x": pa.chunked_array(chunks)}), "x").tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    ("array", "fragment"),
    [
        (pa.array([1, None, 3]), "1 nulls in 3 rows"),
        (pa.array([[1, 2], [3]]), "lengths 1 and 2"),
        (pa.array(["a", "b"]), "string"),
        (pa.array([["a"], ["b"]]), "string"),
        (pa.array([{"a": 1}]), "struct"),
    ],
)
def test_a_column_that_cannot_be_a_matrix_is_refused(array: pa.Array, fragment: str) -> None:
    with pytest.raises(DataError, match="column 'x'") as caught:
        feature_matrix(table_of(array), "x")
    assert fragment in caught.value.message


def test_vectors_of_several_widths_are_refused(as_vectors: AsVectors) -> None:
    with pytest.raises(DataError) as caught:
        feature_matrix(table_of(as_vectors([[1, 2], [1, 2, 3]])), "x")
    assert caught.value.facts == {"expected": 2, "found": 3}


def test_a_column_that_is_not_there_names_the_nearest_and_the_option() -> None:
    with pytest.raises(DataError, match="did you mean 'features'") as caught:
        complete_column(table_of(pa.array([1]), "features"), "feature", "inputCol")
    assert caught.value.facts == {"column": "feature", "columns": ["features"]}
    assert "inputCol" in caught.value.message


@pytest.mark.parametrize(
    ("values", "kind", "dtype"),
    [
        ([1, 2], pa.int32(), np.int32),
        ([0.5, 1.0], pa.float64(), np.float64),
        (["a", "b"], pa.string(), np.object_),
        ([], pa.int64(), np.int64),
    ],
)
def test_labels_keep_their_type(values: list[Any], kind: pa.DataType, dtype: type) -> None:
    y = label_array(table_of(pa.array(values, kind), "label"), "label")
    assert (y.dtype, y.shape, y.tolist()) == (dtype, (len(values),), values)


def test_labels_with_nulls_are_refused() -> None:
    with pytest.raises(DataError, match="2 nulls in 3 rows"):
        label_array(table_of(pa.array([None, 1.0, None]), "label"), "label")


def test_rows_hold_spark_s_vectors_and_plain_values(as_vectors: AsVectors) -> None:
    linalg = pytest.importorskip("pyspark.ml.linalg")
    chunked = pa.chunked_array([as_vectors([[1, 2]]), as_vectors([(3, {1: 4}), None])])
    rows = to_rows(pa.table({"x": chunked, "name": ["a", None, "c"], "n": [1, 2, None]}))
    assert [row["x"] for row in rows] == [linalg.Vectors.dense([1, 2]), linalg.Vectors.sparse(3, {1: 4.0}), None]
    assert [(row["name"], row["n"]) for row in rows] == [("a", 1), (None, 2), ("c", None)]
    assert to_rows(pa.table({"x": chunked}).slice(0, 0)) == []
