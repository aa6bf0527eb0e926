"""A job that makes a JVM load the classes which jobs need: run by spark-submit, with a folder for its tables as argument."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pyarrow as pa


def main(folder: str) -> None:
    """Read, query, cache and write tables; run tasks in Python and a function over vectors."""
    from pyspark.ml.linalg import VectorUDT
    from pyspark.sql import Observation, SparkSession
    from pyspark.sql import functions as F
    from pyspark.sql.pandas.functions import arrow_udf

    def same(batches: Iterator[pa.Array]) -> Iterator[pa.Array]:
        yield from batches

    same.__annotations__ = {"batches": Iterator[pa.Array], "return": Iterator[pa.Array]}
    spark = SparkSession.builder.getOrCreate()
    with open(f"{folder}/rows.libsvm", "w", encoding="utf-8") as file:
        file.writelines(f"{number % 2} {number % 9 + 1}:1.5 11:2\n" for number in range(100))
    table = spark.read.format("libsvm").option("numFeatures", 20).load(f"{folder}/rows.libsvm")
    table.createOrReplaceTempView("data")
    spark.udf.register("same", arrow_udf(same, VectorUDT()))  # type: ignore[call-overload]  # its stubs know no user-defined types
    answers = spark.sql("select label, same(features) as answer from data where label >= 0 order by label limit 50").cache()
    spark.sparkContext.parallelize([0, 1], 2).mapPartitions(lambda part: part).collect()
    for format in ("json", "parquet"):
        answers.observe(Observation(), F.count(F.lit(1))).write.format(format).save(f"{folder}/{format}")
        spark.read.format(format).load(f"{folder}/{format}").groupBy("label").count().collect()
    spark.stop()


if __name__ == "__main__":
    main(sys.argv[1])
