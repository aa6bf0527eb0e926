"""The table of a query over Parquet files, as tasks that read, filter and score row groups and hand only results to Spark."""

from __future__ import annotations

import pickle
import posixpath
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import pyarrow as pa

from mlsql_runtime.errors import MLSQLError
from mlsql_runtime.events import log
from mlsql_runtime.feed.table_facts import arrow_schema
from mlsql_runtime.parquet_queries.expressions import Rows, cast, unpickle_function
from mlsql_runtime.parquet_queries.query import LeftToSpark, Query, calls_function, read_query
from mlsql_runtime.parquet_queries.row_groups import DataFile, Piece, find_pieces, pack_tasks, read_piece
from mlsql_runtime.plan import StorageAccess
from mlsql_runtime.scoring.arrow_batching import find_most_rows
from mlsql_runtime.spark_errors import errors_for_driver
from mlsql_runtime.storage.location import Location

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

SETTING = "spark.mlsql.scoreFromFiles"
NO_MODELS: Mapping[str, str] = MappingProxyType({})
_FILES = "org.apache.spark.sql.execution.datasources.HadoopFsRelation"
_PARQUET = "org.apache.spark.sql.execution.datasources.parquet.ParquetFileFormat"
_UNUSUAL = (
    "spark.sql.files.ignoreCorruptFiles",
    "spark.sql.files.ignoreMissingFiles",
    "spark.sql.parquet.fieldId.read.enabled",
)  # settings with which Spark reads files in another way
_OPTIONS = {
    "path",
    "paths",
    "basepath",
    "mergeschema",
    "recursivefilelookup",
    "pathglobfilter",
    "modifiedafter",
    "modifiedbefore",
}
_MAX_FILES = 20_000  # whose footers the driver reads


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
        if str(spark.conf.get(SETTING, "true")).lower() != "true":
            raise LeftToSpark(f"{SETTING} is not true")
        query = read_query(table)
        pieces = _find_pieces(query, spark, access, model_paths)
    except (LeftToSpark, MLSQLError) as reason:
        log(f"Spark reads the rows for the functions: {reason}")
        return table
    except Exception as error:  # plans differ between versions of Spark
        log(f"Spark reads the rows for the functions: {type(error).__name__}: {str(error).splitlines()[0][:300]}")
        return table
    files = len({piece.file.uri for piece in pieces})
    log(
        f"the functions' workers read the rows from {files} Parquet file{'s'[: files > 1]} themselves: "
        f"{len(pieces)} row groups, {len(query.inputs)} columns"
    )
    conf = spark._jsparkSession.sessionState().conf()
    cores = spark.sparkContext.defaultParallelism
    tasks = pack_tasks(pieces, cores, conf.filesMaxPartitionBytes(), conf.filesOpenCostInBytes())
    return _make_table(table, query, tasks, access)


def _find_pieces(query: Query, spark: SparkSession, access: StorageAccess, model_paths: Mapping[str, str]) -> list[Piece]:
    """Return the row groups of the files that a query reads.

    :raises LeftToSpark: when they are not plain Parquet files, or cannot be read here.
    """
    relation = query.relation.relation()
    if relation.getClass().getName() != _FILES or relation.fileFormat().getClass().getName() != _PARQUET:
        raise LeftToSpark("the table is not one of Parquet files")
    if relation.location().getClass().getSimpleName() != "InMemoryFileIndex":
        raise LeftToSpark("a catalog knows the files of the table")
    if '"EXISTS_DEFAULT"' in str(relation.dataSchema().json()):
        raise LeftToSpark("a column of the table has a default for older files")
    given = {str(name).lower() for name in str(relation.options().keys().mkString("\n")).split("\n") if name}
    if other := given - _OPTIONS:
        raise LeftToSpark(f"the table is read with the option {min(other)}")
    if unusual := [name for name in _UNUSUAL if spark.conf.get(name) == "true"]:
        raise LeftToSpark(f"{unusual[0]} is set")
    files = [(file, _locate(file.uri, access)) for file in _list_files(query, relation, spark)]
    if not files:
        raise LeftToSpark("there are no files")
    if not str(spark.sparkContext.master).startswith("local"):
        known = {Location.of(path, access).storage for path in model_paths}
        if far := [place for _, place in files if not place.is_local and place.storage not in known]:
            raise LeftToSpark(
                f"the executors may not be able to open {far[0].uri}: no model of the functions is in such a storage"
            )
    pieces = find_pieces(
        files,
        _arrow_columns(query, spark),
        is_case_sensitive=spark.conf.get("spark.sql.caseSensitive") == "true",
        reads_ancient_times=spark.conf.get("spark.sql.parquet.datetimeRebaseModeInRead") == "CORRECTED",
    )
    if not pieces:
        raise LeftToSpark("the files have no rows")
    return pieces


