"""What MLSQL's matrix functions compute: whole Arrow columns in, one of the same length out, null for null.

A matrix is a struct as ``pyspark.ml.linalg.MatrixUDT`` declares it: its numbers column by column, or row by row if it is
transposed, all of them (type 1) or those that ``colPtrs`` and ``rowIndices`` place (type 0).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mlsql_runtime.errors import DataError
from mlsql_runtime.feed.decoding.vectors import VectorColumns, join_vectors, list_array
from mlsql_runtime.scoring.vector_operations import (
    Doubles,
    Integers,
    WrongType,
    find_nulls,
    split_lists,
    to_doubles,
    to_integers,
    to_starts,
)

_DOUBLES = pa.list_(pa.field("element", pa.float64(), nullable=False))
_INTS = pa.list_(pa.field("element", pa.int32(), nullable=False))
MATRIX_TYPE = pa.struct(
    [
        pa.field("type", pa.int8(), nullable=False),
        pa.field("numRows", pa.int32(), nullable=False),
        pa.field("numCols", pa.int32(), nullable=False),
        pa.field("colPtrs", _INTS),
        pa.field("rowIndices", _INTS),
        pa.field("values", _DOUBLES),
        pa.field("isTransposed", pa.bool_(), nullable=False),
    ]
)
_ROWS = pa.list_(pa.field("element", _DOUBLES, nullable=False))
_DENSE = 1
_NO_VALUES: Doubles = np.zeros(0)
_NO_SIZES: Integers = np.zeros(0, np.int64)
Matrix = np.ndarray[tuple[int, int], np.dtype[np.float64]]


@dataclass(frozen=True)
class _Parts:
    """The lists of a column, as views of one array."""

    values: np.ndarray[Any, Any]
    starts: Integers

    def __getitem__(self, row: int) -> np.ndarray[Any, Any]:
        return self.values[self.starts[row] : self.starts[row + 1]]


def make_matrix(lists: pa.Array) -> pa.Array:
    """Return the dense matrix whose rows are the arrays of each array.

    :raises DataError: without a row, or for rows of several lengths.
    """
    rows, counts = split_lists(lists)
    numbers, lengths = split_lists(rows)
    if rows.null_count:
        raise DataError("expected arrays of numbers, got null among them")
    values, start, at = to_doubles(numbers, lists.type), 0, 0
    found: list[Matrix | None] = []
    for known, count in zip(lists.is_valid().to_pylist(), counts.tolist(), strict=True):
        widths = set(lengths[at : at + count].tolist())
        if known and len(widths) != 1:
            got = f"lengths {min(widths)} and {max(widths)}" if widths else "none"
            raise DataError(f"expected arrays of one length as rows, got {got}")
        end = start + int(lengths[at : at + count].sum())
        found.append(values[start:end].reshape(count, -1) if known else None)
        start, at = end, at + count
    return _to_arrow(found)


def encode_one_hot(lists: pa.Array, sizes: pa.Array) -> pa.Array:
    """Return for each array of indices a matrix with a row for each: 1 at the index, zeros elsewhere; all zeros beyond the size.

    :raises DataError: for a negative index or size.
    """
    indices, counts = split_lists(lists)
    places, widths = to_integers(indices, "indices"), to_integers(sizes, "the size")
    if indices.null_count or (places < 0).any() or (widths < 0).any():
        raise DataError("expected indices and a size of at least 0, got null or a negative number among them")
    known = [a and b for a, b in zip(lists.is_valid().to_pylist(), sizes.is_valid().to_pylist(), strict=True)]
    found: list[Matrix | None] = []
    start = 0
    for is_known, count, width in zip(known, counts.tolist(), widths.tolist(), strict=True):
        chosen, start = places[start : start + count], start + count
        found.append((chosen[:, None] == np.arange(width)).astype(np.float64) if is_known else None)
    return _to_arrow(found)


def to_nested_arrays(matrices: pa.Array) -> pa.Array:
    """Return each matrix as an array of its rows."""
    known = list(_read(matrices))
    heights = to_starts(np.array([0 if each is None else each.shape[0] for each in known], np.int64))
    widths = to_starts(np.concatenate([_NO_SIZES, *(np.full(*each.shape) for each in known if each is not None)]))
    rows = list_array(widths, _join(each.ravel() for each in known if each is not None), None, _DOUBLES)
    return pa.ListArray.from_arrays(pa.array(heights.astype(np.int32)), rows, type=_ROWS, mask=_find_missing(known))


def sum_matrix(matrices: pa.Array, axes: pa.Array) -> pa.Array:
    """Return a dense vector of the sums of each matrix: of its columns for axis 0, of its rows for axis 1.

    :raises DataError: for another axis.
    """
    axis, null = to_integers(axes, "the axis"), find_nulls(axes)
    wrong = axis[~null & (axis != 0) & (axis != 1)]
    if len(wrong):
        raise DataError(f"expected axis 0, for the sums of columns, or 1, for those of rows, got {wrong[0]}")
    sums = [
        None if matrix is None or is_null else matrix.sum(axis=number)
        for matrix, number, is_null in zip(_read(matrices), axis.tolist(), null.tolist(), strict=True)
    ]
    counts = np.array([0 if each is None else len(each) for each in sums], np.int64)
    missing = np.array([each is None for each in sums], bool)
    starts = to_starts(counts)
    values = _join(each for each in sums if each is not None)
    return join_vectors(VectorColumns(np.zeros(len(sums), bool), missing, counts, starts, starts[:0], values))


def _read(column: pa.Array) -> Iterator[Matrix | None]:
    """Yield the matrices; those that are stored densely are views of the column's numbers."""
    if pa.types.is_null(column.type):
        yield from [None] * len(column)
        return
    if not _is_matrix(column.type):
        raise WrongType(column.type)
    fields = {name: pc.struct_field(column, name) for name in MATRIX_TYPE.names}
    kinds, heights, widths, transposed = (
        pc.fill_null(fields[name].cast(pa.int64()), 0).to_numpy(zero_copy_only=False).tolist()
        for name in ("type", "numRows", "numCols", "isTransposed")
    )
    values, pointers, indices = (_split(fields[name]) for name in ("values", "colPtrs", "rowIndices"))
    for row, is_null in enumerate(find_nulls(column).tolist()):
        if is_null:
            yield None
            continue
        lines, length = (heights[row], widths[row]) if transposed[row] else (widths[row], heights[row])
        stored = values[row]
        if kinds[row] == _DENSE:
            lined = stored.reshape(lines, length)
        else:
            lined = np.zeros((lines, length))
            lined[np.repeat(np.arange(lines), np.diff(pointers[row])), indices[row]] = stored
        yield lined if transposed[row] else lined.T


