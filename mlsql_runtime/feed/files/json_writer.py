"""Write a table as the JSON lines that Spark's writer makes of it: column by column, with no Python loop over rows.

One object for each row; null fields are left out. NaN and infinities are strings, timestamps ISO 8601 with milliseconds and
the session's offset, binary values base64, map keys strings (``org.apache.spark.sql.catalyst.json.JacksonGenerator``).
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mlsql_runtime.errors import DataError
from mlsql_runtime.feed.decoding.vectors import to_numpy
from mlsql_runtime.feed.files.formats import READ_BYTES
from mlsql_runtime.feed.interface import LocalTable
from mlsql_runtime.feed.table_facts import decode_schema

_CONTROL = "".join(map(chr, range(0x20)))
_BASE64 = np.frombuffer(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", np.uint8)
_EXACT_INTEGERS = {pa.float64(): float(1 << 53), pa.float32(): float(1 << 24)}  # below it, the shortest digits are the integer's
_NULL_TEXT = pa.scalar("null")
_EMPTY = pa.scalar("")
Text = Any  # a StringArray


def is_json_exact(kind: pa.DataType) -> bool:
    """Return whether this module writes values of a type exactly as Spark does."""
    if pa.types.is_list(kind):
        return is_json_exact(kind.value_type)
    if pa.types.is_map(kind):
        keys = (pa.types.is_string, pa.types.is_integer, pa.types.is_boolean)
        return any(test(kind.key_type) for test in keys) and is_json_exact(kind.item_type)
    if pa.types.is_struct(kind):  # Parquet has no structs without fields; Spark marks a variant's struct by metadata
        return kind.num_fields > 0 and all(is_json_exact(field.type) and not field.metadata for field in kind)
    if pa.types.is_timestamp(kind) and kind.tz:
        return _is_known_zone(kind)
    return any(test(kind) for test, _ in _SCALARS) and not pa.types.is_float16(kind)


def _is_known_zone(kind: pa.DataType) -> bool:
    """Return whether Arrow knows the time zone: Java has others, too, such as ``GMT+03:00`` and ``PST``."""
    try:
        pc.local_timestamp(pa.scalar(0, kind))
    except pa.ArrowInvalid:
        return False
    return True


def write_json_files(table: LocalTable, folder: Path, is_cancelled: Callable[[], bool]) -> None:
    """Write a table of Parquet files as JSON files, one for each; memory holds one batch.

    The folder appears only when all files are complete.

    :param is_cancelled: asked between batches; once it returns True nothing more is written.
    :raises DataError: when the files hold another number of rows than Spark wrote, or writing is cancelled.
    """
    schema, rows = decode_schema(table.schema), 0
    incomplete = folder.with_name(f"{folder.name}.incomplete")
    shutil.rmtree(incomplete, ignore_errors=True)  # left by a process that was killed
    incomplete.mkdir(parents=True)
    try:
        for number, batches in enumerate(table.read_parts(schema)):
            with open(incomplete / f"part-{number:05}.json", "wb") as file:
                for batch in batches:
                    if is_cancelled():
                        raise DataError("the script ended while its files were written")
                    rows += batch.num_rows
                    columns = [batch.column(field.name).cast(field.type) for field in schema]
                    write_json_lines(pa.RecordBatch.from_arrays(columns, schema=schema), file)
        if rows != table.rows:
            raise DataError(
                f"{table.path}: Spark wrote {table.rows} rows, its files hold {rows}", expected=table.rows, found=rows
            )
        os.rename(incomplete, folder)
    finally:
        shutil.rmtree(incomplete, ignore_errors=True)  # makes room for the message, if the disk is full


def write_json_lines(batch: pa.RecordBatch, file: IO[bytes]) -> None:
    """Write one line for each row of a batch, in UTF-8. Text is made of about ``READ_BYTES`` of the batch at a time."""
    step = max(1, batch.num_rows * READ_BYTES // max(batch.nbytes, 1))
    for start in range(0, batch.num_rows, step):
        rows = batch.slice(start, step)
        lines = _objects(rows.schema.names, [json_text(column) for column in rows.columns], rows.num_rows, "}\n")
        _, offsets, data = lines.buffers()
        ends = np.frombuffer(offsets, np.int32)[[lines.offset, lines.offset + len(lines)]]
        file.write(memoryview(data)[ends[0] : ends[1]])


def json_text(array: pa.Array) -> Text:
    """Return the JSON text of each value, null for null, shape (n,)."""
    kind = array.type
    if pa.types.is_struct(kind):
        fields = [json_text(pc.struct_field(array, [at])) for at in range(kind.num_fields)]
        return _null_where_null(_objects([field.name for field in kind], fields, len(array), "}"), array)
    if pa.types.is_map(kind):
        entry = pa.struct([("key", kind.key_type), ("value", kind.item_type)])
        lists = pc.cast(array, pa.list_(entry))
        return _join(lists, _entries(lists.flatten()), "{", "}")
    if pa.types.is_list(kind):
        return _join(array, pc.fill_null(json_text(array.flatten()), _NULL_TEXT), "[", "]")
    for test, text_of in _SCALARS:
        if test(kind):
            return cast(Text, text_of(array))
    raise TypeError(f"there is no JSON for values of type {kind}")


def _concat(*parts: Any) -> Text:
    """Concatenate texts row by row; null where any is null."""
    return pc.binary_join_element_wise(*[pa.scalar(part) if isinstance(part, str) else part for part in parts], _EMPTY)


def _null_where_null(text: Text, array: pa.Array) -> Text:
    return pc.if_else(array.is_valid(), text, pa.scalar(None, pa.string())) if array.null_count else text


def _objects(names: Sequence[str], texts: Sequence[Text], count: int, end: str) -> Text:
    """Return ``{"name":text,…}`` for each row; fields whose text is null are left out."""
    parts: list[Any] = ["{"]
    has_field = np.zeros(count, np.bool_)  # of each row, so that the next field is preceded by a comma
    for name, text in zip(names, texts, strict=True):
        if text.null_count == count:
            continue
        is_first = not has_field.any()
        comma = "" if is_first else "," if has_field.all() else pc.if_else(pa.array(has_field), pa.scalar(","), _EMPTY)
        field = (comma, f"{json.dumps(name, ensure_ascii=False)}:", text)
        parts += field if not text.null_count else [pc.coalesce(_concat(*field), _EMPTY)]
        has_field |= text.is_valid().to_numpy(zero_copy_only=False)
    return _concat(*parts, end) if len(parts) > 1 else pa.repeat(pa.scalar("{" + end), count)


def _join(array: pa.Array, items: Text, begin: str, end: str) -> Text:
    """Return the items of each list or map, separated by commas."""
    lengths = pc.fill_null(pc.list_value_length(array), pa.scalar(0, pa.int32()))
    starts = np.concatenate(([0], np.cumsum(to_numpy(lengths)))).astype(np.int32)
    lists = pa.ListArray.from_arrays(pa.array(starts), items)
    return _null_where_null(_concat(begin, pc.binary_join(lists, pa.scalar(",")), end), array)


def _entries(entries: pa.StructArray) -> Text:
    """Return ``"key":value`` for each entry of maps; a null value stays."""
    keys, values = entries.flatten()
    return _concat(_string_text(_plain_text(keys)), ":", pc.fill_null(json_text(values), _NULL_TEXT))


def _string_text(array: Text) -> Text:
    if pc.any(pc.match_substring_regex(array, '["\\\\\\x00-\\x1f]')).as_py():
        for character in '\\"' + _CONTROL:
            if pc.any(pc.match_substring(array, character)).as_py():
                array = pc.replace_substring(array, character, json.dumps(character)[1:-1])
    return _concat('"', array, '"')


def _float_text(array: pa.Array) -> Text:
    """Return the shortest digits that give the same number, with ``.0`` where they would read as an integer."""
    numbers = to_numpy(pc.fill_null(array, pa.scalar(0, array.type)))
    whole = (np.rint(numbers) == numbers) & (np.abs(numbers) < _EXACT_INTEGERS[array.type])
    if whole.all() and not np.signbit(numbers[numbers == 0]).any():
        return _concat(pc.cast(pc.cast(array, pa.int64()), pa.string()), ".0")
    text = pc.cast(array, pa.string())
    if whole.any():
        is_bare = pc.invert(pc.or_(pc.match_substring(text, "."), pc.match_substring(text, "e")))
        text = _concat(text, pc.if_else(is_bare, pa.scalar(".0"), _EMPTY))
    if not np.isfinite(numbers).all():
        names = {float("nan"): '"NaN"', float("inf"): '"Infinity"', float("-inf"): '"-Infinity"'}
        for value, name in names.items():
            same = np.isnan(numbers) if value != value else numbers == value
            text = pc.if_else(pa.array(same), pa.scalar(name), text)
    return text


def _timestamp_text(array: pa.Array) -> Text:
    """Return local time in milliseconds, and for instants the offset of the column's zone in hours and minutes, or ``Z``."""
    utc = pc.cast(array, pa.timestamp("us", "UTC" if array.type.tz else None))
    instants = pc.floor_temporal(utc, unit="millisecond")  # in UTC: local times may be ambiguous
    local = pc.local_timestamp(pc.cast(instants, pa.timestamp("us", array.type.tz))) if array.type.tz else instants
    text = pc.replace_substring(pc.cast(pc.cast(local, pa.timestamp("ms")), pa.string()), " ", "T")
    if not array.type.tz:
        return _concat('"', text, '"')
    offsets = pc.subtract(pc.cast(local, pa.int64()), pc.cast(instants, pa.int64())).dictionary_encode()
    names = pa.array([_offset(micros) for micros in offsets.dictionary.to_pylist()], pa.string())
    return _concat('"', text, names.take(offsets.indices), '"')


