"""Columns of an Arrow table as what estimators take: a feature matrix and a label array."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from mlsql_runtime.errors import DataError, did_you_mean
from mlsql_runtime.feed.vectors import common_width, is_vector, to_matrix


def column(table: pa.Table, name: str, option: str) -> pa.Array:
    """One column in one piece, without nulls.

    :param option: the fit parameter that names the column, for the error.
    :raises DataError: when there is no such column, or it holds nulls.
    """
    if name not in table.column_names:
        raise DataError(
            f"the table has no column '{name}'{did_you_mean(name, table.column_names)}; "
            f"name the column in fitParam.<i>.{option}, or call it '{name}' in SQL",
            column=name,
            columns=table.column_names,
        )
    array = table.column(name).combine_chunks()
    if array.null_count:
        raise DataError(
            f"column '{name}' holds {array.null_count} nulls in {len(array)} rows; filter them out in SQL", column=name
        )
    return array


def features(table: pa.Table, name: str, sparse: bool | None = None) -> Any:
    """Shape (n, d): a vector column as CSR or dense (see :func:`to_matrix`), a list column as dense, a number as (n, 1)."""
    array = column(table, name, "inputCol")
    what = f"column '{name}'"
    if is_vector(array.type):
        return to_matrix(array, common_width(array, None, what), sparse)
    if _is_list_of_numbers(array.type):
        if array.flatten().null_count:
            raise DataError(f"{what} holds lists with nulls in them; fill or filter them in SQL", column=name)
        lengths = np.unique(array.value_lengths().to_numpy(zero_copy_only=False))
        if len(lengths) > 1:
            raise DataError(f"{what}: expected lists of one length, got lengths {lengths[0]} and {lengths[-1]}")
        return _floats(array.flatten()).reshape(len(array), int(lengths[0]) if len(lengths) else 0)
    if _is_number(array.type):
        return _floats(array).reshape(-1, 1)
    raise DataError(f"{what} is of type {array.type}; expected a vector, a list of numbers, or a number", column=name)


def _is_number(kind: pa.DataType) -> bool:
    numbers = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal, pa.types.is_boolean)
    return any(test(kind) for test in numbers)


def _floats(array: pa.Array) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.asarray(array.cast(pa.float64()).to_numpy(zero_copy_only=False))


def _is_list_of_numbers(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind)) and _is_number(kind.value_type)


def labels(table: pa.Table, name: str) -> np.ndarray[Any, Any]:
    """Shape (n,): numbers as they are, text as objects."""
    array = column(table, name, "label")
    return _floats(array) if pa.types.is_decimal(array.type) else np.asarray(array.to_numpy(zero_copy_only=False))
