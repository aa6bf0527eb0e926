"""The Spark session of a job."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

QUIET = {"spark.log.level": "WARN", "spark.ui.showConsoleProgress": "false"}


def open_session(name: str) -> SparkSession:
    """The session that spark-submit configured, or a local one; only what the user did not set is set here."""
    from pyspark import SparkConf
    from pyspark.sql import SparkSession

    given = SparkConf()
    builder = SparkSession.builder.appName(str(given.get("spark.app.name", name)))
    if not given.contains("spark.master"):
        builder = builder.master("local[*]")
    for key, value in QUIET.items():
        if not given.contains(key):
            builder = builder.config(key, value)
    return builder.getOrCreate()
