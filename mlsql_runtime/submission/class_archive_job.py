"""A job that makes a JVM load the classes which jobs need: run by spark-submit, with a folder for its tables as argument."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

NOWHERE = "127.0.0.1:9"
CLUSTER = (
    "deploy.yarn.ApplicationMaster",
    "deploy.yarn.Client",
    "deploy.yarn.YarnClusterApplication",
    "executor.CoarseGrainedExecutorBackend",
    "executor.YarnCoarseGrainedExecutorBackend",
    "scheduler.cluster.StandaloneSchedulerBackend",
    "scheduler.cluster.YarnClientSchedulerBackend",
    "scheduler.cluster.YarnClusterSchedulerBackend",
)  # classes of Spark


def main(folder: str) -> None:
    """Read, query, cache and write tables; run tasks in Python and a function over vectors; load what clusters need."""
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
    with contextlib.suppress(Exception):  # a Spark without YARN
        load_cluster_classes(spark.sparkContext._jvm)
    spark.stop()


def load_cluster_classes(jvm: Any) -> None:
    """Load what submits to YARN, what drivers and executors on a cluster are, and the client of HDFS. Requests go nowhere."""
    settings = jvm.org.apache.hadoop.yarn.conf.YarnConfiguration()
    for name, value in (
        ("ipc.client.connect.max.retries", "0"),
        ("yarn.resourcemanager.address", NOWHERE),
        ("yarn.resourcemanager.scheduler.address", NOWHERE),
        ("yarn.resourcemanager.connect.max-wait.ms", "1"),
        ("yarn.resourcemanager.connect.retry-interval.ms", "1"),
    ):
        settings.set(name, value)
    clients = jvm.org.apache.hadoop.yarn.client.api
    submitter, driver = clients.YarnClient.createYarnClient(), clients.AMRMClient.createAMRMClient()
    hdfs, root = jvm.java.net.URI(f"hdfs://{NOWHERE}"), jvm.org.apache.hadoop.fs.Path("/")
    for client in (submitter, driver):
        client.init(settings)
        client.start()
    for ask in (
        submitter.getYarnClusterMetrics,
        lambda: driver.registerApplicationMaster("", 0, ""),
        lambda: jvm.org.apache.hadoop.fs.FileSystem.get(hdfs, settings).exists(root),
        *(lambda name=name: jvm.java.lang.Class.forName(f"org.apache.spark.{name}") for name in CLUSTER),
    ):
        with contextlib.suppress(Exception):  # nobody responds
            ask()
    for client in (submitter, driver):
        client.stop()


if __name__ == "__main__":
    main(sys.argv[1])
