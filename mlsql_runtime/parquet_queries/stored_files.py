"""The files that a query reads, if its table is one of plain Parquet files: what scoring and training from files share."""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import pyarrow as pa

from mlsql_runtime.errors import MLSQLError
from mlsql_runtime.feed.table_facts import arrow_schema
from mlsql_runtime.parquet_queries.expressions import Rows
from mlsql_runtime.parquet_queries.query import LeftToSpark, Query
from mlsql_runtime.parquet_queries.row_groups import DataFile, Piece, find_pieces
from mlsql_runtime.plan import StorageAccess
from mlsql_runtime.storage.file_systems import Storage
from mlsql_runtime.storage.location import Location

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

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


def check_setting(spark: SparkSession, name: str) -> None:
    """Check that a way of reading files is not turned off.

    :param name: the Spark property that turns it off.
    :raises LeftToSpark: when it is.
    """
    if str(spark.conf.get(name, "true")).lower() != "true":
        raise LeftToSpark(f"{name} is not true")


def explain(reason: Exception) -> str:
    """Return why a table is left to Spark: our own reason, or what failed, since plans differ between versions of Spark."""
    if isinstance(reason, (LeftToSpark, MLSQLError)):
        return str(reason)
    return f"{type(reason).__name__}: {str(reason).splitlines()[0][:300] if str(reason) else ''}"


def find_files(query: Query, spark: SparkSession, access: StorageAccess) -> list[tuple[DataFile, Location]]:
    """Return the files that a query reads.

    :param access: the job's connections to storage.
    :raises LeftToSpark: when the table is not one of plain Parquet files.
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
    files = [(file, locate_file(file.uri, access)) for file in _list_files(query, relation, spark)]
    if not files:
        raise LeftToSpark("there are no files")
    return files


def check_storages(
    files: Sequence[tuple[DataFile, Location]], spark: SparkSession, known: Collection[Storage], what: str
) -> None:
    """Check that executors can open remote files, which is known for storages that they use anyway.

    :param known: the kinds of these storages.
    :param what: names them in the reason: ``no model of the functions``.
    :raises LeftToSpark: when a file is in another storage, and the executors are on other machines.
    """
    if str(spark.sparkContext.master).startswith("local"):
        return
    if far := [place for _, place in files if not place.is_local and place.storage not in known]:
        raise LeftToSpark(f"the executors may not be able to open {far[0].uri}: {what} is in such a storage")


def list_pieces(query: Query, files: Sequence[tuple[DataFile, Location]], spark: SparkSession) -> list[Piece]:
    """Return the row groups of the files that a query reads.

    :raises LeftToSpark: when Spark would read one in another way than Arrow does, or there are no rows.
    """
    pieces = find_pieces(
        files,
        arrow_columns(query, spark),
        is_case_sensitive=spark.conf.get("spark.sql.caseSensitive") == "true",
        reads_ancient_times=spark.conf.get("spark.sql.parquet.datetimeRebaseModeInRead") == "CORRECTED",
        conditions=query.first_conditions,
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
    used = {number: column for number, column in arrow_columns(query, spark).items() if column[0] in places}
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


def arrow_columns(query: Query, spark: SparkSession) -> dict[int, tuple[str, pa.DataType]]:
    """Return name and type of each column that the query needs, as Spark would hand it to an Arrow function."""
    from pyspark.sql.types import StructField, StructType

    schema = StructType([StructField(name, kind) for name, kind in query.inputs.values()])
    return dict(zip(query.inputs, zip(schema.names, arrow_schema(schema, spark).types, strict=True), strict=True))


def locate_file(uri: str, access: StorageAccess) -> Location:
    """Return the location of a file as Hadoop names it."""
    parts = urlsplit(uri)
    path = unquote(parts.path)
    return Location.of(path if parts.scheme == "file" else f"{parts.scheme}://{parts.netloc}{path}", access)
