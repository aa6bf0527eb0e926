"""Convert columns of an Arrow table to what estimators take: a feature matrix and a label array.

A column consists of pieces, as it was read. Each piece is decoded into its place in the result; the column is never copied into
one piece.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from mlsql_runtime.errors import DataError, did_you_mean
from mlsql_runtime.feed.column_names import find_column
from mlsql_runtime.feed.decoding.sql_types import is_list, is_number
from mlsql_runtime.feed.decoding.vectors import all_sparse, common_width, fill_dense, is_vector, to_dense, to_matrix, to_numpy

EXACT = 1 << 53  # whole numbers up to here have float64 values of their own
Matrix = Any  # an ndarray or a csr_matrix


def require_column(name: str, columns: Sequence[str], option: str) -> str:
    """Return the table's own spelling of a column's name.

    :param option: the option that names the column, for the error.
    :raises DataError: with the columns of the table, when it has no such column.
    """
    found = find_column(name, columns)
    if found is None:
        raise DataError(
            f"the table has no column '{name}'{did_you_mean(name, columns)}; "
            f"name the column in {option}, or call it '{name}' in SQL",
            column=name,
            columns=list(columns),
        )
    return found


def complete_column(table: pa.Table, name: str) -> pa.ChunkedArray:
    """Return a column without nulls.

    :raises DataError: when it holds nulls.
    """
    found = table.column(name)
    if found.null_count:
        raise DataError(
            f"column '{name}' holds {found.null_count} nulls in {len(found)} rows; filter them out in SQL", column=name
        )
    return found


def feature_matrix(table: pa.Table, name: str, sparse: bool | None = None) -> Matrix:
    """Return a matrix of shape (n, d): vectors as CSR or dense (see :func:`to_matrix`), lists as dense, numbers as (n, 1).

    :raises DataError: when the column has another type, or no common width.
    """
    check_matrix_type(name, table.schema.field(name).type)
    found = complete_column(table, name)
    what = f"column '{name}'"
    if is_vector(found.type):
        return _vectors(_pieces(found), what, sparse)
    if is_number(found.type):
        return _joined([_floats(piece, what).reshape(-1, 1) for piece in _pieces(found)])
    return _lists(_pieces(found), what)


def stack_features(table: pa.Table, names: Sequence[str], sparse: bool | None = None) -> Matrix:
    """Return columns side by side as a matrix of shape (n, d), float64. Columns of numbers make it one in Fortran order.

    :param names: of columns of numbers, booleans, vectors, and lists of numbers; one alone is a :func:`feature_matrix`.
    :param sparse: True for a CSR matrix, False for an ndarray, None for CSR if there are vectors, and all of them are sparse.
    :raises DataError: when a column has another type, holds nulls, or values of several widths.
    """
    if len(names) == 1 and not sparse:
        return feature_matrix(table, names[0], sparse)
    for name in names:
        check_matrix_type(name, table.schema.field(name).type)
    columns = {name: complete_column(table, name) for name in names}
    vectors = [_pieces(column) for column in columns.values() if is_vector(column.type)]
    if sparse is None:
        sparse = bool(vectors) and all(all_sparse(piece) for pieces in vectors for piece in pieces)
    if sparse:
        return _stack_sparse(table, names)
    widths = {name: _width(column, f"column '{name}'") for name, column in columns.items()}
    width = sum(widths.values())
    stacked = np.empty((table.num_rows, width), order="F" if width == len(names) else "C")
    left = 0
    for name, column in columns.items():
        right, top = left + widths[name], 0
        for piece in column.chunks:
            bottom = top + len(piece)
            stacked[top:bottom, left:right] = _block(piece, f"column '{name}'", widths[name])
            top = bottom
        left = right
    return stacked


def check_matrix_type(name: str, kind: pa.DataType) -> None:
    """Raise an error for a column that cannot be part of a matrix, such as text.

    :raises DataError: which says what to do.
    """
    if not (is_number(kind) or _is_list_of_numbers(kind) or is_vector(kind)):
        raise DataError(
            f"column '{name}' is of type {kind}; a matrix holds numbers, booleans, vectors and lists of numbers: use frames "
            '(mlsql.read_frames, mlsql.all_frame; for functions input="frame"), or a built-in algorithm',
            column=name,
        )


def label_array(table: pa.Table, name: str) -> np.ndarray[Any, Any]:
    """Return labels of shape (n,): numbers as they are, text as objects; vectors and lists of numbers of shape (n, k)."""
    found = complete_column(table, name)
    what = f"column '{name}'"
    if is_vector(found.type):
        return np.asarray(_vectors(_pieces(found), what, sparse=False))
    if _is_list_of_numbers(found.type):
        return np.asarray(_lists(_pieces(found), what))
    if pa.types.is_decimal(found.type):
        return _joined([_floats(piece, what) for piece in _pieces(found)])
    return _joined([to_numpy(piece) for piece in _pieces(found)])


def _pieces(found: pa.ChunkedArray) -> list[pa.Array]:
    """Return the pieces that hold rows; an empty one when none does."""
    return [piece for piece in found.chunks if len(piece)] or [pa.nulls(0, found.type)]


def _joined(parts: Sequence[np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _vectors(pieces: Sequence[pa.StructArray], what: str, sparse: bool | None) -> Matrix:
    width = _one_width(pieces, what)
    if len(pieces) == 1:
        return to_matrix(pieces[0], width, sparse)
    if sparse is None:
        sparse = all(map(all_sparse, pieces))
    if not sparse:
        dense = np.zeros((sum(map(len, pieces)), width))
        start = 0
        for piece in pieces:
            fill_dense(dense[start : start + len(piece)], piece)
            start += len(piece)
        return dense
    from scipy.sparse import vstack

    return vstack([to_matrix(piece, width, sparse=True) for piece in pieces], format="csr")


def _one_width(pieces: Iterable[pa.StructArray], what: str) -> int:
    width = None
    for piece in pieces:
        width = common_width(piece, width, what)
    return width or 0


def _lists(pieces: Sequence[pa.Array], what: str) -> Matrix:
    width = _one_length(pieces, what)
    return _joined([_floats(piece.flatten(), what).reshape(len(piece), width) for piece in pieces])


def _one_length(pieces: Sequence[pa.Array], what: str) -> int:
    """Return the length of all lists, 0 without any.

    :raises DataError: when they differ, or hold nulls.
    """
    lengths = np.unique(np.concatenate([np.unique(to_numpy(piece.value_lengths())) for piece in pieces] or [np.empty(0, int)]))
    if any(piece.flatten().null_count for piece in pieces):
        raise DataError(f"{what} holds lists with nulls in them; fill or filter them in SQL")
    if len(lengths) > 1:
        raise DataError(f"{what}: expected lists of one length, got lengths {lengths[0]} and {lengths[-1]}")
    return int(lengths[0]) if len(lengths) else 0


def _stack_sparse(table: pa.Table, names: Sequence[str]) -> Matrix:
    from scipy.sparse import csr_matrix, hstack

    blocks = [csr_matrix(feature_matrix(table, name, sparse=True)) for name in names]
    return blocks[0] if len(blocks) == 1 else hstack(blocks, format="csr")


def _width(column: pa.ChunkedArray, what: str) -> int:
    """Return how many columns of a matrix a column of the table takes."""
    if is_vector(column.type):
        return _one_width(column.chunks, what)
    return 1 if is_number(column.type) else _one_length(column.chunks, what)


def _block(piece: pa.Array, what: str, width: int) -> np.ndarray[Any, Any]:
    """Return the values of a piece, shape (n, width)."""
    if is_vector(piece.type):
        return to_dense(piece, width)
    values = piece if is_number(piece.type) else piece.flatten()
    return _numbers(values, what).reshape(len(piece), width)


def _floats(array: pa.Array, what: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    return _numbers(array, what).astype(np.float64, copy=False)


def _numbers(array: pa.Array, what: str) -> np.ndarray[Any, Any]:
    """Return numbers or booleans without nulls as numbers of which float64 holds each exactly, except decimals: the nearest.

    :raises DataError: for whole numbers beyond 2^53.
    """
    if pa.types.is_boolean(array.type):
        return to_numpy(array.cast(pa.uint8()))
    if pa.types.is_decimal(array.type):
        return to_numpy(array.cast(pa.string()).cast(pa.float64()))  # Arrow's own cast is off in the last bit
    numbers = to_numpy(array)
    if numbers.dtype.itemsize == 8 and numbers.dtype.kind in "iu" and len(numbers):
        largest = max(numbers.max(), numbers.min(), key=lambda number: abs(int(number)))
        if abs(int(largest)) > EXACT:
            raise DataError(
                f"{what} holds {largest}; the float64 numbers of a matrix are exact up to {EXACT} only: cast it to double in SQL "
                "if the rest does not matter"
            )
    return numbers


def _is_list_of_numbers(kind: pa.DataType) -> bool:
    return is_list(kind) and is_number(kind.value_type)