def _list_files(query: Query, relation: Any, spark: SparkSession) -> list[DataFile]:
    """Return the files that Spark has listed, with the values of the columns that their folders name."""
    jvm = spark._jvm
    assert jvm is not None
    names = jvm.scala.collection.immutable.ArraySeq.unsafeWrapArray(relation.inputFiles())
    joined = str(names.mkString("\n"))  # in one call, however many there are
    uris = joined.split("\n") if joined else []
    places = {str(name): place for place, name in enumerate(relation.partitionSchema().fieldNames())}
    used = {number: column for number, column in _arrow_columns(query, spark).items() if column[0] in places}
    if used:
        folders = _list_folders(query, relation, {number: (places[name], kind) for number, (name, kind) in used.items()})
        by_uri = ((uri, folders[_without_slashes(posixpath.dirname(uri))]) for uri in uris)
        files = [DataFile(uri, constants) for uri, constants in by_uri if constants is not None]
    else:
        files = [DataFile(uri, {}) for uri in uris]
    if len(files) > _MAX_FILES:
        raise LeftToSpark(f"there are {len(files)} files")
    return files


def _list_folders(
    query: Query, relation: Any, used: Mapping[int, tuple[int, pa.DataType]]
) -> dict[str, dict[int, pa.Scalar] | None]:
    """Return the columns that each folder names; None for a folder of which the query wants no rows.

    :param used: place and type of each column.
    """
    conditions = [each for each in query.first_conditions if each.columns <= used.keys()]
    found: dict[str, dict[int, pa.Scalar] | None] = {}
    partitions = relation.location().partitionSpec().partitions()
    for index in range(partitions.size()):
        partition = partitions.apply(index)
        values = partition.values()
        constants = {number: _read_value(values, place, kind) for number, (place, kind) in used.items()}
        row = Rows(1, {number: pa.array([value.as_py()], value.type) for number, value in constants.items()})
        is_wanted = all(each.evaluate(row)[0].as_py() for each in conditions)
        found[_without_slashes(str(partition.path().toUri().toString()))] = constants if is_wanted else None
    return found


def _find_root(uri: str) -> tuple[str, str]:
    """Return the scheme and the bucket or server of a URI."""
    parts = urlsplit(uri)
    return parts.scheme.removesuffix("a") if parts.scheme == "s3a" else parts.scheme, parts.netloc


def _without_slashes(uri: str) -> str:
    """Return a URI that Hadoop may write with one slash or three after its scheme."""
    scheme, _, path = uri.partition(":")
    return f"{scheme}:/{path.lstrip('/')}"


def _read_value(row: Any, place: int, kind: pa.DataType) -> pa.Scalar:
    """Return a value of Spark's internal row."""
    getters = {pa.string(): row.getUTF8String, pa.int32(): row.getInt, pa.date32(): row.getInt, pa.int64(): row.getLong}
    if kind not in getters:
        raise LeftToSpark(f"the folders of the table name a column of type {kind}")
    if row.isNullAt(place):
        return pa.scalar(None, kind)
    value = getters[kind](place)
    return pa.scalar(value.toString() if pa.types.is_string(kind) else value, kind)


def _arrow_columns(query: Query, spark: SparkSession) -> dict[int, tuple[str, pa.DataType]]:
    """Return name and type of each column that the query needs, as Spark would hand it to an Arrow function."""
    from pyspark.sql.types import StructField, StructType

    schema = StructType([StructField(name, kind) for name, kind in query.inputs.values()])
    return dict(zip(query.inputs, zip(schema.names, arrow_schema(schema, spark).types, strict=True), strict=True))


def _locate(uri: str, access: StorageAccess) -> Location:
    """Return the location of a file as Hadoop names it."""
    parts = urlsplit(uri)
    path = unquote(parts.path)
    return Location.of(path if parts.scheme == "file" else f"{parts.scheme}://{parts.netloc}{path}", access)


def _make_table(table: DataFrame, query: Query, tasks: list[list[Piece]], access: StorageAccess) -> DataFrame:
    """Return the table that the tasks compute, with the names, types and metadata of ``table``."""
    spark = table.sparkSession
    columns = {number: kind for number, (_, kind) in _arrow_columns(query, spark).items()}
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
                        for rows in read_piece(piece, _locate(piece.file.uri, access), columns, most_rows):
                            for step in steps:
                                rows = step.apply(rows) if rows.count else rows
                            if rows.count:
                                yield _to_batch(rows, outputs, wanted)

    return spark.range(0, len(tasks), 1, len(tasks)).mapInArrow(run, table.schema)


def _to_batch(rows: Rows, outputs: tuple[int, ...], wanted: pa.Schema) -> pa.RecordBatch:
    arrays = [cast(rows.columns[number], kind) for number, kind in zip(outputs, wanted.types, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=wanted)
