"""Do what most of the tests' Spark applications do, so that this JVM loads the classes that theirs need; see setup.sh."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

SAMPLE = Path(os.environ["SPARK_HOME"]) / "data" / "mllib" / "sample_libsvm_data.txt"


def same(batches: Iterator[pa.Array]) -> Iterator[pa.Array]:
    """Return the vectors unchanged."""
    yield from batches


def main(folder: Path) -> None:
    """Read, query, cache and write tables; run tasks in Python and a function over vectors."""
    from pyspark.ml.linalg import VectorUDT
    from pyspark.sql import Observation, SparkSession
    from pyspark.sql import functions as F
    from pyspark.sql.pandas.functions import arrow_udf

    spark = SparkSession.builder.getOrCreate()
    table = spark.read.format("libsvm").option("numFeatures", 692).load(str(SAMPLE))
    table.createOrReplaceTempView("data")
    spark.udf.register("same", arrow_udf(same, VectorUDT()))  # type: ignore[call-overload]  # its stubs know no user-defined types
    answers = spark.sql("select label, same(features) as answer from data where label >= 0 order by label limit 50").cache()
    spark.sparkContext.parallelize([0, 1], 2).mapPartitions(lambda part: part).collect()
    for format in ("json", "parquet"):
        answers.observe(Observation(), F.count(F.lit(1))).write.mode("overwrite").format(format).save(str(folder / format))
        spark.read.format(format).load(str(folder / format)).groupBy("label").count().collect()
    spark.stop()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
