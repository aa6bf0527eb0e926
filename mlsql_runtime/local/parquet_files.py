"""Parquet files as one table, with the types that Spark reads them as."""

from __future__ import annotations

import pyarrow as pa

from mlsql_runtime.errors import DataError
from mlsql_runtime.feed.decoding.vectors import SPARK_VECTOR_TYPE, is_vector
from mlsql_runtime.local.data_source import DataFile
from mlsql_runtime.local.spark_types import as_vectors, check_names, spark_type


def read_parquet(files: list[DataFile], zone: str) -> pa.Table:
    """All rows; the columns are those of the first file, nulls where another one lacks them.

    :raises DataError: for a file that is not Parquet, or holds types that Spark does not read.
    """
    tables = [_read(file, zone) for file in files]
    schema = tables[0].schema
    return pa.concat_tables([_with_columns(table, schema, file) for table, file in zip(tables, files, strict=True)])


def _read(file: DataFile, zone: str) -> pa.Table:
    import pyarrow.parquet as pq

    where = file.place.uri
    try:
        with file.place.open() as stream, pq.ParquetFile(stream, coerce_int96_timestamp_unit="us") as parquet:
            columns = [parquet.schema.column(at) for at in range(len(parquet.schema))]
            instants = {column.path for column in columns if column.physical_type == "INT96"}
            table = parquet.read()
    except pa.ArrowException as error:
        raise DataError(f"{where} is not a Parquet file: {error}") from error
    check_names(table.column_names, where)
    arrays = []
    for name in table.column_names:
        column = table.column(name)
        if name in instants:
            column = column.cast(pa.timestamp("us", "UTC"))
        arrays.append(_typed(column, zone, name))
    return pa.table(arrays, names=table.column_names)


def _typed(column: pa.ChunkedArray, zone: str, name: str) -> pa.ChunkedArray:
    if is_vector(column.type):
        return pa.chunked_array([as_vectors(column.combine_chunks(), SPARK_VECTOR_TYPE)])
    wanted = spark_type(column.type, zone, name)
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    return column if column.type == wanted else column.cast(wanted)


def _with_columns(table: pa.Table, schema: pa.Schema, file: DataFile) -> pa.Table:
    by_name = {name.lower(): table.column(name) for name in table.column_names}
    columns = []
    for field in schema:
        column = by_name.get(field.name.lower(), pa.chunked_array([pa.nulls(table.num_rows, field.type)]))
        if column.type != field.type:
            raise DataError(
                f"{file.place.uri}: column '{field.name}' is of type {column.type}, in the first file it is {field.type}",
                column=field.name,
            )
        columns.append(column)
    return pa.table(columns, schema=schema)