def _offset(micros: int) -> str:
    hours, minutes = divmod(abs(micros) // 60_000_000, 60)
    return f"{'-' if micros < 0 else '+'}{hours:02}:{minutes:02}" if hours or minutes else "Z"


def _base64_text(array: pa.BinaryArray) -> Text:
    """Base64 (RFC 4648, section 4) of all values at once."""
    lengths = to_numpy(pc.fill_null(pc.binary_length(array), pa.scalar(0, pa.int32()))).astype(np.int64)
    groups = (lengths + 2) // 3  # of three bytes, which are four letters
    content = b"".join(array.drop_null().to_pylist()) if len(array) else b""
    padded = np.zeros(3 * groups.sum(), np.uint8)
    shift = np.cumsum(3 * groups) - 3 * groups - (np.cumsum(lengths) - lengths)
    padded[np.repeat(shift, lengths) + np.arange(lengths.sum())] = np.frombuffer(content, np.uint8)
    first, second, third = padded.reshape(-1, 3).astype(np.uint32).T
    bits = first << 16 | second << 8 | third
    letters = _BASE64[np.stack([bits >> 18, bits >> 12 & 63, bits >> 6 & 63, bits & 63], axis=1)].reshape(-1)
    ends = 4 * np.cumsum(groups)
    letters[ends[lengths % 3 > 0] - 1] = ord("=")
    letters[ends[lengths % 3 == 1] - 2] = ord("=")
    offsets = pa.py_buffer(np.concatenate(([0], ends)).astype(np.int32))
    return _null_where_null(_concat('"', pa.StringArray.from_buffers(len(array), offsets, pa.py_buffer(letters)), '"'), array)


def _plain_text(array: pa.Array) -> Text:
    return pc.cast(array, pa.string())


_SCALARS: tuple[tuple[Callable[[pa.DataType], bool], Callable[[pa.Array], Text]], ...] = (
    (pa.types.is_integer, _plain_text),
    (pa.types.is_floating, _float_text),
    (pa.types.is_string, _string_text),
    (pa.types.is_boolean, _plain_text),
    (pa.types.is_decimal, _plain_text),
    (pa.types.is_date, lambda array: _concat('"', _plain_text(array), '"')),
    (pa.types.is_timestamp, _timestamp_text),
    (pa.types.is_binary, _base64_text),
)
