"""Scoring a table of columns: ours by position and by name, MLflow, and Arrow functions that do nothing.

``make bench`` runs it and writes ``benchmarks/results/columns.md``. One Spark session on two cores, a million rows of 30 double
columns in a Parquet file, a logistic regression, answers thrown away (noop).
"""

from __future__ import annotations

import argparse
import logging
import os
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from measure import Timed, interleaved, machine, shown, table
from scoring import session

from mlsql_runtime import engine
from mlsql_runtime.plan import Load, Plan, Register, Select, Train
from mlsql_runtime.scoring.arrow_batching import limit_batch_bytes

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

RESULTS = Path(__file__).parent / "results" / "columns.md"
SCRIPTS = Path(__file__).parent / "scorers" / "scripts"
ROWS, WIDTH, TRAINING_ROWS, CHECKED = 1_000_000, 30, 5000, 1000
ROW_GROUP = 100_000
NAMES = [f"x{number}" for number in range(WIDTH)]
BY_NAME, FRAME = "ours, by name", "ours, frames, by name"
BY_POSITION, FRAME_BY_POSITION = "ours, by position", "ours, frames, by position"
NOTHING, NOTHING_NAMED = "an Arrow UDF that does nothing, columns", "an Arrow UDF that does nothing, struct"
MLFLOW, MLFLOW_COLUMNS = "MLflow spark_udf, struct", "MLflow spark_udf, columns"
MLFLOW_QUICK = "MLflow spark_udf, struct, with our batch sizes"
FUNCTIONS = {"matrix": "predict_matrix.py", "frame": "predict_frame.py"}


@dataclass(frozen=True)
class Goal:
    """How many times as fast as a peer we want to be."""

    way: str
    peer: str
    at_least: float


GOALS = (
    Goal(BY_NAME, MLFLOW, 1.5),
    Goal(FRAME, MLFLOW, 1.2),
    Goal(BY_NAME, NOTHING_NAMED, 0.85),
    Goal(BY_POSITION, NOTHING, 0.85),
)


def write_table(path: str, rows: int, width: int = WIDTH) -> None:
    """Write a Parquet file of random numbers; the label says on which side of a plane a row is."""
    random = np.random.default_rng(0)
    plane = random.standard_normal(width)
    names = [*(f"x{number}" for number in range(width)), "label"]
    with pq.ParquetWriter(path, pa.schema([(name, pa.float64()) for name in names])) as writer:
        for start in range(0, rows, ROW_GROUP):
            X = random.standard_normal((min(ROW_GROUP, rows - start), width))
            columns = [*X.T, (X @ plane > 0).astype(np.float64)]
            writer.write_table(pa.table(list(map(pa.array, columns)), names=names))


def train(spark: SparkSession, path: str, model_path: str) -> None:
    """Train the model; register :data:`FUNCTIONS` for it."""
    statements = (
        Load(table="all_rows", format="parquet", path=path),
        Select(table="training", sql=f"select * from all_rows limit {TRAINING_ROWS}"),  # noqa: S608
        Train(
            table="training",
            model_path=model_path,
            script_path=str(SCRIPTS / "train_frame.py"),
            feature_columns=tuple(NAMES),
            label_column="label",
        ),
        *(
            Register(model_path=model_path, function=name, script_path=str(SCRIPTS / script))
            for name, script in FUNCTIONS.items()
        ),
    )
    engine.run(Plan(job_id="benchmark", statements=statements), spark).raise_for_error()


def nothing() -> Any:
    """Return a function that gives a constant for each row, whatever it is called with."""
    from pyspark.sql.pandas.functions import arrow_udf
    from pyspark.sql.types import DoubleType

    def answer(batches: Iterator[pa.Array]) -> Iterator[pa.Array]:
        for batch in batches:
            yield pa.array(np.ones(len(batch[0] if isinstance(batch, tuple) else batch)))

    answer.__annotations__ = {"batches": Iterator[pa.Array], "return": Iterator[pa.Array]}
    return arrow_udf(answer, DoubleType())  # type: ignore[call-overload]


def mlflow_udf(spark: SparkSession, model: Any, sample: Any, folder: str) -> Any:
    """Return MLflow's function of the model, saved with the signature of its columns."""
    import mlflow.pyfunc
    import mlflow.sklearn
    from mlflow.models import infer_signature

    logging.getLogger("mlflow").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mlflow.sklearn.save_model(
            model,
            folder,
            signature=infer_signature(sample, model.predict(sample)),
            pip_requirements=[],
            serialization_format="cloudpickle",
        )
        return mlflow.pyfunc.spark_udf(spark, folder, result_type="double", env_manager="local")


