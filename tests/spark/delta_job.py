"""What test_delta.py looks at: trainings on Delta tables and predictions written to them, in a session of its own.

Called with the jars of Delta and a folder; prints the results as JSON in its last line.
"""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from support.table_job import TEN, TableJob

jars, folder = sys.argv[1], Path(sys.argv[2])
job = TableJob(
    {
        "spark.jars": jars,
        "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
        "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
        "spark.databricks.delta.snapshotPartitions": "1",
    },
    folder,
)
spark, train, save, rows = job.spark, job.train, job.save, job.rows


def version(table: str) -> int:
    found: int = spark.sql(f"describe history {table} limit 1").first()["version"]  # type: ignore[index]
    return found


found: dict[str, Any] = {}
ORDERS = "select features, label from shop.orders as t; train t SUM;"

spark.sql("create database shop")
found["created"] = save(TEN.format(begin=0, end=10) + "save t as table.`shop.orders` where using='delta';")
save(TEN.format(begin=0, end=10) + "save t as delta.`PATH`;")
found["first"] = train(ORDERS)
found["appended"] = save(TEN.format(begin=10, end=20) + "save append t as table.`shop.orders`;")
found["appended by path"] = save(TEN.format(begin=10, end=20) + "save append t as delta.`PATH`;")
found["moved"] = train(ORDERS)
found["moved by path"] = train("load delta.`PATH` as t; train t SUM;")
found["travelled"] = train("select * from shop.orders version as of 0 as t; train t SUM;")
found["travelled by name"] = train("load table.`shop.orders` where versionAsOf='0' as t; train t SUM;")
found["travelled by path"] = train("load delta.`PATH` where versionAsOf='0' as t; train t SUM;")
found["written meanwhile"] = train(
    "load delta.`PATH` as old;" + TEN.format(begin=20, end=30) + "save append t as delta.`PATH`; train old SUM;"
)

SCORES = "select label, features[0] * 2 as score, 'd{day}' as day from shop.orders where features[0] < 3 as t; save {how};"
for day, how in ((1, "append"), (2, "append"), (3, "overwrite")):
    target = "t as table.`shop.scores` where using='delta' partitionBy day"
    written = save(SCORES.format(day=day, how=f"{how} {target}"))
    found[f"scores {day}"] = [written, rows("shop.scores"), version("shop.scores")]
found["partitions"] = spark.sql("describe detail shop.scores").first()["partitionColumns"]  # type: ignore[index]
found["other order"] = save("select 'd4' as day, 9.0D as score, 1L as label as t; save append t as table.`shop.scores`;")
found["evolved"] = save(
    "select 'd5' as day, 9.0D as score, 1L as label, 'new' as note as t;"
    "save append t as table.`shop.scores` where mergeSchema='true';"
)
found["columns"] = spark.table("shop.scores").columns
for name, script in {
    "other columns": "select 'd4' as day, 1.0D as scores as t; save append t as table.`shop.scores`;",
    "other format": "select 1 as x as t; save append t as table.`shop.scores` where using='parquet';",
    "no table": "select * from shop.ordesr as t; train t SUM;",
    "no version": "load delta.`PATH` where versionAsOf='99' as t; train t SUM;",
    "no data": "load delta.`PATHx` as t; train t SUM;",
}.items():
    found[name] = job.run(script).error
print(json.dumps(found, default=str))
with suppress(Exception):
    spark.stop()
