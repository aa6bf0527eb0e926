"""Vectors of every kind for the tests of SQL functions, and what plain Python says about them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from pyspark.ml.linalg import DenseVector, SparseVector, Vectors, VectorUDT

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

Ask = Callable[..., list[Any]]
Vector = DenseVector | SparseVector

MIXED: list[Vector | None] = [
    Vectors.sparse(4, {2: 5.0}),
    None,
    Vectors.dense(1, 7, 7),
    Vectors.dense([]),
    Vectors.sparse(3, {0: -1.0, 1: -2.0}),
    Vectors.sparse(3, {0: -1.0, 1: -2.0, 2: -0.5}),
    Vectors.sparse(5, {}),
    Vectors.sparse(0, {}),
    Vectors.sparse(4, {0: -1.0, 2: 0.0}),
    Vectors.dense(math.nan, 3),
    Vectors.dense(2, math.nan, 3),
    Vectors.sparse(4, {1: math.nan, 3: 2.0}),
    Vectors.dense(-math.inf, -math.inf),
    None,
]


def vector_table(spark: SparkSession, rows: Sequence[tuple[Any, ...]], columns: str = "v", name: str = "t") -> DataFrame:
    """Create a temporary view of vector columns, in one partition, in this order."""
    from pyspark.sql.types import StructField, StructType

    schema = StructType([StructField(column, VectorUDT()) for column in columns.split()])
    frame = spark.createDataFrame(rows, schema).coalesce(1)
    frame.createOrReplaceTempView(name)
    return frame


def same(left: Vector | None, right: Vector | None) -> bool:
    """Return whether both are of the same kind, with the same numbers stored."""
    if left is None or right is None:
        return left is right
    return bool(VectorUDT().serialize(left) == VectorUDT().serialize(right))


def argmax(numbers: Any) -> int:
    """Return Spark's ``DenseVector.argmax``, in plain Python."""
    best = 0 if len(numbers) else -1
    for place, number in enumerate(numbers):
        if number > numbers[best]:
            best = place
    return best
