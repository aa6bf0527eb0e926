"""What a predict function returns, as an Arrow array of the type that it declares.

A result may be an array, a list, a pandas Series or DataFrame, or a dict of these; see ``python_fun.batch_udf``. A value of
another type than the declared one is an error that shows it, unless nothing is lost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mlsql_runtime.errors import find_nearest
from mlsql_runtime.feed.decoding.sql_types import is_list, is_number, name_type
from mlsql_runtime.feed.decoding.vectors import VectorColumns, is_vector, join_vectors

_MAX_VALUES = 2**31 - 1  # Arrow counts the values of a batch of vectors or arrays in 32 bits
_SHOWN_LETTERS = 60
_ARROW = (pa.Array, pa.ChunkedArray)
_WRONG_VALUE = (pa.ArrowException, TypeError, ValueError, OverflowError)


class WrongResult(Exception):
    """A result that does not fit what the function declares; ``expected`` and ``got`` are texts."""

    def __init__(self, expected: str, got: str) -> None:
        super().__init__(f"expected {expected}, got {got}")
        self.expected, self.got = expected, got


def to_array(result: Any, kind: pa.DataType, rows: int) -> pa.Array:
    """Return the result for ``rows`` rows as an array of the type ``kind``.

    :raises WrongResult: when it has another length, or a value does not fit.
    """
    if rows == 1 and isinstance(result, np.ndarray) and result.ndim == 0:  # what numpy.squeeze makes of one row
        result = result.reshape(1)
    if is_vector(kind):
        return _to_vectors(result, rows)
    if pa.types.is_struct(kind):
        return _to_structs(result, kind, rows)
    if is_list(kind):
        return _to_lists(result, kind, rows)
    return _to_values(_flatten(result), kind, rows)


def place(array: pa.Array, null: np.ndarray[Any, np.dtype[np.bool_]]) -> pa.Array:
    """Return an array of n rows with the m rows of ``array`` where ``null`` is False, shape (n,), and nulls elsewhere."""
    return array.take(pa.array(np.cumsum(~null) - 1, mask=null))


def is_sparse(matrix: Any) -> bool:
    """Return whether it is one of SciPy's, without importing SciPy: functions of dense rows do not need it."""
    return hasattr(matrix, "tocsr")


# -- vectors


def _to_vectors(result: Any, rows: int) -> pa.StructArray:
    """Return a vector for each row of numbers of shape (n,) or (n, k); a SciPy matrix gives sparse vectors."""
    expected = f"an array of numbers of shape ({rows},) or ({rows}, k)"
    sparse = is_sparse(result)
    if sparse:
        matrix = result.tocsr()
        if not matrix.has_canonical_format:  # Spark expects indices in order, each once
            matrix = matrix.copy()
            matrix.sum_duplicates()
    else:
        matrix = np.asarray(result)
        matrix = matrix.reshape(-1, 1) if matrix.ndim == 1 else matrix
    if matrix.ndim != 2 or matrix.shape[0] != rows:
        raise WrongResult(expected, f"shape {np.shape(result)}")
    if matrix.dtype.kind not in "fiub":
        advice = "declare it, as in python_fun.batch_udf(…, returns='string')"
        raise WrongResult(expected, f"values of type {matrix.dtype}; {advice}")
    _check_size(matrix.nnz if sparse else matrix.size)
    values = matrix.data if sparse else np.ascontiguousarray(matrix).reshape(-1)
    return join_vectors(
        VectorColumns(
            sparse=np.full(rows, sparse),
            null=np.zeros(rows, dtype=bool),
            widths=np.full(rows, matrix.shape[1]),
            starts=matrix.indptr.astype(np.int64) if sparse else np.arange(rows + 1) * matrix.shape[1],
            columns=matrix.indices if sparse else np.empty(0, dtype=np.int64),
            values=values.astype(np.float64, copy=False),
        )
    )


def _check_size(values: int) -> None:
    if values > _MAX_VALUES:
        raise WrongResult(
            f"at most {_MAX_VALUES} values for one batch", f"{values}; lower spark.sql.execution.arrow.maxRecordsPerBatch"
        )


# -- structs and arrays


def _to_structs(result: Any, kind: pa.StructType, rows: int) -> pa.StructArray:
    """Return structs of the columns of a DataFrame, or of a dict."""
    names = [field.name for field in kind]
    expected = f"a DataFrame or a dict of arrays with {', '.join(names)}"
    if not isinstance(result, Mapping) and not hasattr(result, "columns"):
        raise WrongResult(expected, _describe(result))
    given = [str(name) for name in (result if isinstance(result, Mapping) else result.columns)]
    if sorted(given) != sorted(names):
        near = [f"; did you mean '{near}'?" for name in given if name not in names and (near := find_nearest(name, names))]
        raise WrongResult(expected, f"{', '.join(given) or 'nothing'}{near[0] if near else ''}")
    fields = []
    for field in kind:
        try:
            fields.append(to_array(result[field.name], field.type, rows))
        except WrongResult as error:
            raise WrongResult(f"{error.expected} in '{field.name}'", error.got) from None
    return pa.StructArray.from_arrays(fields, fields=list(kind))


def _to_lists(result: Any, kind: pa.ListType, rows: int) -> pa.Array:
    """Return arrays: the rows of a matrix, or a list of arrays of any lengths."""
    matrix = result.toarray() if is_sparse(result) else result.to_numpy() if hasattr(result, "columns") else result
    if getattr(matrix, "ndim", 1) != 2:
        return _to_values(_flatten(matrix), kind, rows)
    if len(matrix) != rows:
        raise WrongResult(f"{rows} rows of {name_type(kind)}", f"shape {np.shape(matrix)}")
    _check_size(matrix.size)
    values = _to_values(np.ascontiguousarray(matrix).reshape(-1), kind.value_type, matrix.size, matrix.shape[1])
    starts = np.arange(rows + 1, dtype=np.int32) * matrix.shape[1]
    return pa.ListArray.from_arrays(pa.array(starts, pa.int32()), values, type=kind)


