"""Read the JSON lines that Spark writes: by column with Arrow, or by row where Arrow cannot."""

from __future__ import annotations

import base64
import io
import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from itertools import islice
from typing import Any

import pyarrow as pa
import pyarrow.json as arrow_json

from mlsql_runtime.errors import DataError
from mlsql_runtime.feed.decoding.sql_types import is_list
from mlsql_runtime.feed.decoding.vectors import VECTOR_TYPE, check_sparse, is_vector

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
    """Read by column, and by row what Arrow cannot read so, such as maps.

    NaN and infinities are text in Spark's JSON: at the first of them, go on by column without their quotes, and where other text
    looks like them, by row.
    """
    parse = _parse_options(schema, columns)
    ways: tuple[Callable[[int], Iterator[pa.RecordBatch]], ...] = (
        lambda skip: _by_column(open_stream, limit, parse, skip),
        lambda skip: _by_column(lambda: _unquoted(open_stream()), limit, parse, skip),
        lambda skip: _by_row(open_stream, schema, columns, skip),
    )
    if any(_takes_rows(schema.field(name).type) for name in columns):
        ways = ways[2:]
    sent = 0
    for number, way in enumerate(ways, 1):
        try:
            for batch in way(sent):
                sent += batch.num_rows
                for vectors in filter(lambda column: is_vector(column.type), batch.columns):
                    check_sparse(vectors, what)
                yield _decode_binary(batch, schema)
            return
        except (pa.ArrowInvalid, pa.ArrowTypeError, ValueError, ArithmeticError, RecursionError) as error:
            if number == len(ways) or not _OTHER_TYPE.search(str(error)):
                raise DataError(f"{what}: {str(error)[:500]}") from error


def _parse_options(schema: pa.Schema, columns: Sequence[str]) -> arrow_json.ParseOptions:
    """Return options that skip other columns, if no type has to be inferred."""
    wanted = {name: _read_as(schema.field(name).type) for name in columns}
    if all(wanted.values()):
        return arrow_json.ParseOptions(pa.schema(wanted), unexpected_field_behavior="ignore")
    known = [(field.name, kind) for field in schema if (kind := _read_as(field.type)) is not None]
    return arrow_json.ParseOptions(pa.schema(known))


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


def _read_as(kind: pa.DataType) -> pa.DataType | None:
    """Return the type as which to read JSON text, None if it has to be inferred. Times are read as text, and cast afterwards.

    A null vector has no ``type``, which Spark's own type requires. A decimal keeps its digits.
    """
    if is_vector(kind):
        return VECTOR_TYPE
    if pa.types.is_date(kind) or pa.types.is_timestamp(kind) or pa.types.is_binary(kind):
        return pa.string()
    if is_list(kind):
        item = _read_as(kind.value_type)
        return None if item is None else pa.list_(item)
    if pa.types.is_struct(kind) and not _is_variant(kind):
        fields = {field.name: _read_as(field.type) for field in kind}
        return pa.struct(fields) if all(fields.values()) and len(fields) == kind.num_fields else None
    is_number = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    return kind if is_number or pa.types.is_boolean(kind) or pa.types.is_string(kind) else None


def _takes_rows(kind: pa.DataType, is_nested: bool = False) -> bool:
    """Return whether values have to be decoded one by one: maps, and in lists and structs bytes and what Arrow would infer."""
    if pa.types.is_map(kind):
        return True
    if is_vector(kind) or _is_variant(kind):
        return False
    if is_list(kind):
        return _takes_rows(kind.value_type, is_nested=True)
    if pa.types.is_struct(kind):
        return any(_takes_rows(field.type, is_nested=True) for field in kind)
    return is_nested and (pa.types.is_binary(kind) or _read_as(kind) is None)


def _is_variant(kind: pa.DataType) -> bool:
    """Return whether it is a variant of Spark, which is any value in JSON."""
    return pa.types.is_struct(kind) and any(b"variant" in (field.metadata or {}) for field in kind)


