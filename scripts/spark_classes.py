"""Do what most of the tests' Spark applications do, so that this JVM loads the classes that theirs need; see setup.sh.

The classes of spark-submit's launcher, which is a JVM of its own, go to ``.work/launcher.jsa``.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

HOME = Path(os.environ["SPARK_HOME"])
SAMPLE = HOME / "data" / "mllib" / "sample_libsvm_data.txt"
LAUNCHER = Path(__file__).parents[1] / ".work" / "launcher.jsa"


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


def archive_launcher() -> None:
    """Run the launcher, which writes its classes when it ends."""
    LAUNCHER.unlink(missing_ok=True)
    options = {"SPARK_LAUNCHER_OPTS": f"-XX:ArchiveClassesAtExit={LAUNCHER}", "SPARK_SUBMIT_OPTS": ""}
    subprocess.run([HOME / "bin" / "spark-submit", "--version"], env=os.environ | options, check=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
    archive_launcher()
