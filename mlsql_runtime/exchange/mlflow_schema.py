"""The signature of a function in MLflow's terms, and an example of its input."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from mlflow.models.signature import ModelSignature
from mlflow.types.schema import AnyType, Array, ColSpec, DataType, Map, Object, Property, Schema, TensorSpec

from mlsql_runtime.feed.decoding.frames import to_frame
from mlsql_runtime.feed.decoding.sql_types import is_list, is_number
from mlsql_runtime.feed.decoding.vectors import is_vector
from mlsql_runtime.scoring.arguments import Columns
from mlsql_runtime.scoring.loaded_function import LoadedFunction

_TESTS = (
    (pa.types.is_boolean, DataType.boolean),
    (pa.types.is_int64, DataType.long),
    (pa.types.is_integer, DataType.integer),
    (pa.types.is_float32, DataType.float),
    (pa.types.is_floating, DataType.double),
    (pa.types.is_decimal, DataType.double),
    (pa.types.is_string, DataType.string),
    (pa.types.is_binary, DataType.binary),
    (pa.types.is_date, DataType.datetime),
    (pa.types.is_timestamp, DataType.datetime),
)


def make_signature(function: LoadedFunction, example: Any, predicted: pa.Array | None) -> ModelSignature:
    """Return MLflow's signature of a function: a tensor for a function of vectors, else its columns by name.

    :param example: sample rows, see :func:`make_example`; they tell the length of vectors that no training has recorded.
    :param predicted: predictions for sample rows, which tell the length of vectors; None without sample rows.
    """
    parameters = function.parameters
    if takes_matrix(function):
        width = function.record.feature_width or (-1 if example is None else example.shape[1])
        inputs = Schema([TensorSpec(np.dtype(np.float64), (-1, width))])
    else:
        columns = zip(parameters.names, parameters.kinds, strict=True)
        inputs = Schema([ColSpec(_to_type(kind), name) for name, kind in columns])
    return ModelSignature(inputs=inputs, outputs=None if predicted is None else _make_outputs(predicted))


def takes_matrix(function: LoadedFunction) -> bool:
    """Return whether the function takes rows of a matrix rather than columns with names."""
    kinds = function.parameters.kinds
    is_row = len(kinds) == 1 and (is_vector(kinds[0]) or (is_list(kinds[0]) and is_number(kinds[0].value_type)))
    return not kinds or (is_row and function.parameters.takes_rows)


def make_example(function: LoadedFunction, samples: Columns) -> Any:
    """Return sample rows as MLflow keeps them: a matrix, or a DataFrame of complete rows; None without a complete row."""
    null = samples.find_nulls()
    rows = samples if null is None else samples.filter(~null)
    if len(rows) == 0:
        return None
    if takes_matrix(function):
        from mlsql_runtime.feed.decoding.matrices import stack_features

        return stack_features(rows.table, rows.names, sparse=False)
    frame = to_frame(rows.table)
    for name, field in zip(rows.names, rows.table.schema, strict=True):
        column = frame[name]
        if pa.types.is_decimal(field.type):
            frame[name] = column.astype(np.float64)
        elif pa.types.is_timestamp(field.type):
            frame[name] = column if column.dt.tz is None else column.dt.tz_convert("UTC").dt.tz_localize(None)
        elif hasattr(column.dtype, "numpy_dtype"):
            frame[name] = column.to_numpy(column.dtype.numpy_dtype)
    return frame


def _make_outputs(predicted: pa.Array) -> Schema:
    kind = predicted.type
    if pa.types.is_struct(kind) and not is_vector(kind):
        return Schema([ColSpec(_to_type(field.type), field.name) for field in kind])
    if not is_vector(kind):
        return Schema([ColSpec(_to_type(kind))])
    from mlsql_runtime.feed.decoding.vectors import vector_widths

    is_number_each = set(vector_widths(predicted.drop_null()).tolist()) <= {1}
    return Schema([ColSpec(DataType.double if is_number_each else Array(DataType.double))])


def _to_type(kind: pa.DataType) -> Any:
    if is_vector(kind):
        return Array(DataType.double)
    if is_list(kind):
        return Array(_to_type(kind.value_type))
    if pa.types.is_map(kind):
        return Map(_to_type(kind.item_type))
    if pa.types.is_struct(kind):
        return Object([Property(field.name, _to_type(field.type)) for field in kind])
    return next((found for test, found in _TESTS if test(kind)), AnyType())
