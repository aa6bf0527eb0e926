"""Write a Spark table as the files that training scripts read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mlsql_runtime.errors import DataError
from mlsql_runtime.feed.files.node_copy import bring_files
from mlsql_runtime.feed.files.table import TableFiles
from mlsql_runtime.feed.table_facts import TableFacts, TableObservation
from mlsql_runtime.plan import FileFeed
from mlsql_runtime.storage.location import Location

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

JSON = "json"
PARQUET = FileFeed(format="parquet")
# Spark's own escaping of CSV is ambiguous outside of quotes; doubled quotes (RFC 4180) are what every other reader expects.
CSV_OPTIONS = {"escape": '"'}


@dataclass(frozen=True)
class ExportedTable:
    """A table written to ``place``; ``options`` are the writer's."""

    place: Location
    format: str
    options: Mapping[str, str]
    facts: TableFacts

    def bring(self, folder: Path, lasting: bool = False) -> TableFiles:
        """Have the files in a local folder; ``lasting`` when that may outlive ``place``."""
        bring_files(self.place, folder, lasting)
        return TableFiles(
            path=str(folder),
            format=self.format,
            options=self.options,
            rows=self.facts.rows,
            schema=self.facts.schema,
        )


def spark_uri(place: Location) -> str:
    """The place as Spark names it: a scheme always, and Hadoop's name for S3."""
    if place.is_local:
        return f"file://{place.path}"
    return place.uri.replace("s3://", "s3a://", 1)


def written_as(feed: FileFeed) -> tuple[str, Mapping[str, str]]:
    """Format and options with which a table is written when ``feed`` is asked for."""
    format = feed.format or JSON
    return format, {**CSV_OPTIONS, **feed.options} if format == "csv" else feed.options


def export(df: DataFrame, place: Location, feed: FileFeed, feature_column: str | None) -> ExportedTable:
    """Write ``df`` once; rows and feature widths are counted by the same Spark job.

    :raises DataError: when the format cannot hold a column, or vectors differ in width.
    """
    from pyspark.errors import AnalysisException

    format, options = written_as(feed)
    watch = TableObservation(df if feed.file_num is None else df.repartition(feed.file_num), feature_column)
    try:
        watch.table.write.format(format).options(**options).save(spark_uri(place))
    except AnalysisException as error:
        if "UNSUPPORTED_DATA_TYPE" in str(error):
            raise DataError(
                f"{str(error).split(' SQLSTATE')[0]} Set dataLocalFormat to json or parquet, or select other columns"
            ) from error
        raise
    return ExportedTable(place, format, options, watch.facts())
