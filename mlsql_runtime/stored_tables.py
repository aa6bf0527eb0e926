"""The stored tables that a query reads, found in the plan that Spark has analysed: files, tables of catalogs, their versions.

PySpark has no API for this, so the JVM is asked, in a few calls for each table, however many files it has. Plans differ between
versions of Spark and of its connectors: callers continue without these facts after any exception.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from mlsql_runtime.store.sources import SourceFiles, TableVersion

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_SESSION_CATALOG = "spark_catalog."  # which queries leave out
_FILES = "org.apache.spark.sql.execution.datasources.HadoopFsRelation"
_TIME_TRAVEL = ("snapshot-id", "as-of-timestamp", "versionAsOf", "timestampAsOf")  # options of readers
_RELATIONS = ("LogicalRelation", "HiveTableRelation", "DataSourceV2Relation")


@dataclass(frozen=True)
class PlanReads:
    """What a plan reads: temporary views, by their names in lower case, and nodes of stored tables and of catalogs' views."""

    temporary: tuple[str, ...]
    stored: tuple[Any, ...]


@dataclass(frozen=True, kw_only=True)
class StoredTable:
    """A stored table or a view. ``name`` is that in its catalog; None for data that are read by their path.

    ``is_spark_own`` tells tables that Spark itself writes, in its older way, from those of a connector.
    """

    name: str | None
    is_spark_own: bool = False
    format: str | None = None
    path: str | None = None
    sql: str | None = None
    files: SourceFiles | None = None
    version: TableVersion | None = None


def read_plan(table: DataFrame, known: Container[str]) -> PlanReads:
    """Return what the plan of ``table`` reads. A temporary view of ``known`` stands for all that is below it."""
    temporary, stored = [], []
    todo = [table._jdf.queryExecution().analyzed()]
    while todo:
        node = todo.pop()
        kind = node.getClass().getSimpleName()
        if kind == "View":
            name = str(node.desc().identifier().table()).lower()
            if node.isTempView() and name in known:
                temporary.append(name)
                continue
            if not node.isTempView():
                stored.append(node)
        elif kind in _RELATIONS:
            stored.append(node)
        for each in (node.children(), node.subqueries()):
            todo += [each.apply(index) for index in range(each.size())]
    return PlanReads(tuple(dict.fromkeys(temporary)), tuple(stored))


def describe_stored(node: Any, jvm: Any, is_measured: bool = True) -> StoredTable:
    """Return the facts of a node of :class:`PlanReads`, as they are now: for versions, after the table was read.

    :param is_measured: whether to find files and version, too.
    """
    kind = node.getClass().getSimpleName()
    if kind == "View":
        return StoredTable(name=_name(node.desc()), sql=_get(node.desc().viewText()))
    if kind == "HiveTableRelation":
        return _describe_catalog_table(node.tableMeta())
    if kind == "DataSourceV2Relation":
        return _describe_v2(node, is_measured)
    return _describe_v1(node, jvm, is_measured)


def list_paths(node: Any, jvm: Any) -> list[str]:
    """Return the paths of a node of :class:`PlanReads` as absolute URIs, patterns expanded; none if it is not read from files."""
    if node.getClass().getSimpleName() != "LogicalRelation":
        return []
    relation = node.relation()
    if not jvm.py4j.reflection.TypeUtil.isInstanceOf(_FILES, relation):
        return []
    joined: str = relation.location().rootPaths().mkString("\n")  # in one call, however many there are
    return joined.split("\n") if joined else []


def _describe_catalog_table(table: Any) -> StoredTable:
    location = _get(table.storage().locationUri())
    path = None if location is None else str(location.toString())
    return StoredTable(name=_name(table), is_spark_own=True, format=_get(table.provider()), path=path)


