"""Parquet files give the same columns, rows and files by way of Spark and without it."""

from __future__ import annotations

import datetime
import decimal
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.both_ways import BothWays, assert_same

MOMENT = datetime.datetime(2024, 5, 1, 12, 0, 0, 123456)
PARQUET: dict[str, Callable[[], pa.Table]] = {
    "numbers": lambda: pa.table(
        {
            **{str(kind): pa.array([1, None, 100], kind) for kind in (pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64())},
            **{str(kind): pa.array([1, None, -100], kind) for kind in (pa.int8(), pa.int16(), pa.int32(), pa.int64())},
            "float": pa.array([0.1, None, float("nan")], pa.float32()),
            "double": pa.array([0.1, float("-inf"), 1e-7]),
            "decimal": pa.array([decimal.Decimal("1.10"), None, decimal.Decimal("-0.01")]),
            "duration": pa.array([datetime.timedelta(1), None, None]),
        }
    ),
    "times": lambda: pa.table(
        {
            "local": pa.array([MOMENT, None], pa.timestamp("us")),
            "instant": pa.array([MOMENT, None], pa.timestamp("us", "UTC")),
            "elsewhere": pa.array([MOMENT, None], pa.timestamp("ms", "America/New_York")),
            "seconds": pa.array([MOMENT.replace(microsecond=0), None], pa.timestamp("s")),
            "date": pa.array([MOMENT.date(), None]),
            "date64": pa.array([MOMENT.date(), None], pa.date64()),
        }
    ),
    "texts": lambda: pa.table(
        {
            "x y.`ü": pa.array(['ü\n"', None, ""]),
            "dictionary": pa.array(["x", "y", None]).dictionary_encode(),
            "large": pa.array(["x", "y", None], pa.large_string()),
            "binary": pa.array([b"ab\xff", None, b""]),
            "fixed": pa.array([b"ab", None, b"cd"], pa.binary(2)),
            "bool": pa.array([True, None, False]),
            "nulls": pa.nulls(3),
        }
    ),
    "nested": lambda: pa.table(
        {
            "list": pa.array([[1, None], None, []], pa.large_list(pa.int64())),
            "fixed": pa.array([[1, 2], None, [3, 4]], pa.list_(pa.int64(), 2)),
            "map": pa.array([[("a", 1), ("b", None)], None, []], pa.map_(pa.string(), pa.int64())),
            "struct": pa.array([{"a": None, "b": [1.5]}, None, {"a": "x", "b": None}]),
        }
    ),
}


@pytest.mark.parametrize("feed", ["json", "parquet"])
@pytest.mark.parametrize("make", PARQUET.values(), ids=PARQUET)
def test_parquet(both: BothWays, tmp_path: Path, make: Callable[[], pa.Table], feed: str) -> None:
    pq.write_table(make(), tmp_path / "x.parquet")
    assert_same(both, "parquet", tmp_path / "x.parquet", feed=feed)


def test_parquet_that_spark_wrote_with_vectors_of_both_kinds(both: BothWays, tmp_path: Path) -> None:
    from pyspark.ml.linalg import Vectors, VectorUDT
    from pyspark.sql.types import DoubleType, StructField, StructType

    vectors = [
        Vectors.dense(1, 2, 3),
        Vectors.sparse(3, [1], [5.0]),
        Vectors.sparse(3, [], []),
        Vectors.dense(0, 0, float("nan")),
    ]
    schema = StructType([StructField("label", DoubleType()), StructField("features", VectorUDT())])
    df = both.spark.createDataFrame([(float(i), v) for i, v in enumerate(vectors)], schema)
    df = df.selectExpr("*", "timestamp'2024-01-01 00:00:00' at", "date'2024-01-01' on")
    df.repartition(8).write.parquet(str(tmp_path / "data"))
    assert_same(both, "parquet", tmp_path / "data")
