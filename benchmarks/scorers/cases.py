"""What is scored: random tables of vectors, the same whenever they are made, each with a model to score it with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from mlsql_runtime.feed.decoding.vectors import VectorColumns, join_vectors, to_matrix

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

BLOCK = 1000  # rows made at a time
STORED = 150  # values in a sparse row: about as many as in the sample data that come with Spark
CORES = 2


@dataclass(frozen=True)
class Case:
    """``rows`` for those who are fast enough, ``few_rows`` for those who need a millisecond for a row; 0: they are left out."""

    name: str
    sparse: bool
    width: int
    model: str  # of scripts/train.py
    rows: int
    few_rows: int = 0


BAYES = Case("sparse 692, naive Bayes", sparse=True, width=692, model="bayes", rows=200_000, few_rows=4_000)
LOGISTIC = Case("dense 100, logistic", sparse=False, width=100, model="logistic", rows=400_000, few_rows=4_000)
NARROW = Case("dense 10, logistic", sparse=False, width=10, model="logistic", rows=800_000, few_rows=4_000)
FOREST = Case("dense 100, forest", sparse=False, width=100, model="forest", rows=60_000)
SPARSE_FOREST = Case("sparse 692, forest", sparse=True, width=692, model="forest", rows=20_000)
CASES = (BAYES, LOGISTIC, NARROW, FOREST, SPARSE_FOREST)


def block(case: Case, number: int) -> pa.RecordBatch:
    """Rows ``number * BLOCK`` and on: id, label, features. The label is on which side of a plane the features are."""
    random = np.random.default_rng(number)
    width, columns = case.width, np.empty(0, dtype=np.int64)
    if case.sparse:
        chosen = np.argpartition(random.random((BLOCK, width)), STORED, axis=1)[:, :STORED]
        columns = np.sort(chosen, axis=1).reshape(-1)
        values = random.integers(1, 256, len(columns)).astype(np.float64)
    else:
        values = random.random(BLOCK * width)
    features = join_vectors(
        VectorColumns(
            sparse=np.full(BLOCK, case.sparse),
            null=np.zeros(BLOCK, dtype=bool),
            widths=np.full(BLOCK, width),
            starts=np.arange(BLOCK + 1) * (len(values) // BLOCK),
            columns=columns,
            values=values,
        )
    )
    sides = to_matrix(features, width) @ np.random.default_rng(0).standard_normal(width)
    ids = np.arange(number * BLOCK, (number + 1) * BLOCK)
    labels = (sides > np.median(sides)).astype(np.float64)
    return pa.RecordBatch.from_arrays([pa.array(ids), pa.array(labels), features], ["id", "label", "features"])


def matrix(case: Case, start: int, end: int) -> Any:
    """Features as scikit-learn takes them, of whole blocks: CSR or an ndarray, shape (end - start, width)."""
    made = [to_matrix(block(case, number)["features"], case.width) for number in range(start // BLOCK, end // BLOCK)]
    if not case.sparse:
        return np.concatenate(made)
    from scipy.sparse import vstack

    return vstack(made, format="csr")


def table(spark: SparkSession, case: Case, rows: int) -> DataFrame:
    """Return the first rows, in the memory of Spark, with a partition for each core."""
    from pyspark.ml.linalg import VectorUDT
    from pyspark.sql.types import DoubleType, LongType, StructField, StructType

    def fill(numbers: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in numbers:
            for number in batch["id"].to_pylist():
                yield block(case, number)

    schema = StructType([StructField("id", LongType()), StructField("label", DoubleType()), StructField("features", VectorUDT())])
    made = spark.range(0, rows // BLOCK, 1, CORES).mapInArrow(fill, schema).cache()
    assert made.count() == rows
    return made
