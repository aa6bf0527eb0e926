"""Read the JSON lines that Spark writes: by column with Arrow, and by row where Arrow cannot."""

from __future__ import annotations

import base64
import io
import json
import os
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import pyarrow as pa

from mlsql_runtime.errors import DataError
from mlsql_runtime.feed.vectors import VECTOR_TYPE, is_vector

BLOCK = 8 << 20  # bytes of text at a time; a row must fit, so it grows when one does not
MAX_BLOCK = 1 << 30
ROWS = 8192
Source = Callable[[], pa.NativeFile]


def read_json(path: str, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """All rows of a file, with whatever columns its rows have; compressed files by their ending.

    :raises DataError: for text that is not JSON lines.
    """
    limit = os.path.getsize(path) * 2000  # gzip's best ratio is near 1000
    return _read(lambda: pa.input_stream(path, compression="detect"), limit, schema, path)


def read_json_text(text: bytes, schema: pa.Schema, what: str) -> Iterator[pa.RecordBatch]:
    """The same of JSON lines in memory. ``what`` names them in errors."""
    return _read(lambda: pa.BufferReader(text), len(text), schema, what)


def _read(open_stream: Source, limit: int, schema: pa.Schema, what: str) -> Iterator[pa.RecordBatch]:
    sent = 0
    try:
        for batch in _by_column(open_stream, limit, schema):
            sent += batch.num_rows
            yield batch
    except pa.ArrowInvalid as error:
        if "changed from number to string" not in str(error):
            raise DataError(f"{what}: {error}") from error
        try:
            yield from _by_row(open_stream, schema, skip=sent)
        except (pa.ArrowInvalid, pa.ArrowTypeError, ValueError) as wrong:
            raise DataError(f"{what}: {wrong}") from wrong


def _by_column(open_stream: Source, limit: int, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    from pyarrow import json as arrow_json

    parse = arrow_json.ParseOptions(explicit_schema=pa.schema([_read_as(field) for field in schema if _is_plain(field.type)]))
    limit = min(limit, MAX_BLOCK)
    block, sent = BLOCK, 0
    while True:
        seen = 0
        try:
            with open_stream() as stream:
                for batch in arrow_json.open_json(stream, arrow_json.ReadOptions(block_size=block), parse):
                    seen += batch.num_rows
                    if seen > sent:  # after a second start, go on where the first one stopped
                        fresh = batch.slice(max(0, batch.num_rows - (seen - sent)))
                        sent = seen
                        yield _decode_binary(fresh, schema)
            return
        except pa.ArrowInvalid as error:
            if "straddling" not in str(error) or block > limit:
                raise
            block = min(block * 4, MAX_BLOCK)


def _read_as(field: pa.Field) -> pa.Field:
    """A null vector has no ``type``, which Spark's own type of a vector demands."""
    return pa.field(field.name, VECTOR_TYPE if is_vector(field.type) else field.type)


def _is_plain(kind: pa.DataType) -> bool:
    """Types that JSON text gives back as they were; the others are left to inference and cast afterwards."""
    if pa.types.is_list(kind):
        return _is_plain(kind.value_type)
    is_number = pa.types.is_integer(kind) or pa.types.is_floating(kind)
    return is_vector(kind) or is_number or pa.types.is_boolean(kind) or pa.types.is_string(kind)


def _decode_binary(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """Spark writes binary columns as base64."""
    for position, name in enumerate(batch.schema.names):
        if name in schema.names and pa.types.is_binary(schema.field(name).type):
            texts = batch.column(position).to_pylist()
            values = [None if text is None else base64.b64decode(text) for text in texts]
            batch = batch.set_column(position, name, pa.array(values, pa.binary()))
    return batch


def _by_row(open_stream: Source, schema: pa.Schema, skip: int) -> Iterator[pa.RecordBatch]:
    """Spark writes NaN and infinities as text, which Arrow does not take for numbers."""
    types = {field.name: field.type for field in schema if _is_plain(field.type)}
    with open_stream() as stream:
        lines = islice((line for line in io.BufferedReader(stream) if line.strip()), skip, None)
        while rows := [json.loads(line) for line in islice(lines, ROWS)]:
            columns = {name: [_number(row.get(name), types.get(name)) for row in rows] for name in schema.names}
            arrays = {name: pa.array(values, types.get(name)) for name, values in columns.items()}
            yield _decode_binary(pa.RecordBatch.from_pydict(arrays), schema)


def _number(value: Any, kind: pa.DataType | None) -> Any:
    """A JSON value with text turned into a float wherever its type wants one."""
    if kind is None:
        return value
    if isinstance(value, str) and pa.types.is_floating(kind):
        return float(value)
    if isinstance(value, list) and pa.types.is_list(kind):
        return [_number(item, kind.value_type) for item in value]
    if isinstance(value, dict) and pa.types.is_struct(kind):
        return {field.name: _number(value.get(field.name), field.type) for field in kind}
    return value
