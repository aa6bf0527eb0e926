"""Write a Spark table as the files that training scripts read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mlsql_runtime.errors import DataError
from mlsql_runtime.feed.files.node_copy import bring_files
from mlsql_runtime.feed.files.table import TableFiles
from mlsql_runtime.feed.table_facts import ColumnRoles, TableFacts, TableIdentity, TableObservation, arrow_schema
from mlsql_runtime.plan import FileFeed
from mlsql_runtime.storage.file_systems import AZURE
from mlsql_runtime.storage.location import Location

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

PARQUET = FileFeed(format="parquet")
# Spark's own escaping of CSV is ambiguous outside of quotes; doubled quotes (RFC 4180) are what every other reader expects.
CSV_OPTIONS = {"escape": '"'}


@dataclass(frozen=True)
class ExportedTable:
    """A table in the files at ``place``; ``options`` are those of Spark's writer.

    ``has_lazy_json``: the files are Parquet because the statement names no format. Scripts that read files themselves get JSON
    as in MLSQL, which is written on their request.
    """

    place: Location
    format: str
    options: Mapping[str, str]
    facts: TableFacts
    has_lazy_json: bool

    @property
    def identity(self) -> TableIdentity:
        return TableIdentity(facts=self.facts, uri=self.place.uri, has_lazy_json=self.has_lazy_json)

    @property
    def offsets(self) -> Mapping[str, tuple[int, ...]]:
        return {}

    def describe(self) -> str:
        return f"as {self.format} files"

    def open(self, folder: Path, is_kept: bool, private: Path | None = None, alg_index: int = 0) -> TableFiles:
        """Link or copy the files into a local folder.

        :param folder: the folder that scripts know as ``tempDataLocalPath``. If its JSON files are written later, the table's
            own go to one beside it.
        :param is_kept: whether the folder may outlive ``place``.
        """
        path = folder.with_name(f"{folder.name}.{self.format}") if self.has_lazy_json else folder
        bring_files(self.place, path, is_kept)
        return TableFiles(
            path=str(path),
            format=self.format,
            options=self.options,
            rows=self.facts.rows,
            schema=self.facts.schema,
            json_path=str(folder) if self.has_lazy_json else None,
            shared_as=self.place.uri if self.has_lazy_json and not is_kept else None,
        )

    def check_unchanged(self) -> None:
        """Check nothing: nobody else writes to the attempt's staging folder."""


@dataclass(frozen=True)
class ExportFeed:
    """Tables reach scripts as files, which Spark writes to ``place``."""

    feed: FileFeed
    place: Location

    def restore(self, identity: TableIdentity) -> ExportedTable | None:
        if identity.uri is None:
            return None
        format, options = format_and_options(self.feed, identity.has_lazy_json)
        return ExportedTable(self.place.at(identity.uri), format, options, identity.facts, identity.has_lazy_json)

    def prepare(self, table: DataFrame | None, roles: ColumnRoles) -> ExportedTable:
        """Write ``table`` in one Spark job, which also counts rows and labels and measures feature vectors.

        :raises DataError: when the format cannot hold a column, or vectors differ in width.
        """
        from pyspark.errors import AnalysisException

        assert table is not None
        has_lazy_json = can_write_json_later(table, self.feed)
        format, options = format_and_options(self.feed, has_lazy_json)
        partitions = self.feed.file_num
        observation = TableObservation(table if partitions is None else table.repartition(partitions), roles)
        try:
            observation.table.write.format(format).options(**options).save(spark_uri(self.place))
        except AnalysisException as error:
            if (error.getCondition() or "").startswith("UNSUPPORTED_DATA_TYPE"):
                raise DataError(
                    f"{str(error).split(' SQLSTATE')[0]} Set dataLocalFormat to json or parquet, or select other columns"
                ) from error
            raise
        return ExportedTable(self.place, format, options, observation.facts(), has_lazy_json)

    def remove(self) -> None:
        """Remove nothing: the files are part of the attempt's staging folder."""


def spark_uri(place: Location) -> str:
    """Return the URI that Spark takes for ``place``: with Hadoop's scheme, and for Azure with the account."""
    if place.is_local:
        return f"file://{place.path}"
    if place.storage is AZURE:
        container, _, path = place.path.partition("/")
        return f"abfss://{container}@{place.fs.service_client.account_name}.dfs.core.windows.net/{path}"
    return place.uri.replace("s3://", "s3a://", 1)


def format_and_options(feed: FileFeed, has_lazy_json: bool) -> tuple[str, Mapping[str, str]]:
    """Return the format and the writer's options of a table; options without a format are for JSON."""
    format = feed.format or ("parquet" if has_lazy_json else "json")
    return format, {**CSV_OPTIONS, **feed.options} if format == "csv" else feed.options


def can_write_json_later(df: DataFrame, feed: FileFeed) -> bool:
    """Return whether the feed leaves the format open, and JSON made of Parquet files is that of Spark in this session."""
    from pyspark.errors import PySparkException

    from mlsql_runtime.feed.files.json_writer import is_json_exact  # which makes Arrow scalars, and so imports pandas

    ignores_nulls = df.sparkSession.conf.get("spark.sql.jsonGenerator.ignoreNullFields")
    if feed.format is not None or feed.options or ignores_nulls != "true":
        return False
    try:
        return all(is_json_exact(field.type) for field in arrow_schema(df.schema, df.sparkSession))
    except PySparkException:  # Arrow has no type for a column
        return False
