"""JSON lines with the types that Spark infers: by column with Arrow where its rules are Spark's, else row by row."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from decimal import Decimal
from functools import reduce
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from mlsql_runtime.errors import DataError
from mlsql_runtime.feed.decoding.json_facts import looks_like_vector
from mlsql_runtime.feed.decoding.vectors import VECTOR_TYPE
from mlsql_runtime.local.data_source import DataFile
from mlsql_runtime.local.spark_types import as_vectors, check_names

_BLOCK = 1 << 30
_LONG = 1 << 63
_NULL, _LONG_TYPE, _DOUBLE, _TEXT = pa.null(), pa.int64(), pa.float64(), pa.string()


class _Float(float):
    """A number that remembers how it was written, for the case that its column turns out to be text."""

    text: str

    @classmethod
    def of(cls, text: str) -> _Float:
        number = cls(text)
        number.text = text
        return number


def read_json(files: list[DataFile]) -> pa.Table:
    """All objects; columns in the order of their names, null where an object has no such field.

    Objects with the fields of a vector become vectors.

    :raises DataError: naming file and line of what is no JSON object, or a name that differs in case only from another.
    """
    contents = [file.content().removeprefix(b"\xef\xbb\xbf") for file in files]
    table = _by_column(b"\n".join(contents))
    if table is None:
        table = _by_row([row for file, content in zip(files, contents, strict=True) for row in _objects(content, file)])
    check_names(table.column_names, files[0].place.uri)
    return table


# -- by column


def _by_column(content: bytes) -> pa.Table | None:
    """None when a column needs more than Arrow's inference: mixed types, objects, very large numbers."""
    if not content.strip():
        return pa.table({})
    try:
        table = _arrow(content, None)
        if any(pa.types.is_temporal(_innermost(field.type)) for field in table.schema):
            table = _arrow(content, [field.with_type(_as_text(field.type)) for field in table.schema])
    except pa.ArrowInvalid:
        return None
    if not all(_is_simple(table.column(name)) for name in table.column_names):
        return None
    return pa.table({name: _finished(table.column(name)) for name in sorted(table.column_names)})


def _arrow(content: bytes, fields: list[pa.Field] | None) -> pa.Table:
    from pyarrow import json as arrow_json

    parse = arrow_json.ParseOptions(explicit_schema=None if fields is None else pa.schema(fields))
    return arrow_json.read_json(pa.BufferReader(content), arrow_json.ReadOptions(block_size=min(len(content) + 1, _BLOCK)), parse)


def _innermost(kind: pa.DataType) -> pa.DataType:
    return _innermost(kind.value_type) if pa.types.is_list(kind) else kind


def _as_text(kind: pa.DataType) -> pa.DataType:
    """Text that looks like a time stays text."""
    if pa.types.is_list(kind):
        return pa.list_(_as_text(kind.value_type))
    return _TEXT if pa.types.is_temporal(kind) else kind


def _is_simple(column: pa.ChunkedArray) -> bool:
    """Whether Arrow's type is Spark's. Integers beyond 64 bits are decimals in Spark and doubles in Arrow."""
    kind = _innermost(column.type)
    if pa.types.is_struct(kind):
        return column.type == kind and _is_vector(kind)
    if column.type == _DOUBLE:
        largest = pc.max(pc.abs(column)).as_py()
        return largest is None or largest < _LONG
    return bool(kind in (_NULL, _LONG_TYPE, _DOUBLE, _TEXT, pa.bool_()))


def _is_vector(kind: pa.DataType) -> bool:
    return looks_like_vector(kind) and kind.field("type").type == _LONG_TYPE and pa.types.is_list(kind.field("values").type)


def _finished(column: pa.ChunkedArray) -> Any:
    if pa.types.is_struct(column.type):
        return as_vectors(column.combine_chunks(), VECTOR_TYPE)
    wanted = _lasting(column.type)
    return column if column.type == wanted else column.cast(wanted)


# -- by row


def _objects(content: bytes, file: DataFile) -> Iterable[dict[str, Any]]:
    for number, line in enumerate(content.split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line, parse_float=_Float.of)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{file.place.uri}:{number}: expected a JSON object: {error}", line=number) from error
        for row in value if isinstance(value, list) else [value]:
            if not isinstance(row, dict):
                raise DataError(f"{file.place.uri}:{number}: expected a JSON object, got {json.dumps(row)[:60]}", line=number)
            yield row


