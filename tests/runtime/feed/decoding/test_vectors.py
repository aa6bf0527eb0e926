from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from mlsql_runtime.errors import DataError
from mlsql_runtime.feed.decoding.vectors import (
    VECTOR_TYPE,
    SerializedVector,
    all_sparse,
    common_width,
    from_serialized,
    is_vector,
    iter_serialized,
    to_csr,
    to_dense,
    to_matrix,
    vector_widths,
)

AsVectors = Callable[[Iterable[Any]], pa.StructArray]
numbers = st.floats(allow_nan=False, width=32) | st.just(0.0)


def dense(width: int) -> st.SearchStrategy[SerializedVector]:
    return st.lists(numbers, min_size=width, max_size=width).map(lambda values: (1, None, None, values))


@st.composite
def sparse(draw: st.DrawFn, width: int) -> SerializedVector:
    indices = sorted(draw(st.sets(st.integers(0, width - 1), max_size=width))) if width else []
    return 0, width, indices, draw(st.lists(numbers, min_size=len(indices), max_size=len(indices)))


@st.composite
def columns(draw: st.DrawFn, kinds: str = "dense sparse null") -> tuple[int, list[SerializedVector | None], pa.StructArray]:
    """A width, rows of that width, and the same rows as an Arrow array that is a slice of a longer one."""
    width = draw(st.integers(0, 6))
    row: list[st.SearchStrategy[Any]] = []
    if "dense" in kinds:
        row.append(dense(width))
    if "sparse" in kinds:
        row.append(sparse(width))
    if "null" in kinds:
        row.append(st.none())
    rows = draw(st.lists(st.one_of(row), max_size=8))
    other = st.one_of(dense(9), sparse(9), st.none())
    before, after = draw(st.lists(other, max_size=3)), draw(st.lists(other, max_size=3))
    return width, rows, from_serialized([*before, *rows, *after]).slice(len(before), len(rows))


def reference(row: SerializedVector | None, width: int) -> list[float]:
    """The row as a plain list; null is all zeros."""
    if row is None:
        return [0.0] * width
    kind, _, indices, values = row
    if kind == 1:
        return values
    filled = [0.0] * width
    for index, value in zip(indices or [], values, strict=True):
        filled[index] = value
    return filled


@given(columns())
def test_rows_survive_arrow(column: tuple[int, list[SerializedVector | None], pa.StructArray]) -> None:
    _, rows, array = column
    assert list(iter_serialized(array)) == rows
    assert array.null_count == rows.count(None)


@given(columns())
def test_widths_are_those_of_the_rows(column: tuple[int, list[SerializedVector | None], pa.StructArray]) -> None:
    width, rows, array = column
    assert vector_widths(array).tolist() == [-1 if row is None else width for row in rows]
    assert common_width(array, None, "x") == (width if any(row is not None for row in rows) else 0)
    assert common_width(array, width, "x") == width


@given(columns())
def test_any_rows_as_a_dense_array(column: tuple[int, list[SerializedVector | None], pa.StructArray]) -> None:
    width, rows, array = column
    matrix = to_dense(array, width)
    assert (matrix.shape, matrix.dtype) == ((len(rows), width), np.float64)
    assert matrix.tolist() == [reference(row, width) for row in rows]


@given(columns("sparse"))
def test_sparse_rows_as_a_csr_matrix(column: tuple[int, list[SerializedVector | None], pa.StructArray]) -> None:
    width, rows, array = column
    matrix = to_csr(array, width)
    assert (matrix.shape, matrix.dtype) == ((len(rows), width), np.float64)
    assert matrix.toarray().tolist() == [reference(row, width) for row in rows]
    assert matrix.nnz == sum(len(row[3]) for row in rows if row is not None)


@given(columns(), st.sampled_from([None, True, False]))
def test_a_matrix_is_as_asked_and_holds_the_same(
    column: tuple[int, list[SerializedVector | None], pa.StructArray], asked: bool | None
) -> None:
    width, rows, array = column
    matrix = to_matrix(array, width, asked)
    if asked is not None:
        assert isinstance(matrix, csr_matrix) is asked
    else:
        assert isinstance(matrix, csr_matrix) is all_sparse(array)
    found = matrix.toarray() if isinstance(matrix, csr_matrix) else matrix
    assert found.tolist() == [reference(row, width) for row in rows]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [([(3, {0: 1})], True), ([(3, {})], True), ([[1, 2, 3]], False), ([(3, {0: 1}), [1, 2, 3]], False), ([], False)],
)
def test_a_column_is_sparse_when_every_vector_is(as_vectors: AsVectors, rows: list[Any], expected: bool) -> None:
    assert all_sparse(as_vectors(rows)) is expected


def test_dense_vectors_are_not_copied(as_vectors: AsVectors) -> None:
    array = as_vectors([[1, 2], [3, 4]])
    address = array.field("values").values.buffers()[1].address
    assert to_dense(array, 2).ctypes.data == address


@pytest.mark.parametrize(
    ("rows", "expected", "facts"),
    [
        ([[1, 2], [1, 2, 3]], 2, {"expected": 2, "found": 3}),
        ([[1, 2], (5, {0: 1})], None, {"expected": 2, "found": 5}),
        ([(4, {}), None], 3, {"expected": 3, "found": 4}),
    ],
)
def test_vectors_of_another_width_are_refused_naming_both(
    as_vectors: AsVectors, rows: list[Any], expected: int | None, facts: dict[str, int]
) -> None:
    with pytest.raises(DataError, match="column x") as caught:
        common_width(as_vectors(rows), expected, "column x")
    assert caught.value.facts == facts
    assert all(str(width) in caught.value.message for width in facts.values())


@pytest.mark.parametrize(
    ("row", "hint"),
    [((0, 3, [1], [2.0]), "; for libsvm files, give load the option numFeatures=5"), ((1, None, None, [1.0, 2.0, 3.0]), "")],
)
def test_the_option_of_libsvm_files_is_named_for_sparse_vectors(row: SerializedVector, hint: str) -> None:
    with pytest.raises(DataError) as caught:
        common_width(from_serialized([row]), 5, "x")
    assert caught.value.message == f"x: expected vectors of width 5, got one of width 3{hint}"


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (VECTOR_TYPE, True),
        (
            pa.struct(
                [
                    ("values", pa.list_(pa.float64())),
                    ("type", pa.int64()),
                    ("indices", pa.list_(pa.int64())),
                    ("size", pa.int64()),
                ]
            ),
            True,
        ),
        (pa.struct([("type", pa.int8())]), False),
        (pa.list_(pa.float64()), False),
        (pa.float64(), False),
    ],
)
def test_vector_columns_are_known_by_their_fields(kind: pa.DataType, expected: bool) -> None:
    assert is_vector(kind) is expected


def test_the_serialized_form_is_that_of_spark(as_vectors: AsVectors) -> None:
    linalg = pytest.importorskip("pyspark.ml.linalg")
    udt = linalg.VectorUDT()
    vectors = [linalg.Vectors.dense([1.0, 2.0]), linalg.Vectors.sparse(4, {1: 3.0, 3: -1.0}), linalg.Vectors.sparse(2, {})]
    rows = list(iter_serialized(as_vectors([[1, 2], (4, {1: 3, 3: -1}), (2, {})])))
    assert [udt.deserialize(row) for row in rows] == vectors
    assert list(iter_serialized(from_serialized([udt.serialize(vector) for vector in vectors]))) == rows
