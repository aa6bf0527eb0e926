"""Read a table as Arrow batches, inside the script's process, without a Python loop over rows: from files or a topic."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from mlsql_runtime import codec
from mlsql_runtime.feed.decoding.vectors import VECTOR_TYPE, is_vector
from mlsql_runtime.feed.files.formats import read_files
from mlsql_runtime.feed.files.table import TableFiles
from mlsql_runtime.feed.topic.table import TableTopic
from mlsql_runtime.kafka.settings import KafkaSettings


def table_schema(table: TableFiles | TableTopic) -> pa.Schema:
    """The table's columns as Spark had them, vectors as their struct."""
    return pa.ipc.read_schema(pa.py_buffer(base64.b64decode(table.schema)))


def read_arrow(table: TableFiles | TableTopic, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
    """All rows in batches of the reader's own size, with bounded memory.

    :param columns: of the table's, the only ones to decode, in this order; None for all of them.
    :raises InputError: for a format that only the script itself can read.
    :raises DataError: for files that do not hold the table, or another number of rows than Spark wrote.
    :raises IntegrityError: for a topic that does not.
    """
    schema = table_schema(table)
    wanted = schema if columns is None else pa.schema([schema.field(name) for name in columns])
    for batch in _read(table, schema, wanted.names):
        yield _conform(batch, wanted)


def _read(table: TableFiles | TableTopic, schema: pa.Schema, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    if isinstance(table, TableTopic):
        return _read_topic(table, schema, columns)
    return read_files(table, schema, columns)


def _read_topic(table: TableTopic, schema: pa.Schema, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    from mlsql_runtime.feed.topic.receive import TopicRange, receive, receive_json

    settings = codec.loads(KafkaSettings, Path(table.settings).read_bytes(), table.settings)
    span = TopicRange(table.topic, *({int(n): offset for n, offset in each.items()} for each in (table.starts, table.ends)))
    if table.parts is None:
        return receive_json(settings, span, table.group, table.rows, schema, columns)
    places = sorted(schema.names.index(name) for name in columns)
    names = [schema.names[place] for place in places]
    return (batch.rename_columns(names) for batch in receive(settings, span, table.group, table.parts, places))


def rebatch(batches: Iterator[pa.RecordBatch], max_records: int) -> Iterator[pa.Table]:
    """The same rows in tables of exactly ``max_records``, but for the last one."""
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
    """All columns of the table in its order: a column that no row of a file has is absent there (JSON) and null here."""
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
