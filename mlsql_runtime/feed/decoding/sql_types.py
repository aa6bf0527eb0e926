"""Spark's types as Arrow has them: their names in SQL, and which type holds every value of another one.

A vector is the struct of :mod:`mlsql_runtime.feed.decoding.vectors`. A type that Arrow does not have is an opaque one, which
keeps its name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mlsql_runtime.feed.decoding.vectors import SPARK_VECTOR_TYPE, is_vector

_VECTOR = "vector"
_ATOMS = {
    "void": pa.null(),
    "boolean": pa.bool_(),
    "tinyint": pa.int8(),
    "smallint": pa.int16(),
    "int": pa.int32(),
    "bigint": pa.int64(),
    "float": pa.float32(),
    "double": pa.float64(),
    "string": pa.string(),
    "binary": pa.binary(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us", "UTC"),
    "timestamp_ntz": pa.timestamp("us"),
    "interval day to second": pa.duration("us"),
    _VECTOR: SPARK_VECTOR_TYPE,
}
_NAMES = {kind: name for name, kind in _ATOMS.items()}
_DECIMAL = re.compile(r"decimal\((\d+),(\d+)\)")
_MARKS = re.compile(r"decimal\(\d+,\d+\)|[<>,]")
_DIGITS = {8: 3, 16: 5, 32: 10, 64: 19}  # of a whole number, by its bits
_EXACT_DIGITS = {32: 6, 64: 15}  # of a decimal number that a float keeps, by its bits


def parse_type(name: str) -> pa.DataType:
    """Return the Arrow type of a name that Spark's ``simpleString`` returns, such as ``struct<a:int,b:array<double>>``."""
    outer, opened, inner = name.partition("<")
    if opened and inner.endswith(">"):
        parts = list(_split(inner[:-1]))
        if outer == "array" and len(parts) == 1:
            return pa.list_(pa.field("element", parse_type(parts[0])))
        if outer == "map" and len(parts) == 2:
            return pa.map_(parse_type(parts[0]), parse_type(parts[1]))
        if outer == "struct":
            fields = [part.partition(":") for part in parts]
            return pa.struct([pa.field(field, parse_type(kind)) for field, _, kind in fields])
    if decimal := _DECIMAL.fullmatch(name):
        return pa.decimal128(int(decimal[1]), int(decimal[2]))
    plain = name.partition(" collate ")[0]
    return _ATOMS[plain] if plain in _ATOMS else pa.opaque(pa.null(), name, "spark")


def _split(text: str) -> Iterator[str]:
    """Yield the parts between the commas that are not inside angle brackets."""
    depth, start = 0, 0
    for mark in _MARKS.finditer(text):
        depth += (mark[0] == "<") - (mark[0] == ">")
        if mark[0] == "," and depth == 0:
            yield text[start : mark.start()]
            start = mark.end()
    if text:
        yield text[start:]


def name_type(kind: pa.DataType) -> str:
    """Return Spark's name of an Arrow type."""
    if is_vector(kind):
        return _VECTOR
    if is_list(kind):
        return f"array<{name_type(kind.value_type)}>"
    if pa.types.is_map(kind):
        return f"map<{name_type(kind.key_type)},{name_type(kind.item_type)}>"
    if pa.types.is_struct(kind):
        return f"struct<{','.join(f'{field.name}:{name_type(field.type)}' for field in kind)}>"
    if pa.types.is_decimal(kind):
        return f"decimal({kind.precision},{kind.scale})"
    if pa.types.is_timestamp(kind):
        return "timestamp" if kind.tz else "timestamp_ntz"
    if isinstance(kind, pa.OpaqueType):
        return str(kind.type_name)
    return _NAMES.get(kind, str(kind).removeprefix("large_"))


def is_list(kind: pa.DataType) -> bool:
    """Return whether values of the type are arrays."""
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind))


def is_number(kind: pa.DataType) -> bool:
    """Return whether values of the type are numbers or booleans, which a matrix can hold."""
    tests = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal, pa.types.is_boolean)
    return any(test(kind) for test in tests)


def is_same(kind: pa.DataType, other: pa.DataType) -> bool:
    """Return whether two types are one in SQL: which zone shows a timestamp, and what may be null, makes no difference."""
    return kind == other or name_type(kind) == name_type(other)


def holds(wanted: pa.DataType, given: pa.DataType) -> bool:
    """Return whether :func:`widen` can give every value of the type ``given`` as one of ``wanted``, with nothing lost.

    It can for whole numbers as doubles as well, except for single values beyond 2**53, which it refuses.
    """
    if pa.types.is_null(given) or is_same(wanted, given):
        return True
    if is_list(wanted) and is_list(given):
        return holds(wanted.value_type, given.value_type)
    if pa.types.is_floating(wanted):
        if pa.types.is_decimal(given):
            return bool(given.precision <= _EXACT_DIGITS.get(wanted.bit_width, 0))
        is_narrower = pa.types.is_floating(given) and given.bit_width < wanted.bit_width
        return bool(pa.types.is_integer(given) or is_narrower)
    if pa.types.is_integer(wanted):
        return bool(pa.types.is_integer(given) and given.bit_width < wanted.bit_width)
    if pa.types.is_decimal(wanted):
        whole = wanted.precision - wanted.scale
        if pa.types.is_decimal(given):
            return bool(given.scale <= wanted.scale and given.precision - given.scale <= whole)
        return bool(pa.types.is_integer(given) and _DIGITS[given.bit_width] <= whole)
    return False


def widen(column: pa.Array, wanted: pa.DataType) -> pa.Array:
    """Return a column of a type that ``wanted`` holds as one of that type; a column that is of it already as it is.

    :raises pyarrow.ArrowInvalid: for a whole number that a floating-point number cannot hold.
    """
    given = column.type
    if is_same(wanted, given):
        return column
    if is_list(given):
        counts = pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False)
        starts = np.concatenate(([0], np.cumsum(counts))).astype(np.int32)
        values = widen(column.flatten(), wanted.value_type)
        return pa.ListArray.from_arrays(pa.array(starts), values, mask=column.is_null() if column.null_count else None)
    if pa.types.is_decimal(given) and pa.types.is_floating(wanted):
        column = pc.cast(column, pa.string())  # Arrow's own cast from decimal to double errs in the last bit
    return pc.cast(column, wanted)
