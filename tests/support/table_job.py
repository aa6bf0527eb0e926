"""Trainings on tables of Delta and Iceberg, and predictions written to them, in a session of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pyspark.sql import SparkSession

from mlsql_runtime import codec, engine
from mlsql_runtime.language import compile_script
from mlsql_runtime.plan import Plan
from mlsql_runtime.result import RunResult, SaveResult, TrainResult
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store.versions import read_manifest

TEN = "select array(double(id)) as features, id % 2 as label from range({begin}, {end}) as t;"
_SCRIPT = """
import mlsql, mlsql_model
X, y = mlsql.all_data()
print("mlsql_validation_score:%f" % X.sum())
mlsql_model.sk_save_model(1)
"""


class TableJob:
    """Runs MLSQL in a new session.

    :param conf: properties of the session, among them the catalogs.
    :param folder: an empty folder; the model path is ``m`` in it.
    """

    def __init__(self, conf: dict[str, str], folder: Path) -> None:
        own = {
            "spark.sql.warehouse.dir": (folder / "warehouse").as_uri(),
            "spark.ui.enabled": "false",
            "spark.ui.showConsoleProgress": "false",
            "spark.sql.shuffle.partitions": "1",
        }
        self.spark = SparkSession.builder.master("local[2]").config(map={**own, **conf}).getOrCreate()
        self._folder = folder
        (folder / "train.py").write_text(_SCRIPT)

    def run(self, script: str) -> RunResult:
        """Run MLSQL. ``train t SUM;`` trains a script whose score is the sum of the features; ``PATH`` is in the folder."""
        train = f"as PythonAlg.`{self._folder}/m` where pythonScriptPath='{self._folder}/train.py'"
        statements = compile_script(script.replace("PATH", f"{self._folder}/path").replace("SUM", train)).statements
        return engine.run(Plan(job_id="tables", statements=statements), self.spark)

    def train(self, script: str) -> dict[str, Any]:
        """Return score and rows of a training, and its sources."""
        result = self.run(script)
        result.raise_for_error()
        (step,) = (step for step in result.steps if isinstance(step, TrainResult))
        sources = read_manifest(Location.of(f"{self._folder}/m"), step.version).sources
        return {"score": step.score, "rows": step.rows, "version": step.version, "sources": codec.encode(sources)}

    def save(self, script: str) -> int | None:
        """Return the number of rows that were written."""
        result = self.run(script)
        result.raise_for_error()
        (step,) = (step for step in result.steps if isinstance(step, SaveResult))
        return step.rows

    def rows(self, table: str) -> list[Any]:
        return sorted([list(row) for row in self.spark.table(table).collect()])
