"""The table of a query over Parquet files, as tasks that read, filter and score row groups and hand only results to Spark."""

from __future__ import annotations

import pickle
from collections.abc import Collection, Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

import pyarrow as pa

from mlsql_runtime.events import log
from mlsql_runtime.feed.table_facts import arrow_schema
from mlsql_runtime.parquet_queries.expressions import Rows, cast, unpickle_function
from mlsql_runtime.parquet_queries.query import Query, calls_function, read_query
from mlsql_runtime.parquet_queries.row_groups import Piece, pack_tasks, read_piece
from mlsql_runtime.parquet_queries.stored_files import (
    arrow_columns,
    check_setting,
    check_storages,
    explain,
    find_files,
    list_pieces,
    locate_file,
)
from mlsql_runtime.plan import StorageAccess
from mlsql_runtime.scoring.arrow_batching import find_most_rows
from mlsql_runtime.spark_errors import errors_for_driver
from mlsql_runtime.storage.file_systems import Storage
from mlsql_runtime.storage.location import Location

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

SETTING = "spark.mlsql.scoreFromFiles"
NO_MODELS: Mapping[str, str] = MappingProxyType({})


def score_from_files(table: DataFrame, access: StorageAccess, model_paths: Mapping[str, str] = NO_MODELS) -> DataFrame:
    """Return a table with the rows of ``table``, computed from the Parquet files that it reads; or ``table`` itself.

    The log says which. Tables that call no function are returned as they are, without a word.

    :param access: the job's connections to storage.
    :param model_paths: of the functions, by their names. On a cluster, files in other remote storages than the models of the
        functions that are called are left to Spark, because executors may lack the client or the credentials.
    """
    spark = table.sparkSession
    try:
        if not calls_function(table):
            return table
        check_setting(spark, SETTING)
        query = read_query(table)
        files = find_files(query, spark, access)
        check_storages(files, spark, find_storages(query.functions, model_paths, access), "no model of the functions")
        pieces = list_pieces(query, files, spark)
    except Exception as reason:
        log(f"Spark reads the rows for the functions: {explain(reason)}")
        return table
    count = len({piece.file.uri for piece in pieces})
    log(
        f"the functions' workers read the rows from {count} Parquet file{'s'[: count > 1]} themselves: "
        f"{len(pieces)} row group{'s'[: len(pieces) > 1]}, {len(query.inputs)} column{'s'[: len(query.inputs) > 1]}"
    )
    conf = spark._jsparkSession.sessionState().conf()
    cores = spark.sparkContext.defaultParallelism
    tasks = pack_tasks(pieces, cores, conf.filesMaxPartitionBytes(), conf.filesOpenCostInBytes())
    return _make_table(table, query, tasks, access)


def find_storages(called: Collection[str], model_paths: Mapping[str, str], access: StorageAccess) -> set[Storage]:
    """Return the kinds of storage that the models of the called functions are in."""
    names = {name.lower() for name in called}
    return {Location.of(path, access).storage for name, path in model_paths.items() if name.lower() in names}


def _make_table(table: DataFrame, query: Query, tasks: list[list[Piece]], access: StorageAccess) -> DataFrame:
    """Return the table that the tasks compute, with the names, types and metadata of ``table``."""
    spark = table.sparkSession
    columns = {number: kind for number, (_, kind) in arrow_columns(query, spark).items()}
    steps, outputs = query.steps, query.outputs
    wanted = arrow_schema(table.schema, spark)
    most_rows = find_most_rows(spark)
    shares = [pickle.dumps(pieces) for pieces in tasks]  # each task reads its own

    def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        unpickle_function.cache_clear()
        with errors_for_driver():
            for batch in batches:
                for task in batch.column(0).to_pylist():
                    for piece in pickle.loads(shares[task]):
                        for rows in read_piece(piece, locate_file(piece.file.uri, access), columns, most_rows):
                            for step in steps:
                                rows = step.apply(rows) if rows.count else rows
                            if rows.count:
                                yield _to_batch(rows, outputs, wanted)

    return spark.range(0, len(tasks), 1, len(tasks)).mapInArrow(run, table.schema)


def _to_batch(rows: Rows, outputs: tuple[int, ...], wanted: pa.Schema) -> pa.RecordBatch:
    arrays = [cast(rows.columns[number], kind) for number, kind in zip(outputs, wanted.types, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=wanted)
