"""Parquet files, with the types that Spark gives their columns."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from mlsql_runtime.errors import DataError
from mlsql_runtime.feed.decoding.vectors import SPARK_VECTOR_TYPE, is_vector
from mlsql_runtime.local.data_source import DataFile, DataSource

_UNSIGNED = {pa.uint8(): pa.int16(), pa.uint16(): pa.int32(), pa.uint32(): pa.int64(), pa.uint64(): pa.decimal128(20, 0)}
_KINDS = (
    (pa.types.is_large_string, pa.string()),
    (pa.types.is_string_view, pa.string()),
    (pa.types.is_large_binary, pa.binary()),
    (pa.types.is_binary_view, pa.binary()),
    (pa.types.is_fixed_size_binary, pa.binary()),
    (pa.types.is_date, pa.date32()),
    (pa.types.is_duration, pa.int64()),
    (pa.types.is_null, pa.int32()),
)


#: Returns the columns to read, from all that a table has; nothing for all of them.
ChooseColumns = Callable[[Sequence[str]], Sequence[str]]


class NoSparkType(Exception):
    """Spark has no type for a column."""


def read_parquet(files: list[DataFile], source: DataSource, zone: str, choose: ChooseColumns) -> pa.Table:
    """Return all rows of Parquet files that have the same columns. No others are decoded than those chosen.

    :raises DataError: for a file that is not Parquet, files that differ, and types that Spark does not read.
    """
    tables = [_read_file(file, source, zone, choose) for file in files]
    for file, table in zip(files, tables, strict=True):
        if table.schema != tables[0].schema:
            raise source.refuse(f"{file.place.uri} has other columns or types than {files[0].place.uri}")
    return pa.concat_tables(tables)


def _read_file(file: DataFile, source: DataSource, zone: str, choose: ChooseColumns) -> pa.Table:
    import pyarrow.parquet as pq

    where = file.place.uri
    try:
        with file.place.open() as stream, pq.ParquetFile(stream, coerce_int96_timestamp_unit="us") as parquet:
            columns = [parquet.schema.column(at) for at in range(len(parquet.schema))]
            instants = {column.path for column in columns if column.physical_type == "INT96"}
            table = parquet.read(columns=list(choose(parquet.schema_arrow.names)) or None)
            table.validate(full=True)  # of a damaged file, texts may not be UTF-8, and indices may lead nowhere
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DataError(f"{where} is not a Parquet file, or damaged: {' '.join(str(error).split())[:500]}") from error
    arrays = []
    for name, column in zip(table.column_names, table.columns, strict=True):
        if name in instants:
            column = column.cast(pa.timestamp("us", "UTC"))
        try:
            arrays.append(_convert(column, _spark_type(column.type, zone)))
        except NoSparkType as error:
            raise DataError(
                f"{where}: column '{name}' is of type {column.type}, which Spark does not read; write it as another one "
                "(times of day as text, timestamps in microseconds)",
                column=name,
            ) from error
        except pa.ArrowException as error:
            raise DataError(
                f"{where}: column '{name}' of type {column.type} cannot be read: {str(error)[:500]}", column=name
            ) from error
    return pa.table(arrays, names=table.column_names)


def _convert(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    if is_vector(column.type):
        vectors = column.combine_chunks()
        parts = [pc.cast(pc.struct_field(vectors, field.name), field.type) for field in kind]
        return pa.chunked_array([pa.StructArray.from_arrays(parts, fields=list(kind), mask=vectors.is_null())])
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    return column if column.type == kind else column.cast(kind)


def _spark_type(kind: pa.DataType, zone: str) -> pa.DataType:
    """Return the type that Spark gives a Parquet column of this type.

    :raises NoSparkType: when Spark refuses such columns.
    """
    if is_vector(kind):
        return SPARK_VECTOR_TYPE
    if pa.types.is_struct(kind):
        return pa.struct([(field.name, _spark_type(field.type, zone)) for field in kind])
    if pa.types.is_map(kind):
        return pa.map_(_spark_type(kind.key_type, zone), _spark_type(kind.item_type, zone))
    if pa.types.is_nested(kind):
        return pa.list_(_spark_type(kind.value_type, zone))
    if pa.types.is_dictionary(kind):
        return _spark_type(kind.value_type, zone)
    if pa.types.is_timestamp(kind) and kind.unit != "ns":
        return pa.timestamp("us", zone if kind.tz else None)
    if pa.types.is_decimal(kind) and kind.precision <= 38:
        return pa.decimal128(kind.precision, kind.scale)
    for test, same in _KINDS:
        if test(kind):
            return same
    if pa.types.is_temporal(kind) or pa.types.is_decimal(kind) or pa.types.is_float16(kind):
        raise NoSparkType
    return _UNSIGNED.get(kind, kind)
