"""Read the JSON lines that Spark writes: by column with Arrow, or by row where Arrow cannot."""

from __future__ import annotations

import base64
import io
import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

import pyarrow as pa
import pyarrow.json as arrow_json

from mlsql_runtime.errors import DataError
from mlsql_runtime.feed.decoding.vectors import VECTOR_TYPE, is_vector

BLOCK = 1 << 20  # bytes of text at a time, of which Arrow has several under way; a row must fit, or it grows
MAX_BLOCK = 1 << 30
ROWS = 8192
_OTHER_TYPE = re.compile("changed from (number|string) to (number|string)")
_QUOTED = re.compile(rb'(?<=[:,\[])"(NaN|-?Infinity)"(?=[,}\]])')  # a value that is all of this; quotes inside text are escaped
Source = Callable[[], pa.NativeFile]


def read_json_file(path: str, schema: pa.Schema, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Yield all rows of a file, which may be compressed; its name tells how.

    Batches have ``columns``, or those of them that rows have, and perhaps others.

    :param schema: of the whole table.
    :raises DataError: when the text is not JSON lines.
    """
    limit = os.path.getsize(path) * 2000  # gzip's best ratio is near 1000
    return _read(lambda: pa.input_stream(path, compression="detect"), limit, schema, columns, path)


def read_json_text(text: bytes, schema: pa.Schema, columns: Sequence[str], what: str) -> Iterator[pa.RecordBatch]:
    """Yield all rows of JSON lines in memory; ``what`` names them in errors."""
    return _read(lambda: pa.BufferReader(text), len(text), schema, columns, what)


def _read(open_stream: Source, limit: int, schema: pa.Schema, columns: Sequence[str], what: str) -> Iterator[pa.RecordBatch]:
    """Read by column. NaN and infinities are text in Spark's JSON: at the first of them, go on by column without their quotes,
    and where other text looks like them, by row."""
    plain = _parse_options(schema, columns)
    ways: tuple[Callable[[int], Iterator[pa.RecordBatch]], ...] = (
        lambda skip: _by_column(open_stream, limit, plain, skip),
        lambda skip: _by_column(lambda: _unquoted(open_stream()), limit, plain, skip),
        lambda skip: _by_row(open_stream, schema, columns, skip),
    )
    sent = 0
    for number, way in enumerate(ways, 1):
        try:
            for batch in way(sent):
                sent += batch.num_rows
                yield _decode_binary(batch, schema)
            return
        except (pa.ArrowInvalid, pa.ArrowTypeError, ValueError, OverflowError, RecursionError) as error:
            if number == len(ways) or not _OTHER_TYPE.search(str(error)):
                raise DataError(f"{what}: {str(error)[:500]}") from error


def _parse_options(schema: pa.Schema, columns: Sequence[str]) -> arrow_json.ParseOptions:
    """Return options that skip other columns, if no type has to be inferred."""
    wanted = pa.schema([schema.field(name) for name in columns])
    if all(_is_plain(field.type) for field in wanted):
        return arrow_json.ParseOptions(pa.schema(map(_read_as, wanted)), unexpected_field_behavior="ignore")
    return arrow_json.ParseOptions(pa.schema([_read_as(field) for field in schema if _is_plain(field.type)]))


def _by_column(open_stream: Source, limit: int, parse: arrow_json.ParseOptions, skip: int) -> Iterator[pa.RecordBatch]:
    limit = min(limit, MAX_BLOCK)
    block, sent = BLOCK, skip
    while True:
        seen = 0
        try:
            with open_stream() as stream:
                for batch in arrow_json.open_json(stream, arrow_json.ReadOptions(block_size=block), parse):
                    seen += batch.num_rows
                    if seen > sent:  # after another start, go on where the one before stopped
                        fresh = batch.slice(max(0, batch.num_rows - (seen - sent)))
                        sent = seen
                        yield fresh
            return
        except pa.ArrowInvalid as error:
            if "straddling" not in str(error) or block > limit:
                raise
            block = min(block * 4, MAX_BLOCK)


class _Unquoted(io.RawIOBase):
    """A stream of JSON lines in which NaN and infinities have no quotes, so that Arrow reads them as numbers."""

    def __init__(self, stream: pa.NativeFile) -> None:
        self._lines = io.BufferedReader(stream)
        self._ready = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._ready:
            self._ready = memoryview(_QUOTED.sub(rb"\1", b"".join(self._lines.readlines(BLOCK))))
        size = min(len(buffer), len(self._ready))
        buffer[:size], self._ready = self._ready[:size], self._ready[size:]
        return size


def _unquoted(stream: pa.NativeFile) -> pa.NativeFile:
    return pa.PythonFile(io.BufferedReader(_Unquoted(stream)), mode="r")


def _read_as(field: pa.Field) -> pa.Field:
    """Return the field with the type to read it as: a null vector has no ``type``, which Spark's own type requires."""
    return pa.field(field.name, VECTOR_TYPE if is_vector(field.type) else field.type)


def _is_plain(kind: pa.DataType) -> bool:
    """Return whether JSON text gives values of this type back; others are inferred, and cast afterwards."""
    if pa.types.is_list(kind):
        return _is_plain(kind.value_type)
    is_number = pa.types.is_integer(kind) or pa.types.is_floating(kind)
    return is_vector(kind) or is_number or pa.types.is_boolean(kind) or pa.types.is_string(kind)


def _decode_binary(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """Decode binary columns, which Spark writes as base64."""
    binary = {field.name for field in schema if pa.types.is_binary(field.type)}
    for position, name in enumerate(batch.schema.names):
        if name in binary:
            texts = batch.column(position).to_pylist()
            values = [None if text is None else base64.b64decode(text) for text in texts]
            batch = batch.set_column(position, name, pa.array(values, pa.binary()))
    return batch


def _by_row(open_stream: Source, schema: pa.Schema, columns: Sequence[str], skip: int) -> Iterator[pa.RecordBatch]:
    types = {field.name: field.type for field in schema if _is_plain(field.type)}
    with open_stream() as stream:
        lines = islice((line for line in io.BufferedReader(stream) if line.strip()), skip, None)
        while rows := [_load_object(line) for line in islice(lines, ROWS)]:
            values_of = {name: [_number(row.get(name), types.get(name)) for row in rows] for name in columns}
            arrays = {name: pa.array(values, types.get(name)) for name, values in values_of.items()}
            yield pa.RecordBatch.from_pydict(arrays)


def _load_object(line: bytes) -> dict[str, Any]:
    row = json.loads(line)
    if not isinstance(row, dict):
        raise ValueError(f"expected a JSON object, got {line[:60]!r}")
    return row


def _number(value: Any, kind: pa.DataType | None) -> Any:
    """Return a JSON value with text converted to a float where its type is one."""
    if kind is None:
        return value
    if isinstance(value, str) and pa.types.is_floating(kind):
        return float(value)
    if isinstance(value, list) and pa.types.is_list(kind):
        return [_number(item, kind.value_type) for item in value]
    if isinstance(value, dict) and pa.types.is_struct(kind):
        return {field.name: _number(value.get(field.name), field.type) for field in kind}
    return value
