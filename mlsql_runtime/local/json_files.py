"""JSON lines, as far as pyarrow reads them as Spark does. Everything else is refused."""

from __future__ import annotations

import re

import pyarrow as pa
import pyarrow.compute as pc

from mlsql_runtime.errors import DataError
from mlsql_runtime.feed.decoding.json_depth import LEVELS, find_deep_line
from mlsql_runtime.feed.decoding.json_facts import looks_like_vector
from mlsql_runtime.feed.decoding.vectors import VECTOR_TYPE
from mlsql_runtime.local.data_source import DataFile, DataSource

_LARGEST_LONG = 1 << 63
_NO_OBJECT = re.compile(rb"\n[ \t\r]*[^{\s].*")
_OBJECT = re.compile(rb"\n[ \t\r]*\{")


def read_json(files: list[DataFile], source: DataSource) -> pa.Table:
    """Return all objects; columns in the order of their names, null where an object lacks the field.

    Objects with the fields of a vector become vectors.

    :raises DataError: for a line that is not a JSON object, and when Spark might read something else.
    """
    contents = [b"\n" + file.read() for file in files]
    for file, content in zip(files, contents, strict=True):
        _check_lines(content, file, source)
    content = b"".join(contents)
    if not content.strip():
        return pa.table({})
    try:
        table = _parse(content, None)
        types = {name: _spark_type(table.schema.field(name).type, is_column=True) for name in sorted(table.column_names)}
        wanted = pa.schema([(name, kind) for name, kind in types.items() if kind is not None])
        if not wanted:
            return pa.table({})
        if wanted != table.schema:
            table = _parse(content, wanted)
    except pa.ArrowInvalid as error:
        raise source.refuse(f"{source.path}: {str(error)[:500]}") from error
    if table.num_rows != len(_OBJECT.findall(content)):
        raise source.refuse(f"{source.path} has lines with more or less than one JSON object")
    for name in table.column_names:
        if any(_has_huge_numbers(chunk) for chunk in table.column(name).chunks):
            raise source.refuse(f"column '{name}' of {source.path} has numbers beyond 64 bits", column=name)
    return table


def _check_lines(content: bytes, file: DataFile, source: DataSource) -> None:
    """Raise unless each line begins an object, and is not too deep: pyarrow 26 ends the process at lines such as ``null``."""
    try:
        content.decode()
    except UnicodeDecodeError as error:
        raise source.refuse(f"{file.place.uri}: {str(error)[:500]}") from error
    if found := _NO_OBJECT.search(content):
        line, text = content.count(b"\n", 0, found.start() + 1), found[0].decode().strip()
        raise source.refuse(f"{file.place.uri}:{line}: expected a JSON object, got {text[:60]!r}", line=line)
    if deep := find_deep_line(content):
        line = deep - 1  # the content begins with an empty line
        raise DataError(f"{file.place.uri}:{line}: lists and objects are nested deeper than {LEVELS} levels", line=line)


def _parse(content: bytes, schema: pa.Schema | None) -> pa.Table:
    from pyarrow import json as arrow_json

    parse = arrow_json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore" if schema else "infer")
    read = arrow_json.ReadOptions(block_size=min(len(content) + 1, 1 << 30))
    return arrow_json.read_json(pa.BufferReader(content), read, parse)


def _spark_type(kind: pa.DataType, is_column: bool = False) -> pa.DataType | None:
    """Return the type that Spark infers where Arrow infers ``kind``; None for objects without fields, which Spark leaves out.

    Texts that look like times stay texts, nulls alone are texts, and the fields of objects are sorted.
    """
    if is_column and looks_like_vector(kind) and pa.types.is_list(kind.field("values").type):
        return VECTOR_TYPE
    if pa.types.is_null(kind) or pa.types.is_temporal(kind):
        return pa.string()
    if pa.types.is_list(kind):
        inner = _spark_type(kind.value_type)
        return None if inner is None else pa.list_(inner)
    if pa.types.is_struct(kind):
        types = {field.name: _spark_type(field.type) for field in kind}
        fields = [(name, types[name]) for name in sorted(types) if types[name] is not None]
        return pa.struct(fields) if fields else None
    return kind


def _has_huge_numbers(array: pa.Array) -> bool:
    """Return whether there are numbers that Spark may read as decimals, as it does with whole ones beyond 64 bits."""
    if pa.types.is_list(array.type):
        return _has_huge_numbers(array.flatten())
    if pa.types.is_struct(array.type):
        return any(_has_huge_numbers(field) for field in array.flatten())
    largest = pc.max(pc.abs(array)).as_py() if pa.types.is_floating(array.type) else None
    return largest is not None and largest >= _LARGEST_LONG
