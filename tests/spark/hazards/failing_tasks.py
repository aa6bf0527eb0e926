"""A program for test_kafka_hazards: train through Kafka while tasks die half-way, and run twice.

Prints one JSON line with what the script saw, what the table holds, and how many attempts left records in the topic.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
from pyspark import TaskContext
from pyspark.sql import SparkSession

from mlsql_runtime import engine
from mlsql_runtime.feed.topic.receive import current_range, records_of
from mlsql_runtime.feed.topic.records import read_origin
from mlsql_runtime.kafka.clients import open_admin
from mlsql_runtime.kafka.settings import parse_settings
from mlsql_runtime.plan import KafkaFeed, Plan, Select, Train

PARTITIONS, BATCHES, ROWS = 4, 6, 5000
SCRIPT = """
import mlsql, mlsql_model
ids = [row["id"] for rows in mlsql.read_data()(max_records=1000) for row in rows]
mlsql.report(rows=len(ids), different=len(set(ids)), sum=sum(ids))
mlsql_model.sk_save_model(0)
"""


def unreliable(_: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    context = TaskContext.get()
    assert context is not None
    partition, first = context.partitionId(), context.attemptNumber() == 0
    for number in range(BATCHES):
        if first and number == BATCHES // 2:
            time.sleep(1.5)  # what came before is on its way by now
            if partition == 0:
                raise RuntimeError("dies half-way")
            if partition == 1:
                os._exit(1)
            if partition == 2:
                time.sleep(60)  # a speculative copy overtakes it
        begin = (partition * BATCHES + number) * ROWS
        ids = range(begin, begin + ROWS)
        yield pa.record_batch({"id": pa.array(ids, pa.int64()), "text": [os.urandom(100).hex() for _ in ids]})


def main(master: str, bootstrap: str, folder: Path) -> None:
    (folder / "script.py").write_text(SCRIPT)
    spark = (
        SparkSession.builder.master(master)
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .config("spark.log.level", "OFF")
        .config("spark.executor.memory", "600m")
        .config("spark.task.maxFailures", "4")
        .config("spark.speculation", "true")
        .config("spark.speculation.efficiency.enabled", "false")
        .config("spark.speculation.interval", "200ms")
        .config("spark.speculation.multiplier", "1.2")
        .config("spark.speculation.quantile", "0.5")
        .config("spark.speculation.minTaskRuntime", "1s")
        .config("spark.sql.warehouse.dir", (folder / "warehouse").as_uri())
        .getOrCreate()
    )
    settings = parse_settings({"bootstrap.servers": bootstrap}, "the test")
    spark.range(0, PARTITIONS, 1, PARTITIONS).mapInArrow(unreliable, "id bigint, text string").createOrReplaceTempView("table")
    rows = Select(table="rows", sql="select * from table")
    feed = KafkaFeed(topic="hazards", settings=settings.public, keep=True, partitions=2)
    train = Train(table="rows", model_path=str(folder / "m"), script_path=str(folder / "script.py"), feed=feed)
    result = engine.run(Plan(job_id="hazards", statements=(rows, train)), spark)
    result.raise_for_error()
    with open_admin(settings) as admin:
        [topic] = [name for name in admin.client.list_topics() if name.startswith("hazards_")]
    stamps = [read_origin(record.headers) for record in records_of(settings, current_range(settings, topic), None)]
    attempts = {(stamp.partition, stamp.attempt) for stamp in stamps if stamp}
    print(json.dumps({"seen": dict(result.steps[-1].fits[0].metrics), "rows": result.steps[-1].rows, "attempts": len(attempts)}))
    spark.stop()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
