"""Read a table's files as Arrow batches, inside the script's process, without a Python loop over rows."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa

from mlsql_runtime.errors import DataError, InputError
from mlsql_runtime.feed.table_files import TableFiles
from mlsql_runtime.feed.vectors import VECTOR_TYPE, is_vector

READ_ROWS = 8192
JSON_BLOCK = 8 << 20  # bytes; a row must fit, so it doubles when one does not


def table_schema(table: TableFiles) -> pa.Schema:
    """The table's columns as Spark had them, vectors as their struct."""
    return pa.ipc.read_schema(pa.py_buffer(base64.b64decode(table.schema)))


def read_arrow(table: TableFiles) -> Iterator[pa.RecordBatch]:
    """All rows in batches of the reader's own size, file after file, with bounded memory.

    :raises InputError: for a format that only the script itself can read.
    :raises DataError: when the files hold another number of rows than Spark wrote.
    """
    readers: dict[str, Callable[[TableFiles, str], Iterator[pa.RecordBatch]]] = {
        "json": _read_json,
        "parquet": _read_parquet,
        "csv": _read_csv,
        "orc": _read_orc,
    }
    if table.format not in readers:
        raise InputError(
            f"the data are in format {table.format}, which mlsql's readers do not read; read the files in "
            f"tempDataLocalPath yourself, or set dataLocalFormat to one of {', '.join(readers)}"
        )
    found = 0
    for name in data_files(table.path):
        for batch in readers[table.format](table, name):
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


def _read_parquet(table: TableFiles, path: str) -> Iterator[pa.RecordBatch]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=READ_ROWS):
            yield _conform(batch, table)


def _read_orc(table: TableFiles, path: str) -> Iterator[pa.RecordBatch]:
    from pyarrow import orc

    file = orc.ORCFile(path)
    for stripe in range(file.nstripes):
        yield _conform(file.read_stripe(stripe), table)


def _read_json(table: TableFiles, path: str) -> Iterator[pa.RecordBatch]:
    from pyarrow import json

    if os.path.getsize(path) == 0:
        return
    parse = json.ParseOptions(explicit_schema=pa.schema([field for field in table_schema(table) if _is_plain(field.type)]))
    block = JSON_BLOCK
    sent = 0
    while True:
        try:
            seen = 0
            with pa.input_stream(path, compression="detect") as stream:
                for batch in json.open_json(stream, json.ReadOptions(block_size=block), parse):
                    seen += batch.num_rows
                    if seen > sent:  # after a second start, go on where the first one stopped
                        fresh = batch.slice(max(0, batch.num_rows - (seen - sent)))
                        sent = seen
                        yield _conform(fresh, table)
            return
        except pa.ArrowInvalid as error:
            if "straddling" not in str(error) or block > os.path.getsize(path) * 64:
                raise DataError(f"{path}: {error}") from error
            block *= 4


def _read_csv(table: TableFiles, path: str) -> Iterator[pa.RecordBatch]:
    from pyarrow import csv

    if os.path.getsize(path) == 0:
        return
    options = {key.lower(): value for key, value in table.options.items()}
    schema = table_schema(table)
    header = options.get("header", "false") == "true"
    with pa.input_stream(path, compression="detect") as stream:
        yield from csv.open_csv(
            stream,
            csv.ReadOptions(column_names=schema.names, skip_rows=1 if header else 0),
            csv.ParseOptions(
                delimiter=options.get("sep", options.get("delimiter", ",")),
                quote_char=options.get("quote", '"'),
                escape_char=options.get("escape", "\\"),
            ),
            csv.ConvertOptions(
                column_types=schema,
                null_values=[options.get("nullvalue", "")],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        )


def _is_plain(kind: pa.DataType) -> bool:
    """Types that JSON text gives back as they were; the others are left to inference and cast afterwards."""
    if pa.types.is_list(kind):
        return _is_plain(kind.value_type)
    is_number = pa.types.is_integer(kind) or pa.types.is_floating(kind)
    return is_vector(kind) or is_number or pa.types.is_boolean(kind) or pa.types.is_string(kind)


def _conform(batch: pa.RecordBatch, table: TableFiles) -> pa.RecordBatch:
    """All columns of the table in its order: a column that no row of a file has is absent there (JSON) and null here."""
    arrays: list[pa.Array] = []
    fields = []
    for field in table_schema(table):
        kind = VECTOR_TYPE if is_vector(field.type) else field.type
        position = batch.schema.get_field_index(field.name)
        if position < 0:
            arrays.append(pa.nulls(batch.num_rows, kind))
        else:
            arrays.append(_cast(batch.column(position), kind))
        fields.append(pa.field(field.name, arrays[-1].type))
    return pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields))


def _cast(array: pa.Array, kind: pa.DataType) -> Any:
    try:
        return array if array.type == kind else array.cast(kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return array
