"""Read a table as pandas DataFrames, in which the type of a column follows from its Spark type alone.

docs/how-to/training.md has the table of types. In lists and dicts values are Python's own. An ndarray with null elements has NaN
for them if it is one of floats, else it is an ndarray of objects, with None.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mlsql_runtime.feed.decoding.matrices import complete_column
from mlsql_runtime.feed.decoding.vectors import VECTOR_TYPE, is_vector, to_lists
from mlsql_runtime.feed.reader import read_arrow, rebatch
from mlsql_runtime.feed.table_facts import decode_schema, in_known_zone

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pandas as pd

    from mlsql_runtime.feed.interface import ScriptTable

    Objects = np.ndarray[Any, np.dtype[np.object_]]


def read_frames(table: ScriptTable, columns: Sequence[str], label: str | None, max_records: int) -> Iterator[pd.DataFrame]:
    """Yield frames of ``max_records`` rows each, the last one shorter; memory holds one batch.

    :param columns: the columns of the frames; empty for all columns of the table.
    :param label: the label column, if the table has it; see :func:`to_frame`.
    """
    for each in rebatch(read_arrow(table, columns or None), max_records):
        yield to_frame(each, label)


def read_frame(table: ScriptTable, columns: Sequence[str], label: str | None) -> pd.DataFrame:
    """Return the whole table as one frame; see :func:`read_frames`."""
    if table.rows == 0:
        return make_empty_frame(table, columns, label)
    return to_frame(pa.Table.from_batches(read_arrow(table, columns or None)), label)


def make_empty_frame(table: ScriptTable, columns: Sequence[str], label: str | None) -> pd.DataFrame:
    """Return a frame without rows that has the columns of :func:`read_frame`."""
    schema = decode_schema(table.schema)
    fields = [schema.field(name) for name in columns or schema.names]
    types = {field.name: VECTOR_TYPE if is_vector(field.type) else field.type for field in fields}
    return to_frame(pa.schema(types).empty_table(), label)


def to_frame(table: pa.Table, label: str | None = None) -> pd.DataFrame:
    """Return the table as a frame, whose index counts its rows. Columns of one NumPy type are one block of memory.

    :param label: the label column: whole numbers and booleans have NumPy's own types there, and decimals are float64. It
        may be absent.
    :raises DataError: when the label column holds nulls.
    """
    import pandas as pd

    nullable = {
        pa.int8(): pd.Int8Dtype(),
        pa.int16(): pd.Int16Dtype(),
        pa.int32(): pd.Int32Dtype(),
        pa.int64(): pd.Int64Dtype(),
        pa.bool_(): pd.BooleanDtype(),
    }
    if label not in table.column_names:
        label = None
    if label is not None:
        values = complete_column(table, label)
        if pa.types.is_decimal(values.type):  # of which estimators know no classes; exact, as Arrow's own cast is not
            table = table.set_column(table.column_names.index(label), label, values.cast(pa.string()).cast(pa.float64()))
    table = in_known_zone(table)
    flat = table
    nested = [place for place, field in enumerate(table.schema) if pa.types.is_nested(field.type)]
    for place in nested:
        flat = flat.set_column(place, table.schema.names[place], pa.nulls(table.num_rows))
    with pd.option_context("future.infer_string", False):  # text is object with pandas 3, too
        frame: pd.DataFrame = flat.to_pandas(types_mapper=nullable.get, date_as_object=False, ignore_metadata=True)
    for place in nested:
        pieces = [_to_objects(piece) for piece in table.column(place).chunks]
        frame.isetitem(place, np.concatenate(pieces) if pieces else np.empty(0, object))
    if label is not None and (kind := frame[label].dtype) in nullable.values():
        frame[label] = frame[label].to_numpy(kind.numpy_dtype)
    return frame


def _to_objects(array: pa.Array) -> Objects:
    """Return an object for each vector, list, map or struct, shape (n,); None for null."""
    if is_vector(array.type):
        return _to_arrays(to_lists(array))
    if (pa.types.is_list(array.type) or pa.types.is_large_list(array.type)) and _is_numeric(array.type.value_type):
        return _to_arrays(array)
    values = array.to_pylist()
    if _has_maps(array.type):
        values = [with_dicts(value, array.type) for value in values]
    return np.fromiter(values, object, len(array))


def _has_maps(kind: pa.DataType) -> bool:
    return pa.types.is_map(kind) or any(_has_maps(kind.field(place).type) for place in range(kind.num_fields))


def with_dicts(value: Any, kind: pa.DataType) -> Any:
    """Return a value with dicts for its maps, which Arrow gives as lists of pairs."""
    if value is None or not _has_maps(kind):
        return value
    if pa.types.is_map(kind):
        pairs = [(key, with_dicts(item, kind.item_type)) for key, item in value]
        return pairs if pa.types.is_nested(kind.key_type) else dict(pairs)
    if pa.types.is_struct(kind):
        return {field.name: with_dicts(value[field.name], field.type) for field in kind}
    return [with_dicts(item, kind.value_type) for item in value]


def _is_numeric(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind))


def _to_arrays(lists: pa.ListArray) -> Objects:
    """Return the elements of each list as an ndarray."""
    elements = lists.flatten()
    if not elements.null_count or pa.types.is_floating(elements.type):
        return np.asarray(lists.to_pandas())
    lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy()
    ends = np.cumsum(lengths)
    starts = ends - lengths
    nulls = np.concatenate(([0], np.cumsum(elements.is_null().to_numpy(zero_copy_only=False))))
    known = pc.fill_null(elements, False if pa.types.is_boolean(elements.type) else 0).to_numpy(zero_copy_only=False)
    arrays = np.fromiter((known[start:end] for start, end in zip(starts, ends, strict=True)), object, len(lists))
    for row in np.flatnonzero(nulls[ends] > nulls[starts]):
        arrays[row] = np.array(lists[row].as_py(), object)
    arrays[lists.is_null().to_numpy(zero_copy_only=False)] = None
    return arrays