def _split(lists: pa.Array) -> _Parts:
    values, counts = split_lists(lists)
    return _Parts(values.to_numpy(zero_copy_only=False), to_starts(counts))


def _is_matrix(kind: pa.DataType) -> bool:
    return pa.types.is_struct(kind) and [field.name for field in kind] == [field.name for field in MATRIX_TYPE]


def _to_arrow(matrices: list[Matrix | None]) -> pa.Array:
    """Return dense matrices, column by column."""
    count = len(matrices)
    shapes = np.array([(0, 0) if each is None else each.shape for each in matrices], np.int32).reshape(count, 2)
    values = _join(each.ravel(order="F") for each in matrices if each is not None)
    columns = [
        pa.array(np.full(count, _DENSE, np.int8)),
        pa.array(shapes[:, 0]),
        pa.array(shapes[:, 1]),
        pa.nulls(count, _INTS),
        pa.nulls(count, _INTS),
        list_array(to_starts(shapes.astype(np.int64).prod(axis=1)), values, None, _DOUBLES),
        pa.array(np.zeros(count, bool)),
    ]
    return pa.StructArray.from_arrays(columns, fields=list(MATRIX_TYPE), mask=_find_missing(matrices))


def _find_missing(matrices: list[Matrix | None]) -> pa.BooleanArray:
    return pa.array([each is None for each in matrices], pa.bool_())


def _join(parts: Iterable[Doubles]) -> Doubles:
    joined: Doubles = np.concatenate([_NO_VALUES, *parts])
    return joined
