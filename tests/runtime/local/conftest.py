"""Readers with Spark and without it, in one time zone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.both_ways import BothWays

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


ZONE = "Europe/Berlin"


@pytest.fixture
def berlin(spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> Iterator[SparkSession]:
    """Spark and this process in the same zone, which is not UTC."""
    before = spark.conf.get("spark.sql.session.timeZone")
    spark.conf.set("spark.sql.session.timeZone", ZONE)
    monkeypatch.setenv("TZ", ZONE)
    yield spark
    spark.conf.set("spark.sql.session.timeZone", before)


@pytest.fixture
def both(berlin: SparkSession, tmp_path: Path) -> BothWays:
    return BothWays(berlin, tmp_path)
