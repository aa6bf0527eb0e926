"""Trainings on Iceberg tables and predictions written to them: `make test-versions` runs this with PySpark 4.1.

Called with Iceberg's jar and an empty folder; ends with the first result that is not as expected, or prints ``Iceberg: …``.
"""

from __future__ import annotations

import sys
from pathlib import Path

from support.table_job import TEN, TableJob

from mlsql_runtime.storage.location import Location
from mlsql_runtime.store.compare_versions import compare_versions

jar, folder = sys.argv[1], Path(sys.argv[2])
job = TableJob(
    {
        "spark.jars": jar,
        "spark.sql.extensions": "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions",
        "spark.sql.catalog.lake": "org.apache.iceberg.spark.SparkCatalog",
        "spark.sql.catalog.lake.type": "hadoop",
        "spark.sql.catalog.lake.warehouse": (folder / "lake").as_uri(),
    },
    folder,
)
TABLE = "lake.shop.orders"
ORDERS = f"select features, label from {TABLE} as t; train t SUM;"


def snapshots() -> list[str]:
    found = job.spark.sql(f"select snapshot_id from {TABLE}.snapshots order by committed_at").collect()
    return [str(row[0]) for row in found]


job.spark.sql("create namespace lake.shop")
assert job.save(TEN.format(begin=0, end=10) + f"save t as table.`{TABLE}` where using='iceberg';") == 10
first = job.train(ORDERS)
assert job.save(TEN.format(begin=10, end=20) + f"save append t as table.`{TABLE}`;") == 10
moved = job.train(ORDERS)
old, new = snapshots()
for training, rows, score, snapshot in ((first, 10, 45.0, old), (moved, 20, 190.0, new)):
    assert (training["rows"], training["score"]) == (rows, score), training
    (read,) = (source for source in training["sources"] if source["table"] == TABLE)
    assert (read["kind"], read["format"], read["version"]["id"]) == ("table", "iceberg", snapshot), read
assert compare_versions(Location.of(f"{folder}/m"), first["version"], moved["version"]).changed_sources == (TABLE,)

for script in (
    f"select * from {TABLE} version as of {old} as t; train t SUM;",
    f"load iceberg.`{TABLE}` where versionAsOf='{old}' as t; train t SUM;",
):
    again = job.train(script)
    assert (again["rows"], again["score"]) == (first["rows"], first["score"]), again
    assert old in [(source["version"] or {}).get("id") for source in again["sources"]], again

SCORES = f"select label, features[0] * 2 as score from {TABLE} where features[0] < 3 as t;"
assert job.save(SCORES + "save append t as table.`lake.shop.scores` where using='iceberg';") == 3
assert job.save(SCORES + "save append t as table.`lake.shop.scores`;") == 3
assert len(job.rows("lake.shop.scores")) == 6
assert job.save(SCORES + "save overwrite t as table.`lake.shop.scores`;") == 3
assert job.rows("lake.shop.scores") == [[0, 0.0], [0, 4.0], [1, 2.0]]
error = job.run("select * from lake.shop.ordesr as t; train t SUM;").error or {}
assert error.get("kind") == "InputError", error
print(f"Iceberg: read and written, snapshots {old} and {new}")
job.spark.stop()
