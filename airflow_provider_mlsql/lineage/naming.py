"""Names of data sets, by OpenLineage's specification (https://openlineage.io/docs/spec/naming) and as its Spark integration
names them.
"""

from __future__ import annotations

from dataclasses import dataclass

from mlsql_runtime.data_sets import CatalogName, DataSet

_BUCKETS = {
    **dict.fromkeys(("s3", "s3a", "s3n"), "s3"),
    **dict.fromkeys(("gs", "gcs"), "gs"),
    **dict.fromkeys(("abfs", "abfss", "az"), "abfss"),
    **dict.fromkeys(("wasb", "wasbs"), "wasbs"),
}
"""Schemes of object stores, whose names begin without a slash, and the scheme by which OpenLineage knows each."""


@dataclass(frozen=True)
class DataSetName:
    """A data set: ``namespace`` is where it is, ``name`` is unique there."""

    namespace: str
    name: str


def name_data_set(data_set: DataSet) -> DataSetName:
    """Return the name of a data set: by its place, or for a table of which that is not known by its catalog."""
    if data_set.uri is not None:
        return name_uri(data_set.uri)
    assert data_set.table is not None
    return name_table(data_set.table)


def name_uri(uri: str) -> DataSetName:
    """Return the name of files or a topic by their path or absolute URI."""
    scheme, separator, rest = uri.partition(":")
    if not separator or "/" in scheme:  # a local path, which may have a colon
        return DataSetName("file", _strip(uri))
    if scheme == "file":
        return DataSetName("file", _strip(rest[2:] if rest.startswith("//") else rest))
    authority, slash, path = rest.removeprefix("//").partition("/")
    if scheme in _BUCKETS:
        return DataSetName(f"{_BUCKETS[scheme]}://{authority}", path.strip("/") or "/")
    if scheme == "kafka":
        return DataSetName(f"kafka://{authority}", path)
    return DataSetName(f"{scheme}://{authority}" if authority else scheme, _strip(slash + path))


def name_table(table: CatalogName) -> DataSetName:
    """Return the name of a table in its catalog. A metastore of Hive has the namespace ``hive://host:port``."""
    scheme, separator, rest = table.catalog.rstrip("/").partition(":")
    if scheme == "thrift":
        scheme = "hive"
    elif scheme == "file":
        rest = f"/{rest.lstrip('/')}"
    return DataSetName(f"{_BUCKETS.get(scheme, scheme)}{separator}{rest}", table.name)


def _strip(path: str) -> str:
    return path.rstrip("/") or "/"
