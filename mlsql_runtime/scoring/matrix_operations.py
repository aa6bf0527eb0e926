"""What MLSQL's matrix functions compute: whole Arrow columns in, one of the same length out, null for null.

A matrix is a struct as ``pyspark.ml.linalg.MatrixUDT`` declares it: its numbers column by column, or row by row if it is
transposed, all of them (type 1) or those that ``colPtrs`` and ``rowIndices`` place (type 0).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from mlsql_runtime.errors import DataError
from mlsql_runtime.feed.decoding.vectors import SPARK_VECTOR_TYPE
from mlsql_runtime.scoring.vector_operations import Doubles, WrongType, split_lists, to_doubles, to_integers

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
_DENSE = 1
Matrix = np.ndarray[tuple[int, int], np.dtype[np.float64]]


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
    rows = [None if matrix is None else matrix.tolist() for matrix in _read(matrices)]
    return pa.array(rows, pa.list_(pa.field("element", _DOUBLES, nullable=False)))


def sum_matrix(matrices: pa.Array, axes: pa.Array) -> pa.Array:
    """Return a dense vector of the sums of each matrix: of its columns for axis 0, of its rows for axis 1.

    :raises DataError: for another axis.
    """
    found: list[dict[str, Any] | None] = []
    for matrix, axis, known in zip(
        _read(matrices), to_integers(axes, "the axis").tolist(), axes.is_valid().to_pylist(), strict=True
    ):
        if known and axis not in (0, 1):
            raise DataError(f"expected axis 0, for the sums of columns, or 1, for those of rows, got {axis}")
        if matrix is None or not known:
            found.append(None)
        else:
            found.append({"type": _DENSE, "size": None, "indices": None, "values": matrix.sum(axis=axis).tolist()})
    return pa.array(found, SPARK_VECTOR_TYPE)


def _read(column: pa.Array) -> Iterator[Matrix | None]:
    if not pa.types.is_null(column.type) and not _is_matrix(column.type):
        raise WrongType(column.type)
    for item in column.to_pylist():
        yield None if item is None else _to_numpy(item)


def _is_matrix(kind: pa.DataType) -> bool:
    return pa.types.is_struct(kind) and [field.name for field in kind] == [field.name for field in MATRIX_TYPE]


def _to_numpy(item: dict[str, Any]) -> Matrix:
    shape, is_transposed = (item["numRows"], item["numCols"]), item["isTransposed"]
    lines, length = shape if is_transposed else shape[::-1]
    values: Doubles = np.asarray(item["values"], dtype=np.float64)
    if item["type"] == _DENSE:
        stored = values.reshape(lines, length)
    else:
        stored = np.zeros((lines, length))
        stored[np.repeat(np.arange(lines), np.diff(item["colPtrs"])), item["rowIndices"]] = values
    return stored if is_transposed else stored.T


def _to_arrow(matrices: list[Matrix | None]) -> pa.Array:
    rows = [
        None
        if matrix is None
        else {
            "type": _DENSE,
            "numRows": matrix.shape[0],
            "numCols": matrix.shape[1],
            "colPtrs": None,
            "rowIndices": None,
            "values": matrix.ravel(order="F"),
            "isTransposed": False,
        }
        for matrix in matrices
    ]
    return pa.array(rows, MATRIX_TYPE)
