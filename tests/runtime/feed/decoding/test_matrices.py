from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from scipy.sparse import issparse

from mlsql_runtime.errors import DataError
from mlsql_runtime.feed.decoding.matrices import feature_matrix, label_array, require_column, stack_features
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
        require_column("feature", ["features"], "fitParam.<i>.inputCol")
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


def mixed_table(as_vectors: AsVectors) -> pa.Table:
    columns = {
        "n": pa.array([1, 2, 3], pa.int32()),
        "b": pa.array([True, False, True]),
        "x": pa.array([0.5, 1.5, 2.5]),
        "d": pa.array(["0.10", "2.675", "3.00"]).cast(pa.decimal128(10, 3)),
        "l": pa.array([[1, 2], [3, 4], [5, 6]]),
        "v": as_vectors([(2, {1: 7}), (2, {}), (2, {0: 8})]),
        "text": pa.array(["a", "b", "c"]),
    }
    table = pa.table(columns)
    return pa.concat_tables([table.slice(0, 1), table.slice(1)])


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["n", "x"], [[1, 0.5], [2, 1.5], [3, 2.5]]),
        (["x", "b", "d"], [[0.5, 1, 0.1], [1.5, 0, 2.675], [2.5, 1, 3]]),
        (["l", "n", "v"], [[1, 2, 1, 0, 7], [3, 4, 2, 0, 0], [5, 6, 3, 8, 0]]),
        (["n"], [[1], [2], [3]]),
    ],
)
@pytest.mark.parametrize("rows", [3, 0])
def test_columns_are_stacked_in_their_order(as_vectors: AsVectors, names: list[str], expected: list[Any], rows: int) -> None:
    X = stack_features(mixed_table(as_vectors).slice(0, rows), names, sparse=False)
    assert (X.dtype, X.tolist()) == (np.float64, expected[:rows])


def test_numbers_are_stacked_column_by_column(as_vectors: AsVectors) -> None:
    assert stack_features(mixed_table(as_vectors), ["n", "x"]).flags.f_contiguous


@pytest.mark.parametrize(
    ("names", "sparse", "is_sparse"),
    [
        (["n", "v"], None, True),
        (["n", "l"], None, False),
        (["n", "x"], True, True),
        (["l"], True, True),
        (["v", "l"], False, False),
    ],
)
def test_stacked_columns_are_sparse_if_their_vectors_are(
    as_vectors: AsVectors, names: list[str], sparse: bool | None, is_sparse: bool
) -> None:
    table = mixed_table(as_vectors)
    X = stack_features(table, names, sparse)
    assert issparse(X) == is_sparse
    assert (X.toarray() if is_sparse else X).tolist() == stack_features(table, names, sparse=False).tolist()


@pytest.mark.parametrize("names", [["text"], ["x", "text"]])
def test_text_is_no_part_of_a_matrix(as_vectors: AsVectors, names: list[str]) -> None:
    with pytest.raises(DataError, match=r"'text' is of type string; .*mlsql\.read_frames.*or a built-in algorithm"):
        stack_features(mixed_table(as_vectors), names)


def test_nulls_and_lengths_are_checked_in_every_column() -> None:
    with pytest.raises(DataError, match="column 'b' holds 1 nulls in 2 rows"):
        stack_features(pa.table({"a": [1, 2], "b": [None, 1.5]}), ["a", "b"])
    with pytest.raises(DataError, match="column 'l': expected lists of one length, got lengths 1 and 2"):
        stack_features(pa.table({"a": [1, 2], "l": [[1], [1, 2]]}), ["a", "l"])


@pytest.mark.parametrize("number", [1 << 53, -(1 << 53), (1 << 53) + 1, -(1 << 63)])
def test_whole_numbers_that_a_float_would_round_are_refused(number: int) -> None:
    table = pa.table({"a": [1, number], "b": [1, 2]})
    if abs(number) == 1 << 53:
        assert stack_features(table, ["a", "b"])[1, 0] == number
        return
    with pytest.raises(DataError, match=f"column 'a' holds {number}; .* exact up to 9007199254740992 only"):
        stack_features(table, ["a", "b"])


def test_labels_of_lists_and_vectors_have_a_row_each(as_vectors: AsVectors) -> None:
    for values in (pa.array([[1, 2], [3, 4]]), as_vectors([[1, 2], (2, {0: 3, 1: 4})])):
        assert label_array(table_of(values, "label"), "label").tolist() == [[1, 2], [3, 4]]


def test_columns_are_found_in_either_case() -> None:
    assert require_column("LABEL", ["Features", "Label"], "labelCol") == "Label"
    assert require_column("label", ["Label", "label"], "labelCol") == "label"
    with pytest.raises(DataError, match="no column 'LABEL'"):  # two, and neither is spelt so
        require_column("LABEL", ["Label", "label"], "labelCol")