def find_ways(spark: SparkSession, rows: DataFrame, model_path: str, folder: str) -> dict[str, Column]:
    """Return the columns to compute, by way."""
    import mlsql_model
    from pyspark.sql import functions as F

    model = mlsql_model.load(f"{model_path}/_model_1/model/0")
    sample = rows.select(*NAMES).limit(CHECKED).toPandas()
    of_mlflow, of_nothing = mlflow_udf(spark, model, sample, f"{folder}/mlflow"), nothing()
    struct = F.struct("*")
    return {
        BY_NAME: F.call_function("matrix", struct),
        BY_POSITION: F.call_function("matrix", *NAMES),
        FRAME: F.call_function("frame", struct),
        FRAME_BY_POSITION: F.call_function("frame", *NAMES),
        NOTHING: of_nothing(*NAMES),
        NOTHING_NAMED: of_nothing(struct),
        MLFLOW: of_mlflow(F.struct(*NAMES)),
        MLFLOW_COLUMNS: of_mlflow(*NAMES),
        MLFLOW_QUICK: of_mlflow(F.struct(*NAMES)),
    }


def check(ways: dict[str, Column], rows: DataFrame, model_path: str) -> None:
    """Compare the answers of all ways that have a model with scikit-learn's own.

    :raises SystemExit: naming the way that differs.
    """
    import mlsql_model

    model = mlsql_model.load(f"{model_path}/_model_1/model/0")
    few = rows.limit(CHECKED)
    expected = model.predict(few.select(*NAMES).toPandas())
    for name, column in ways.items():
        if name not in (NOTHING, NOTHING_NAMED):
            found = [row.answer for row in few.select(column.alias("answer")).collect()]
            if found != expected.tolist():
                raise SystemExit(f"{name}: other predictions than scikit-learn's own")


def measure(folder: str, count: int) -> dict[str, Timed]:
    """Return the seconds of each way."""
    path, model_path = f"{folder}/rows.parquet", f"{folder}/model"
    write_table(path, count)
    with session(folder) as spark:
        train(spark, path, model_path)
        rows = spark.read.parquet(path).drop("label")
        ways = find_ways(spark, rows, model_path, folder)
        check(ways, rows, model_path)

        def runner(name: str, column: Column) -> Callable[[object], object]:
            def run(_: object) -> None:
                with limit_batch_bytes(spark) if name in (MLFLOW, MLFLOW_COLUMNS) else nullcontext():
                    rows.select(column.alias("answer")).write.format("noop").mode("overwrite").save()

            return run

        return interleaved({name: runner(name, column) for name, column in ways.items()})


def main() -> None:
    """Measure, print, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=ROWS, help="another number of rows; writes nothing")
    args = parser.parse_args()
    if not find_spec("mlflow"):
        raise SystemExit("MLflow is not there; run make bench, which installs it into .work/bench")
    with tempfile.TemporaryDirectory() as folder:
        took = measure(folder, args.rows)
    text = _page(took, args.rows)
    print(text)
    if args.rows == ROWS:
        RESULTS.write_text(text, encoding="utf-8")


def _page(took: dict[str, Timed], rows: int) -> str:
    lines = []
    for goal in GOALS:
        ratio = took[goal.way].ratio(took[goal.peer])
        is_reached = "reached" if ratio[0] >= goal.at_least else "not reached"
        lines.append([goal.way, goal.peer, f"{goal.at_least:g}x", shown(ratio), is_reached])
    each = [
        [name, f"{seconds.median:.2f}", f"{rows / seconds.median:,.0f}", shown(took[BY_NAME].ratio(seconds))]
        for name, seconds in sorted(took.items(), key=lambda item: item[1].median)
    ]
    packages = machine("pyspark", "mlflow-skinny", "scikit-learn", "numpy", "pyarrow", "pandas")
    return f"""# Scoring a table of columns

{packages}; load average {os.getloadavg()[0]:.1f} at the end.
{rows:,} rows of {WIDTH} double columns in a Parquet file, a logistic regression, one Spark session, local[2]; answers thrown away
(noop). Every way once in each round, medians of five rounds after a warm-up; ratios of the rounds with their range. All models
were found to give the same answers to the first {CHECKED:,} rows. `make bench` makes this page.

## Goals

{table(["who", "against", "goal", "measured", ""], lines)}
## Everyone

{table(["way", "seconds", "rows/s", f"{BY_NAME}, to it"], each)}
- ours: `python_fun.batch_udf(predict, returns="double")` over a matrix; frames with `input="frame"`; by name
  `jack(struct(*))`, by position `jack(x0, x1, …)`. Trained and registered by the engine, as in every job.
- {NOTHING}, or struct: the same columns in, a constant out.
- MLflow: the sklearn flavour with the signature of its columns, called with a struct or with the columns, in Spark's default
  batches. Registering one of our functions sets other sizes for the session (`mlsql_runtime/scoring/arrow_batching.py`), which
  the Arrow functions above have, too, and MLflow in the line that says so.

An Arrow function that does nothing shows what Spark takes to bring the columns to Python and an answer back; nothing that is a
function of Spark's takes less. By name it is {shown(took[NOTHING_NAMED].ratio(took[MLFLOW]))} as fast as MLflow over a struct.
"""


if __name__ == "__main__":
    main()
