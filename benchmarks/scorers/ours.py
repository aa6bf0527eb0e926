"""Our own contracts, used as every job uses them: train, register, call the function."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mlsql_runtime import engine
from mlsql_runtime.plan import Plan, Register, Select, Train
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store.function_records import FunctionRecord
from mlsql_runtime.store.functions import function_dir, read_function
from mlsql_runtime.store.layout import FUNCTION_PICKLE
from scorers.cases import Case
from scorers.ways import Way, in_spark

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

BATCH, ROW, ROW_ALONE = "ours, batch", "ours, row by row", "ours, row by row, no model"
FUNCTIONS = {
    "batch": "predict_batch.py",
    "row": "predict_row.py",
    "reloading": "predict_row_reloading.py",
    "nothing": "predict_nothing.py",
}
SCRIPTS = Path(__file__).parent / "scripts"
TRAINING_ROWS = 5000


def train(spark: SparkSession, case: Case, table: DataFrame, model_path: str) -> None:
    """Train the case's model; register all of :data:`FUNCTIONS` for it."""
    table.createOrReplaceTempView("all_rows")
    statements = (
        Select(table="training", sql=f"select label, features from all_rows where id < {TRAINING_ROWS}"),  # noqa: S608
        Train(
            table="training",
            model_path=model_path,
            script_path=str(SCRIPTS / "train.py"),
            fit_params=({"model": case.model},),
        ),
        *(
            Register(model_path=model_path, function=name, script_path=str(SCRIPTS / script))
            for name, script in FUNCTIONS.items()
        ),
    )
    engine.run(Plan(job_id="benchmark", statements=statements), spark).raise_for_error()


def model_dir(model_path: str) -> str:
    """Return the folder of the trained model."""
    return f"{model_path}/_model_1/model/0"


def record(model_path: str, function: str) -> FunctionRecord:
    """Return the record of a registered function."""
    return read_function(Location.of(model_path), function)


def pickled(model_path: str, function: str) -> bytes:
    """Return the pickle of a registered function."""
    known = record(model_path, function)
    place = function_dir(Location.of(model_path), function) / str(known.function_version)
    return (place / FUNCTION_PICKLE).read()


def way(name: str, table: DataFrame, function: str, *, is_checked: bool = True) -> Way:
    """One of :data:`FUNCTIONS`, as it was registered last."""
    from pyspark.sql.functions import call_function

    return in_spark(name, table, call_function(function, "features"), is_vector=True, is_checked=is_checked)
