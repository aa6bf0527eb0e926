"""Arrow types as the ones Spark has, and arrays brought to them."""

from __future__ import annotations

import os
import zoneinfo
from collections.abc import Iterable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from mlsql_runtime.errors import DataError

_UNSIGNED = {pa.uint8(): pa.int16(), pa.uint16(): pa.int32(), pa.uint32(): pa.int64(), pa.uint64(): pa.decimal128(20, 0)}


def session_zone() -> str:
    """The time zone that a Spark session on this machine would have, by its name."""
    for name in (os.environ.get("TZ", "").lstrip(":"), os.path.realpath("/etc/localtime").partition("zoneinfo/")[2]):
        try:
            return zoneinfo.ZoneInfo(name).key
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
            continue
    return "UTC"


def check_names(names: Iterable[str], where: str) -> None:
    """Spark takes names that differ in case only for the same.

    :raises DataError: naming a column that is there twice.
    """
    seen: dict[str, str] = {}
    for name in names:
        if name.lower() in seen:
            raise DataError(
                f"{where}: the column {name} already exists, as {seen[name.lower()]}; rename one of them", column=name
            )
        seen[name.lower()] = name


def spark_type(kind: pa.DataType, zone: str, column: str) -> pa.DataType:
    """The type that Spark gives a Parquet column of this type.

    :raises DataError: for one that Spark refuses.
    """
    if kind in _UNSIGNED:
        return _UNSIGNED[kind]
    if pa.types.is_dictionary(kind):
        return spark_type(kind.value_type, zone, column)
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return pa.string()
    if pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind) or pa.types.is_fixed_size_binary(kind):
        return pa.binary()
    if pa.types.is_timestamp(kind) and kind.unit != "ns":
        return pa.timestamp("us", zone) if kind.tz else pa.timestamp("us")
    for test, same in ((pa.types.is_date, pa.date32()), (pa.types.is_duration, pa.int64()), (pa.types.is_null, pa.int32())):
        if test(kind):
            return same
    return _nested_type(kind, zone, column)


def _nested_type(kind: pa.DataType, zone: str, column: str) -> pa.DataType:
    if pa.types.is_map(kind):
        return pa.map_(spark_type(kind.key_type, zone, column), spark_type(kind.item_type, zone, column))
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return pa.list_(spark_type(kind.value_type, zone, column))
    if pa.types.is_struct(kind):
        return pa.struct([pa.field(field.name, spark_type(field.type, zone, column)) for field in kind])
    is_time = pa.types.is_temporal(kind) and not pa.types.is_date(kind)
    if is_time or pa.types.is_float16(kind) or (pa.types.is_decimal(kind) and kind.precision > 38):
        raise DataError(
            f"column '{column}' is of type {kind}, which Spark does not read; write it as another one "
            "(times of day as text, timestamps in microseconds)",
            column=column,
        )
    return pa.decimal128(kind.precision, kind.scale) if pa.types.is_decimal(kind) else kind


def as_vectors(column: pa.StructArray, kind: pa.StructType) -> pa.StructArray:
    """Objects with ``type``, ``values`` and perhaps ``size`` and ``indices`` as vectors of the Arrow type ``kind``."""
    names = {field.name for field in column.type}
    parts = [
        pc.cast(pc.struct_field(column, field.name), field.type, safe=False)
        if field.name in names
        else pa.nulls(len(column), field.type)
        for field in kind
    ]
    return pa.StructArray.from_arrays(parts, fields=list(kind), mask=column.is_null())


def as_local_time(texts: Any, zone: str) -> pa.Array:
    """ISO 8601 texts, with or without an offset, as ``timestamp[us, zone]``; those without are in the zone.

    :raises pa.ArrowInvalid: for anything else.
    """
    has_offset = pc.match_substring_regex(texts, r"(Z|[+-]\d{2}(:?\d{2})?)$")
    has_offset = pc.and_(has_offset, pc.match_substring_regex(texts, r"\d{2}:\d{2}"))
    none = pa.scalar(None, pa.string())
    offset = pc.cast(pc.if_else(has_offset, texts, none), pa.timestamp("us", "UTC"))
    local = pc.cast(pc.if_else(has_offset, none, texts), pa.timestamp("us"))
    there = pc.assume_timezone(local, zone, ambiguous="earliest", nonexistent="latest")
    return pc.coalesce(offset.cast(pa.timestamp("us", zone)), there)