# -- values


def _flatten(result: Any) -> Any:
    """Return a matrix or a DataFrame of one column as its column."""
    if hasattr(result, "columns") and len(result.columns) == 1:
        return result.iloc[:, 0]
    return result[:, 0] if getattr(result, "ndim", 1) == 2 and result.shape[1] == 1 else result


def _to_values(values: Any, kind: pa.DataType, count: int, width: int = 1) -> pa.Array:
    """Return ``count`` values of the type, ``width`` for each row."""
    expected = f"{count} values of type {name_type(kind)}"
    if isinstance(values, (str, bytes, Mapping)) or not hasattr(values, "__len__") or getattr(values, "ndim", 1) != 1:
        raise WrongResult(expected, _describe(values))
    if len(values) != count:
        raise WrongResult(expected, str(len(values)))
    try:
        return _cast(values, kind)
    except _WRONG_VALUE as error:
        raise _find_wrong(values, kind, width) or WrongResult(expected, f"{_describe(values)} ({error})") from error


def _to_arrow(values: Any, kind: pa.DataType) -> pa.Array:
    """Return values as an Arrow array; NaN is a number where numbers with a fraction are expected, and elsewhere pandas' null."""
    if not pa.types.is_floating(kind.value_type if is_list(kind) else kind):
        return pa.array(values, from_pandas=True)
    try:
        return pa.array(values, from_pandas=False)
    except pa.ArrowInvalid:  # pandas' own null may be among them
        return pa.array([None if type(each).__name__ == "NAType" else each for each in values], from_pandas=False)


def _cast(values: Any, kind: pa.DataType) -> pa.Array:
    """Return values as an array of the type.

    :raises TypeError: when they are of another type.
    :raises pyarrow.ArrowException: when Arrow cannot convert them without loss.
    """
    if pa.types.is_map(kind):
        return pa.array([each if each is None else list(each.items()) for each in values], kind)
    values = _to_sequence(values)
    found = values if isinstance(values, _ARROW) else _to_arrow(values, kind)
    found = found.combine_chunks() if isinstance(found, pa.ChunkedArray) else found
    found = found.dictionary_decode() if pa.types.is_dictionary(found.type) else found
    if found.type == kind:
        return found
    if not _is_near(found.type, kind):
        raise TypeError(f"values of type {name_type(found.type)}")
    if pa.types.is_decimal(found.type) and pa.types.is_floating(kind):
        found = pc.cast(found, pa.string())  # Arrow's own cast from decimal to double errs in the last bit
    elif pa.types.is_integer(found.type) and pa.types.is_decimal(kind):
        found = pc.cast(found, pa.decimal128(min(19 + kind.scale, 38), kind.scale))  # the type has to hold every whole number
    elif pa.types.is_timestamp(found.type) and pa.types.is_date(kind):
        return _to_dates(found)
    return pc.cast(found, kind)


def _to_dates(times: pa.TimestampArray) -> pa.Date32Array:
    """Return times at midnight, as pandas has dates, as dates.

    :raises TypeError: for other times.
    """
    dates = pc.cast(times, pa.date32(), safe=False)
    if not pc.all(pc.equal(pc.cast(dates, times.type), times)).as_py() and len(times) > times.null_count:
        raise TypeError("times within a day")
    return dates


def _to_sequence(values: Any) -> Any:
    """Return what Arrow reads: its own arrays, a Series, an ndarray or a list."""
    if isinstance(values, _ARROW) or hasattr(values, "iloc"):
        return values
    return np.asarray(values) if hasattr(values, "__array__") else list(values)


def _is_near(given: pa.DataType, kind: pa.DataType) -> bool:
    """Return whether Arrow's cast gives values of one type as the same values of the other, or an error."""
    if pa.types.is_null(given):
        return True
    if is_list(kind):
        return is_list(given) and _is_near(given.value_type, kind.value_type)
    if pa.types.is_boolean(kind):
        return bool(pa.types.is_boolean(given))
    if is_number(kind):
        return is_number(given)
    if pa.types.is_timestamp(kind):
        return bool(pa.types.is_timestamp(given)) and (given.tz is None) == (kind.tz is None)
    if pa.types.is_date(kind) and pa.types.is_timestamp(given):
        return given.tz is None
    return name_type(given) == name_type(kind) or (pa.types.is_duration(kind) and pa.types.is_duration(given))


def _find_wrong(values: Sequence[Any], kind: pa.DataType, width: int) -> WrongResult | None:
    """Return an error that shows the first value that is not of the type."""
    for position, value in enumerate(values):
        try:
            _cast([value], kind)
        except _WRONG_VALUE:
            plain = value.item() if isinstance(value, np.generic) else value
            return WrongResult(f"{name_type(kind)} for each row", f"{_shorten(repr(plain))} for row {position // width}")
    return None


def _describe(result: Any) -> str:
    """Return the class of a result, and its shape if it has one."""
    shape = getattr(result, "shape", None)
    return type(result).__name__ + (f" of shape {shape}" if shape is not None else f" {_shorten(repr(result))}")


def _shorten(text: str) -> str:
    return text if len(text) <= _SHOWN_LETTERS else f"{text[: _SHOWN_LETTERS - 3]}..."