def _describe_v1(node: Any, jvm: Any, is_measured: bool) -> StoredTable:
    catalog_table = _get(node.catalogTable())
    known = StoredTable(name=None) if catalog_table is None else _describe_catalog_table(catalog_table)
    relation = node.relation()
    if not jvm.py4j.reflection.TypeUtil.isInstanceOf(_FILES, relation):  # Delta has a class of its own, below this one
        return known
    location = relation.location()
    index = location.getClass().getSimpleName()
    roots = location.rootPaths()
    path = known.path or (str(roots.apply(0).toString()) if roots.size() == 1 else None)
    if index.startswith("Tahoe"):
        version = _delta_version(location) if is_measured else None
        return StoredTable(name=known.name, format="delta", path=path, version=version)
    has_listed = index == "InMemoryFileIndex"  # others would list the files for this
    files = _count_files(location, jvm) if has_listed and is_measured else None
    format = known.format or str(relation.toString())
    return StoredTable(name=known.name, is_spark_own=True, format=format, path=path, files=files)


def _delta_version(index: Any) -> TableVersion:
    """Return the version that was read. Without time travel, Delta reads the newest one each time that a plan is executed, and
    keeps it as the snapshot of its log.
    """
    before = index.snapshotAtAnalysis()
    after = before if index.isTimeTravelQuery() else index.deltaLog().unsafeVolatileSnapshot()
    return _version(before.version(), after.version(), after.timestamp())


def _describe_v2(node: Any, is_measured: bool) -> StoredTable:
    """Return the facts of a table of the DataSource V2 API, such as one of Iceberg, whose versions are its snapshots.

    Without time travel, Spark takes the newest version each time that a plan is executed.
    """
    table, catalog, identifier = node.table(), _get(node.catalog()), _get(node.identifier())
    name = None
    if catalog is not None and identifier is not None:
        name = ".".join(map(str, [catalog.name(), *identifier.namespace(), identifier.name()]))
    is_fixed = node.timeTravelSpec().isDefined() or any(node.options().containsKey(each) for each in _TIME_TRAVEL)
    newest = table if name is None or is_fixed or not is_measured else catalog.loadTable(identifier)
    properties = table.properties()
    return StoredTable(
        name=None if name is None else name.removeprefix(_SESSION_CATALOG),
        format=properties.get("provider"),
        path=properties.get("location"),
        version=_v2_version(table, newest) if is_measured else None,
    )


def _v2_version(before: Any, after: Any) -> TableVersion | None:
    """Return the version that was read. Iceberg's own words for a version are more than the snapshot."""
    if not after.getClass().getName().startswith("org.apache.iceberg."):
        return None if after.version() is None else _version(before.version(), after.version(), None)
    snapshot = after.snapshotId()
    if snapshot is None:  # a table without rows
        return None
    return _version(before.snapshotId(), snapshot, after.table().snapshot(snapshot).timestampMillis())


def _version(before: object, after: object, milliseconds: int | None) -> TableVersion:
    first, last = str(before), str(after)
    return TableVersion(
        id=last, committed=None if milliseconds is None else _to_time(milliseconds), since=None if first == last else first
    )


def _count_files(index: Any, jvm: Any) -> SourceFiles:
    """Return the facts of the files that Spark has listed already.

    The JVM finds the newest one: a loop in Python would ask for the time of each of perhaps 100,000 files.
    """
    files = index.allFiles()
    count = files.size()
    newest = None
    if count:
        handles, find_class = jvm.java.lang.invoke, jvm.java.lang.Class.forName
        time_of = handles.MethodHandles.publicLookup().findVirtual(
            find_class("org.apache.hadoop.fs.FileStatus"),
            "getModificationTime",
            handles.MethodType.methodType(jvm.java.lang.Long.TYPE),
        )
        by_time = jvm.java.util.Comparator.comparingLong(
            handles.MethodHandleProxies.asInterfaceInstance(find_class("java.util.function.ToLongFunction"), time_of)
        )
        listed = jvm.scala.jdk.javaapi.CollectionConverters.asJava(files)
        newest = _to_time(jvm.java.util.Collections.max(listed, by_time).getModificationTime())
    return SourceFiles(count=count, size=index.sizeInBytes(), newest=newest)


def _to_time(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, timezone.utc)


def _name(table: Any) -> str:
    """Return the name of a catalog's table as queries write it."""
    return str(table.identifier().unquotedString()).removeprefix(_SESSION_CATALOG)


def _get(option: Any) -> Any:
    """Return the value of a Scala Option; None for an empty one."""
    return option.get() if option.isDefined() else None
