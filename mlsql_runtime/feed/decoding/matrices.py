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
from mlsql_runtime.feed.decoding.vectors import all_sparse, common_width, fill_dense, is_vector, to_matrix, to_numpy

Matrix = Any  # an ndarray or a csr_matrix


def check_column(name: str, columns: Sequence[str], option: str) -> None:
    """Raise an error if the table has no such column.

    :param option: the fit parameter that names the column, for the error.
    :raises DataError: with the columns of the table.
    """
    if name not in columns:
        raise DataError(
            f"the table has no column '{name}'{did_you_mean(name, columns)}; "
            f"name the column in fitParam.<i>.{option}, or call it '{name}' in SQL",
            column=name,
            columns=list(columns),
        )


def complete_column(table: pa.Table, name: str, option: str) -> pa.ChunkedArray:
    """Return a column without nulls.

    :raises DataError: when the table has no such column, or it holds nulls.
    """
    check_column(name, table.column_names, option)
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
    found = complete_column(table, name, "inputCol")
    what = f"column '{name}'"
    if is_vector(found.type):
        return _vectors(_pieces(found), what, sparse)
    if _is_list_of_numbers(found.type):
        return _lists(_pieces(found), what)
    if _is_number(found.type):
        return _joined([_floats(piece).reshape(-1, 1) for piece in _pieces(found)])
    raise DataError(f"{what} is of type {found.type}; expected a vector, a list of numbers, or a number", column=name)


def label_array(table: pa.Table, name: str) -> np.ndarray[Any, Any]:
    """Return labels of shape (n,): numbers as they are, text as objects."""
    found = complete_column(table, name, "label")
    decoded = _floats if pa.types.is_decimal(found.type) else to_numpy
    return _joined([decoded(piece) for piece in _pieces(found)])


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
    lengths = np.unique(np.concatenate([np.unique(to_numpy(piece.value_lengths())) for piece in pieces]))
    if any(piece.flatten().null_count for piece in pieces):
        raise DataError(f"{what} holds lists with nulls in them; fill or filter them in SQL")
    if len(lengths) > 1:
        raise DataError(f"{what}: expected lists of one length, got lengths {lengths[0]} and {lengths[-1]}")
    width = int(lengths[0]) if len(lengths) else 0
    return _joined([_floats(piece.flatten()).reshape(len(piece), width) for piece in pieces])


def _is_number(kind: pa.DataType) -> bool:
    tests = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal, pa.types.is_boolean)
    return any(test(kind) for test in tests)


def _floats(array: pa.Array) -> np.ndarray[Any, np.dtype[np.float64]]:
    return to_numpy(array.cast(pa.float64()))


def _is_list_of_numbers(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind)) and _is_number(kind.value_type)