def _by_row(rows: list[dict[str, Any]]) -> pa.Table:
    kind = _kind_of_struct(rows)
    columns: dict[str, Any] = {}
    for field in kind:
        values = [row.get(field.name) for row in rows]
        if _is_vector(field.type):
            columns[field.name] = pa.array([_converted(value, VECTOR_TYPE) for value in values], VECTOR_TYPE)
        elif (lasting := _lasting(field.type)) is not None:
            columns[field.name] = pa.array([_converted(value, lasting) for value in values], lasting)
    return pa.table(columns)


def _kind(value: Any) -> pa.DataType:
    if value is None:
        return _NULL
    if isinstance(value, bool):
        return pa.bool_()
    if isinstance(value, int):
        digits = len(str(abs(value)))
        return _LONG_TYPE if -_LONG <= value < _LONG else pa.decimal128(digits, 0) if digits <= 38 else _DOUBLE
    if isinstance(value, float):
        return _DOUBLE
    if isinstance(value, list):
        return pa.list_(reduce(_merged, map(_kind, value), _NULL))
    return _kind_of_struct([value]) if isinstance(value, dict) else _TEXT


def _kind_of_struct(rows: list[dict[str, Any]]) -> pa.StructType:
    kinds: dict[str, pa.DataType] = {}
    for row in rows:
        for name, value in row.items():
            kinds[name] = _merged(kinds.get(name, _NULL), _kind(value))
    return pa.struct([pa.field(name, kinds[name]) for name in sorted(kinds)])


def _merged(one: pa.DataType, two: pa.DataType) -> pa.DataType:
    """The type that holds both, as Spark sees it: what does not go together is text."""
    if one == two or two == _NULL:
        return one
    if one == _NULL:
        return two
    numbers = [kind for kind in (one, two) if kind in (_LONG_TYPE, _DOUBLE) or pa.types.is_decimal(kind)]
    if len(numbers) == 2:
        if _DOUBLE in numbers:
            return _DOUBLE
        return pa.decimal128(max(kind.precision if pa.types.is_decimal(kind) else 20 for kind in numbers), 0)
    if pa.types.is_list(one) and pa.types.is_list(two):
        return pa.list_(_merged(one.value_type, two.value_type))
    if pa.types.is_struct(one) and pa.types.is_struct(two):
        kinds = {field.name: field.type for field in one}
        for field in two:
            kinds[field.name] = _merged(kinds.get(field.name, _NULL), field.type)
        return pa.struct([pa.field(name, kinds[name]) for name in sorted(kinds)])
    return _TEXT


def _lasting(kind: pa.DataType) -> pa.DataType | None:
    """What of it is left at the end: only nulls are text, and an object without fields is nothing."""
    if kind == _NULL:
        return _TEXT
    if pa.types.is_list(kind):
        inner = _lasting(kind.value_type)
        return None if inner is None else pa.list_(inner)
    if pa.types.is_struct(kind):
        fields = [(field.name, _lasting(field.type)) for field in kind]
        kept = [pa.field(name, lasting) for name, lasting in fields if lasting is not None]
        return pa.struct(kept) if kept else None
    return kind


def _converted(value: Any, kind: pa.DataType) -> Any:
    if value is None:
        return None
    if kind == _TEXT:
        return value if isinstance(value, str) else _json_text(value)
    if pa.types.is_floating(kind):
        return float(value)
    if pa.types.is_decimal(kind):
        return Decimal(value)
    if pa.types.is_list(kind):
        return [_converted(item, kind.value_type) for item in value]
    if pa.types.is_struct(kind):
        return {field.name: _converted(value.get(field.name), field.type) for field in kind}
    return value


def _json_text(value: Any) -> str:
    """A value as it was written, without blanks."""
    if isinstance(value, _Float):
        return value.text
    if isinstance(value, float):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, list):
        return f"[{','.join(map(_json_text, value))}]"
    if isinstance(value, dict):
        return f"{{{','.join(f'{json.dumps(name, ensure_ascii=False)}:{_json_text(item)}' for name, item in value.items())}}}"
    return json.dumps(value, ensure_ascii=False)