def _decode_binary(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """Decode binary columns, which Spark writes as base64."""
    binary = {field.name for field in schema if pa.types.is_binary(field.type)}
    for position, name in enumerate(batch.schema.names):
        if name in binary and not pa.types.is_binary(batch.schema.types[position]):
            texts = batch.column(position).to_pylist()
            values = [None if text is None else base64.b64decode(text) for text in texts]
            batch = batch.set_column(position, name, pa.array(values, pa.binary()))
    return batch


def _by_row(open_stream: Source, schema: pa.Schema, columns: Sequence[str], skip: int) -> Iterator[pa.RecordBatch]:
    kinds = {name: schema.field(name).type for name in columns}
    with open_stream() as stream:
        lines = islice((line for line in io.BufferedReader(stream) if line.strip()), skip, None)
        while rows := [_load_object(line) for line in islice(lines, ROWS)]:
            arrays = {name: _to_array([row.get(name) for row in rows], kind) for name, kind in kinds.items()}
            yield pa.RecordBatch.from_pydict(arrays)


def _to_array(values: list[Any], kind: pa.DataType) -> pa.Array:
    made = _made_of(kind)
    return pa.array(list(map(_infer, values)) if made is None else [_decode(value, kind) for value in values], made)


def _infer(value: Any) -> Any:
    """Return a JSON value with the numbers that Python has for it, of a type that nobody knows."""
    if isinstance(value, list):
        return list(map(_infer, value))
    if isinstance(value, dict):
        return {name: _infer(item) for name, item in value.items()}
    return float(value) if isinstance(value, Decimal) else value


def _made_of(kind: pa.DataType) -> pa.DataType | None:
    """Return the type of which :func:`_decode` makes values; None if it has to be inferred."""
    if pa.types.is_binary(kind):
        return kind
    if pa.types.is_map(kind):
        key, item = _made_of(kind.key_type), _made_of(kind.item_type)
        return None if key is None or item is None else pa.map_(key, item)
    if is_list(kind):
        item = _made_of(kind.value_type)
        return None if item is None else pa.list_(item)
    if _is_variant(kind):
        return None
    if pa.types.is_struct(kind) and not is_vector(kind):
        fields = {field.name: _made_of(field.type) for field in kind}
        return pa.struct(fields) if all(fields.values()) else None
    return _read_as(kind)


def _decode(value: Any, kind: pa.DataType) -> Any:
    """Return a JSON value as Arrow takes it for a type: bytes of base64, numbers of text, pairs of maps."""
    if value is None:
        return None
    if isinstance(value, list) and is_list(kind):
        return [_decode(item, kind.value_type) for item in value]
    if isinstance(value, dict) and pa.types.is_map(kind):
        return [(_decode_key(key, kind.key_type), _decode(item, kind.item_type)) for key, item in value.items()]
    if isinstance(value, dict) and pa.types.is_struct(kind):
        return {field.name: _decode(value.get(field.name), field.type) for field in kind}
    if isinstance(value, str) and pa.types.is_binary(kind):
        return base64.b64decode(value)
    if pa.types.is_decimal(kind) and isinstance(value, (int, float, Decimal)):
        return Decimal(value)
    return float(value) if isinstance(value, Decimal) or (isinstance(value, str) and pa.types.is_floating(kind)) else value


def _decode_key(text: str, kind: pa.DataType) -> Any:
    """Return the key of a map, which is text in JSON."""
    if pa.types.is_integer(kind):
        return int(text)
    if pa.types.is_boolean(kind):
        return text == "true"
    return _decode(Decimal(text) if pa.types.is_decimal(kind) else text, kind)


def _load_object(line: bytes) -> dict[str, Any]:
    row = json.loads(line, parse_float=Decimal)
    if not isinstance(row, dict):
        raise ValueError(f"expected a JSON object, got {line[:60]!r}")
    return row
