"""Read a table as Arrow batches, inside the script's process, without a Python loop over rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from mlsql_runtime.feed.decoding.vectors import VECTOR_TYPE, is_vector
from mlsql_runtime.feed.table_facts import decode_schema

if TYPE_CHECKING:
    from mlsql_runtime.feed.interface import ScriptTable


def read_arrow(table: ScriptTable, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
    """Yield all rows in batches of the reader's own size, with bounded memory.

    :param columns: the only columns of the table to decode, in this order; None for all of them.
    :raises InputError: for a format that only the script itself can read.
    :raises DataError: when files do not hold the table, or another number of rows than Spark wrote.
    :raises IntegrityError: when a topic does not hold the records that were sent.
    """
    schema = decode_schema(table.schema)
    wanted = schema if columns is None else pa.schema([schema.field(name) for name in columns])
    for batch in table.read(schema, wanted.names):
        yield _conform(batch, wanted)


def rebatch(batches: Iterator[pa.RecordBatch], max_records: int) -> Iterator[pa.Table]:
    """Yield the same rows in tables of exactly ``max_records`` rows; the last one may have fewer."""
    waiting: list[pa.RecordBatch] = []
    count = 0
    for batch in batches:
        offset = 0
        while offset < batch.num_rows:
            part = batch.slice(offset, max_records - count)
            waiting.append(part)
            count += part.num_rows
            offset += part.num_rows
            if count == max_records:
                yield pa.Table.from_batches(waiting)
                waiting, count = [], 0
    if waiting:
        yield pa.Table.from_batches(waiting)


def _conform(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """Return the columns of ``schema`` in its order. A column that no row of a file has is absent there (JSON), and null here."""
    arrays: list[pa.Array] = []
    for field in schema:
        kind = VECTOR_TYPE if is_vector(field.type) else field.type
        position = batch.schema.get_field_index(field.name)
        arrays.append(pa.nulls(batch.num_rows, kind) if position < 0 else _cast(batch.column(position), kind))
    return pa.RecordBatch.from_arrays(arrays, names=schema.names)


def _cast(array: pa.Array, kind: pa.DataType) -> Any:
    try:
        return array if array.type == kind else array.cast(kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return array
