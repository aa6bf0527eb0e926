"""Write a Spark table as the files that training scripts read, and learn its facts in the same pass."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mlsql_runtime.errors import DataError
from mlsql_runtime.feed.table_files import TableFiles
from mlsql_runtime.plan import FileFeed
from mlsql_runtime.store.location import Location

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

PARQUET = FileFeed(format="parquet")
# Spark's own escaping of CSV is ambiguous outside of quotes; doubled quotes (RFC 4180) are what every other reader expects.
CSV_OPTIONS = {"escape": '"'}


@dataclass(frozen=True)
class Exported:
    """A table written to ``place``. ``width`` is that of ``feature_column``, when that is a vector column."""

    place: Location
    feed: FileFeed
    rows: int
    schema: str
    columns: Mapping[str, str]
    width: int | None

    def at(self, folder: str) -> TableFiles:
        """The same table, brought into a local folder."""
        return TableFiles(path=folder, format=self.feed.format, options=self.feed.options, rows=self.rows, schema=self.schema)


def quoted(column: str) -> str:
    """A column's name as SQL takes it, whatever is in it."""
    return "`" + column.replace("`", "``") + "`"


def spark_uri(place: Location) -> str:
    """The place as Spark names it: a scheme always, and Hadoop's name for S3."""
    if place.is_local:
        return f"file://{place.path}"
    return place.uri.replace("s3://", "s3a://", 1)


def export(df: DataFrame, place: Location, feed: FileFeed, feature_column: str | None) -> Exported:
    """Write ``df`` once; rows and feature widths are counted by the same Spark job.

    :raises DataError: when the format cannot hold a column, or vectors differ in width.
    """
    from pyspark.errors import AnalysisException
    from pyspark.ml.linalg import VectorUDT
    from pyspark.sql import Observation
    from pyspark.sql import functions as F

    facts = [F.count(F.lit(1)).alias("rows")]
    has_vectors = feature_column is not None and isinstance(df.schema[feature_column].dataType, VectorUDT)
    if feature_column is not None and has_vectors:
        vector = F.unwrap_udt(F.col(quoted(feature_column)))
        width = F.when(vector["type"] == 1, F.size(vector["values"])).otherwise(vector["size"])
        facts += [F.min(width).alias("narrowest"), F.max(width).alias("widest")]
    if feed.format == "csv":
        feed = replace(feed, options={**CSV_OPTIONS, **feed.options})
    observation = Observation()
    watched = df if feed.file_num is None else df.repartition(feed.file_num)
    try:
        watched.observe(observation, *facts).write.format(feed.format).options(**feed.options).save(spark_uri(place))
    except AnalysisException as error:
        if "UNSUPPORTED_DATA_TYPE" in str(error):
            raise DataError(
                f"{str(error).split(' SQLSTATE')[0]} Set dataLocalFormat to json or parquet, or select other columns"
            ) from error
        raise
    seen = observation.get
    if has_vectors and seen["narrowest"] != seen["widest"]:
        raise DataError(
            f"column '{feature_column}' holds vectors of different widths, from {seen['narrowest']} to {seen['widest']}; "
            "a training table needs one width (for libsvm files, give the option numFeatures)"
        )
    return Exported(
        place=place,
        feed=feed,
        rows=seen["rows"],
        schema=_arrow_schema(df),
        columns={field.name: field.dataType.simpleString() for field in df.schema},
        width=seen["widest"] if has_vectors else None,
    )


def _arrow_schema(df: DataFrame) -> str:
    from pyspark.sql.pandas.types import to_arrow_schema

    return base64.b64encode(to_arrow_schema(df.schema).serialize().to_pybytes()).decode()
