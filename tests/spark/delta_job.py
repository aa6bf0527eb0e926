"""What test_delta.py looks at: trainings on Delta tables and predictions written to them, in a session of its own.

Called with the jars of Delta and a folder; prints the results as JSON in its last line.
"""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from pyspark.sql import SparkSession

from mlsql_runtime import codec, engine
from mlsql_runtime.language import compile_script
from mlsql_runtime.plan import Plan
from mlsql_runtime.result import RunResult, SaveResult, TrainResult
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store.versions import read_manifest

jars, folder = sys.argv[1], Path(sys.argv[2])
spark = (
    SparkSession.builder.master("local[2]")
    .config("spark.jars", jars)
    .config("spark.sql.extensions", "io.delta.sql.DeltaSparkSessionExtension")
    .config("spark.sql.catalog.spark_catalog", "org.apache.spark.sql.delta.catalog.DeltaCatalog")
    .config("spark.sql.warehouse.dir", (folder / "warehouse").as_uri())
    .config("spark.ui.enabled", "false")
    .config("spark.ui.showConsoleProgress", "false")
    .config("spark.sql.shuffle.partitions", "1")
    .config("spark.databricks.delta.snapshotPartitions", "1")
    .getOrCreate()
)
(folder / "train.py").write_text("""
import mlsql, mlsql_model
X, y = mlsql.all_data()
print("mlsql_validation_score:%f" % X.sum())
mlsql_model.sk_save_model(1)
""")


def run(script: str) -> RunResult:
    """Run MLSQL. ``train t`` trains the script that counts rows."""
    train = f"as PythonAlg.`{folder}/m` where pythonScriptPath='{folder}/train.py'"
    statements = compile_script(script.replace("PATH", f"{folder}/path").replace("COUNT", train)).statements
    return engine.run(Plan(job_id="delta", statements=statements), spark)


def train(script: str) -> dict[str, Any]:
    """Return score and rows of a training, and its sources."""
    result = run(script)
    result.raise_for_error()
    (step,) = (step for step in result.steps if isinstance(step, TrainResult))
    sources = read_manifest(Location.of(f"{folder}/m"), step.version).sources
    return {"score": step.score, "rows": step.rows, "sources": codec.encode(sources)}


def save(script: str) -> int | None:
    """Return the number of rows that were written."""
    result = run(script)
    result.raise_for_error()
    (step,) = (step for step in result.steps if isinstance(step, SaveResult))
    return step.rows


def rows(table: str) -> list[Any]:
    return sorted([list(row) for row in spark.table(table).collect()])


def version(table: str) -> int:
    found: int = spark.sql(f"describe history {table} limit 1").first()["version"]  # type: ignore[index]
    return found


found: dict[str, Any] = {}
TEN = "select array(double(id)) as features, id % 2 as label from range({begin}, {end}) as t;"
ORDERS = "select features, label from shop.orders as t; train t COUNT;"

spark.sql("create database shop")
found["created"] = save(TEN.format(begin=0, end=10) + "save t as table.`shop.orders` where using='delta';")
save(TEN.format(begin=0, end=10) + "save t as delta.`PATH`;")
found["first"] = train(ORDERS)
found["appended"] = save(TEN.format(begin=10, end=20) + "save append t as table.`shop.orders`;")
found["appended by path"] = save(TEN.format(begin=10, end=20) + "save append t as delta.`PATH`;")
found["moved"] = train(ORDERS)
found["moved by path"] = train("load delta.`PATH` as t; train t COUNT;")
found["travelled"] = train("select * from shop.orders version as of 0 as t; train t COUNT;")
found["travelled by name"] = train("load table.`shop.orders` where versionAsOf='0' as t; train t COUNT;")
found["travelled by path"] = train("load delta.`PATH` where versionAsOf='0' as t; train t COUNT;")
found["written meanwhile"] = train(
    "load delta.`PATH` as old;" + TEN.format(begin=20, end=30) + "save append t as delta.`PATH`; train old COUNT;"
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
    "no table": "select * from shop.ordesr as t; train t COUNT;",
    "no version": "load delta.`PATH` where versionAsOf='99' as t; train t COUNT;",
    "no data": "load delta.`PATHx` as t; train t COUNT;",
}.items():
    found[name] = run(script).error
print(json.dumps(found, default=str))
with suppress(Exception):
    spark.stop()
