"""Read a table as Arrow batches, inside the script's process, without a Python loop over rows: from files or a topic."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from mlsql_runtime import codec
from mlsql_runtime.errors import DataError, InputError
from mlsql_runtime.feed.json_lines import read_json
from mlsql_runtime.feed.table_files import TableFiles
from mlsql_runtime.feed.table_topic import TableTopic
from mlsql_runtime.feed.vectors import VECTOR_TYPE, is_vector
from mlsql_runtime.kafka.settings import KafkaSettings

READ_ROWS = 8192


def table_schema(table: TableFiles | TableTopic) -> pa.Schema:
    """The table's columns as Spark had them, vectors as their struct."""
    return pa.ipc.read_schema(pa.py_buffer(base64.b64decode(table.schema)))


def read_arrow(table: TableFiles | TableTopic) -> Iterator[pa.RecordBatch]:
    """All rows in batches of the reader's own size, with bounded memory.

    :raises InputError: for a format that only the script itself can read.
    :raises DataError: for files that do not hold the table, or another number of rows than Spark wrote.
    :raises IntegrityError: for a topic that does not.
    """
    schema = table_schema(table)
    for batch in _read_topic(table, schema) if isinstance(table, TableTopic) else _read_files(table, schema):
        yield _conform(batch, schema)


def _read_topic(table: TableTopic, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    from mlsql_runtime.feed.receive import Span, receive, receive_json

    settings = codec.loads(KafkaSettings, Path(table.settings).read_bytes(), table.settings)
    span = Span(table.topic, *({int(n): offset for n, offset in each.items()} for each in (table.starts, table.ends)))
    if table.parts is None:
        return receive_json(settings, span, table.group, table.rows, schema)
    return (batch.rename_columns(schema.names) for batch in receive(settings, span, table.group, table.parts))


def _read_files(table: TableFiles, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    readers: dict[str, Callable[[str], Iterator[pa.RecordBatch]]] = {
        "json": lambda path: read_json(path, schema),
        "parquet": _read_parquet,
        "csv": lambda path: _read_csv(path, schema, table.options),
        "orc": _read_orc,
    }
    if table.format not in readers:
        raise InputError(
            f"the data are in format {table.format}, which mlsql's readers do not read; read the files in "
            f"tempDataLocalPath yourself, or set dataLocalFormat to one of {', '.join(readers)}"
        )
    found = 0
    for path in data_files(table.path):
        for batch in readers[table.format](path) if _has_content(path) else ():
            found += batch.num_rows
            yield batch
    if found != table.rows:
        raise DataError(
            f"{table.path}: Spark wrote {table.rows} rows, the script was offered {found}", expected=table.rows, found=found
        )


def data_files(folder: str) -> list[str]:
    """The files that hold rows, in a fixed order; Spark's own begin with ``_`` or ``.``."""
    paths = [os.path.join(where, name) for where, _, names in os.walk(folder) for name in names if name[0] not in "._"]
    return sorted(paths)


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


def _has_content(path: str) -> bool:
    """Whether there is a byte in it: Spark writes an empty file, compressed perhaps, for an empty partition."""
    with pa.input_stream(path, compression="detect") as stream:
        return bool(stream.read(1))


def _read_parquet(path: str) -> Iterator[pa.RecordBatch]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        yield from file.iter_batches(batch_size=READ_ROWS)


def _read_orc(path: str) -> Iterator[pa.RecordBatch]:
    from pyarrow import orc

    file = orc.ORCFile(path)
    for stripe in range(file.nstripes):
        yield file.read_stripe(stripe)


def _read_csv(path: str, schema: pa.Schema, given: Mapping[str, str]) -> Iterator[pa.RecordBatch]:
    from pyarrow import csv

    options = {key.lower(): value for key, value in given.items()}
    quote = options.get("quote", '"')
    escape = options.get("escape", "\\")
    parse = csv.ParseOptions(
        delimiter=options.get("sep", options.get("delimiter", ",")),
        quote_char=quote,
        escape_char=False if escape == quote else escape,
        newlines_in_values=True,
    )
    convert = csv.ConvertOptions(
        column_types=schema,
        null_values=[options.get("nullvalue", "")],
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
    )
    header = csv.ReadOptions(column_names=schema.names, skip_rows=1 if options.get("header") == "true" else 0)
    with pa.input_stream(path, compression="detect") as stream:
        try:
            yield from csv.open_csv(stream, header, parse, convert)
        except pa.ArrowInvalid as error:
            raise DataError(f"{path}: {error}") from error


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
