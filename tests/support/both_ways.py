"""The same data by way of Spark, as a job reads them, and without it, as ``mlsql fit`` does."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq

from mlsql_runtime.feed.files.export import ExportFeed
from mlsql_runtime.feed.files.table import TableFiles
from mlsql_runtime.feed.reader import read_arrow
from mlsql_runtime.feed.table_facts import ColumnRoles, decode_schema
from mlsql_runtime.local.arrow_tables import read_table, write_table
from mlsql_runtime.local.data_source import DataSource
from mlsql_runtime.plan import FileFeed
from mlsql_runtime.storage.location import Location

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

NO_OPTIONS: Mapping[str, str] = {}


class BothWays:
    """The same data by way of Spark and without it."""

    def __init__(self, spark: SparkSession, folder: Path) -> None:
        self.spark, self.folder = spark, folder

    def load(self, format: str, path: str, options: Mapping[str, str] = NO_OPTIONS) -> DataFrame:
        return self.spark.read.format(format).options(**options).load(path)

    def by_spark(self, df: DataFrame, feed: str) -> TableFiles:
        exported = ExportFeed(FileFeed(format=feed), Location.of(str(self.folder / "exported"))).prepare(df, ColumnRoles())
        return exported.open(self.folder / "by_spark", is_kept=False)

    def without(self, format: str, path: str, feed: str, options: Mapping[str, str] = NO_OPTIONS) -> TableFiles:
        table = read_table(DataSource("--data", format, path, options))
        return write_table(table, self.folder / "without", feed)


def types_of(files: TableFiles) -> dict[str, str]:
    """Return the type of each column, whether nulls are allowed or not."""
    return {
        field.name: str(field.type).replace(" not null", "").replace("item:", "element:") for field in decode_schema(files.schema)
    }


def raw_rows(files: TableFiles) -> list[Any]:
    """Return what a script finds that reads the files itself, sorted."""
    paths = sorted(path for path in Path(files.path).rglob("*") if path.is_file() and path.name[0] not in "._")
    if files.format == "json":
        rows = [json.loads(line) for path in paths for line in path.read_text(encoding="utf-8").splitlines()]
        return sorted((json.dumps(row, sort_keys=True) for row in rows), key=str)
    tables = [pq.read_table(path) for path in paths]
    return sorted(repr(_plain(row)) for table in tables for row in table.to_pylist())


def _plain(value: Any) -> Any:
    """Return a value without what Parquet's two kinds of timestamps differ in."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, datetime.datetime):
        value = value.to_pydatetime() if hasattr(value, "to_pydatetime") else value
        return value.astimezone(datetime.timezone.utc).replace(tzinfo=None) if value.tzinfo else value.replace(tzinfo=None)
    return value


def helper_rows(files: TableFiles) -> list[str]:
    """Return what a script gets from ``mlsql``'s readers, sorted."""
    return sorted(repr(row) for batch in read_arrow(files) for row in batch.to_pylist())


def lazy_rows(both: BothWays, df: DataFrame) -> list[Any]:
    """Return what a script finds in a job that names no format: the JSON files written on its request."""
    exported = ExportFeed(FileFeed(), Location.of(str(both.folder / "lazy"))).prepare(df, ColumnRoles())
    files = exported.open(both.folder / "lazily" / "data", is_kept=False)
    if files.json_path is not None:
        assert files.format == "parquet"
        files.write_local_files(lambda: False)
    return raw_rows(replace(files, format="json", path=files.local_path))


def assert_same(
    both: BothWays, format: str, path: Path | str, options: Mapping[str, str] = NO_OPTIONS, feed: str = "json"
) -> None:
    df = both.load(format, str(path), options)
    by_spark = both.by_spark(df, feed)
    without = both.without(format, str(path), feed, options)
    assert types_of(without) == types_of(by_spark)
    assert without.rows == by_spark.rows
    assert raw_rows(without) == raw_rows(by_spark)
    assert helper_rows(without) == helper_rows(by_spark)
    if feed == "json":
        assert lazy_rows(both, df) == raw_rows(by_spark)
