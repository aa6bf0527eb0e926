"""Parquet files to predictions: ours from the files and through Spark, MLflow, and plain processes with pyarrow by hand.

``make bench`` runs it and writes ``benchmarks/results/parquet.md``. One Spark session on two cores, a logistic regression,
one column of predictions saved (noop). ``--case`` runs one case and writes nothing; ``--largest 20000000`` lets the table
grow further, for which the disk needs 260 bytes for each row.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import pickle
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq
from columns import ROW_GROUP, SCRIPTS, mlflow_udf, write_table
from measure import Timed, interleaved, machine, shown, table
from scorers import ours, peers
from scorers.cases import BAYES, CORES, matrix
from scorers.cases import table as table_of_vectors
from scorers.ways import CHECKED, Numbers, Way, check
from scoring import session

from mlsql_runtime import engine
from mlsql_runtime.parquet_queries.table import SETTING, score_from_files
from mlsql_runtime.plan import NO_ACCESS, Load, Plan, Register, Select, Train
from mlsql_runtime.scoring.arrow_batching import limit_batch_bytes

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

RESULTS = Path(__file__).parent / "results" / "parquet.md"
TRAINING_ROWS = 5000
FILES, SPARK, MLFLOW, HAND = "ours, from the files", "ours, through Spark", "MLflow spark_udf, struct", "pyarrow by hand"
MLFLOW_ARRAY = "MLflow spark_udf, array"


@dataclass(frozen=True)
class Case:
    """A table of ``width`` double columns, of which the first ``used`` are features; or one of sparse vectors, :data:`SPARSE`."""

    name: str
    rows: int
    width: int
    used: int
    goals: tuple[tuple[str, float], ...]

    @property
    def features(self) -> list[str]:
        return [f"x{number}" for number in range(self.used)]


SPARSE = Case("sparse 692", 200_000, BAYES.width, BAYES.width, ((MLFLOW_ARRAY, 6.0),))
CASES = (
    Case("30 columns", 2_000_000, 30, 30, ((MLFLOW, 4.0), (HAND, 0.6))),
    Case("10 of 200 columns", 1_000_000, 200, 10, ((MLFLOW, 6.0),)),
    SPARSE,
)
GROWTH = (100_000, 1_000_000, 10_000_000)  # and --largest


def train(spark: SparkSession, case: Case, path: str, model_path: str) -> None:
    """Train the model of a case, and register it."""
    statements = (
        Load(table="all_rows", format="parquet", path=path),
        Select(table="training", sql=f"select * from all_rows limit {TRAINING_ROWS}"),  # noqa: S608
        Train(
            table="training",
            model_path=model_path,
            script_path=str(SCRIPTS / "train_frame.py"),
            feature_columns=tuple(case.features),
            label_column="label",
        ),
        Register(model_path=model_path, function="matrix", script_path=str(SCRIPTS / "predict_matrix.py")),
    )
    engine.run(Plan(job_id="benchmark", statements=statements), spark).raise_for_error()


def _score_by_hand(path: str, groups: list[int], names: list[str], pickled: bytes) -> float:
    model = pickle.loads(pickled)
    total = 0.0
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(65_536, row_groups=groups, columns=names, use_threads=False):
            total += float(model.predict(np.column_stack([column.to_numpy() for column in batch.columns])).sum())
    return total


def save(rows: DataFrame) -> None:
    """Compute all rows, and throw them away."""
    rows.write.format("noop").mode("overwrite").save()


def measure(spark: SparkSession, case: Case, folder: str) -> dict[str, Timed]:
    """Return the seconds of each way, once all have given the same answers."""
    import mlsql_model
    from pyspark.sql import functions as F

    path, model_path = f"{folder}/{case.name}.parquet", f"{folder}/{case.name}-model"
    write_table(path, case.rows, case.width)
    train(spark, case, path, model_path)
    rows = spark.read.parquet(path)
    model = mlsql_model.load(f"{model_path}/_model_1/model/0")
    sample = rows.select(*case.features).limit(CHECKED).toPandas()
    by_mlflow = mlflow_udf(spark, model, sample, f"{folder}/{case.name}-mlflow")
    answers: dict[str, Column] = {
        SPARK: F.call_function("matrix", F.struct(*case.features)),
        MLFLOW: by_mlflow(F.struct(*case.features)),
    }
    tables = {name: rows.select(column.alias("answer")) for name, column in answers.items()}
    tables[FILES] = score_from_files(tables[SPARK], NO_ACCESS)
    if tables[FILES] is tables[SPARK]:
        raise SystemExit(f"{case.name}: the files were not read directly")
    total = {name: each.agg(F.sum("answer")).first()[0] for name, each in tables.items()}  # type: ignore[index]
    groups = list(range(pq.ParquetFile(path).metadata.num_row_groups))
    shares = [groups[core::CORES] for core in range(CORES)]
    pool = multiprocessing.get_context("spawn").Pool(CORES)

    def by_hand(_: object) -> float:
        work = [(path, share, case.features, pickle.dumps(model)) for share in shares]
        return sum(pool.starmap(_score_by_hand, work))

    with pool:
        total[HAND] = by_hand(None)
        if len(set(total.values())) != 1:
            raise SystemExit(f"{case.name}: other predictions: {total}")

        def saver(name: str) -> Callable[[Any], None]:
            def run(_: object) -> None:
                if name == MLFLOW:
                    with limit_batch_bytes(spark):
                        save(tables[name])
                else:
                    save(score_from_files(tables[SPARK], NO_ACCESS) if name == FILES else tables[name])

            return run

        return interleaved({**{name: saver(name) for name in (FILES, SPARK, MLFLOW)}, HAND: by_hand})


def measure_sparse(spark: SparkSession, folder: str) -> dict[str, Timed]:
    """Return the seconds of each way to score :data:`SPARSE` with naive Bayes, once all have given the same answers."""
    from pyspark.ml.functions import vector_to_array
    from pyspark.sql import functions as F

    path, model_path = f"{folder}/sparse.parquet", f"{folder}/sparse-model"
    made = table_of_vectors(spark, BAYES, SPARSE.rows)
    made.write.parquet(path)
    made.unpersist()
    rows = spark.read.parquet(path)
    ours.train(spark, BAYES, rows, model_path)
    directory = ours.model_dir(model_path)
    answer = F.call_function("batch", "features").alias("answer")
    by_spark, by_mlflow = (
        ours.way(SPARK, rows, "batch"),
        peers.mlflow(spark, rows, BAYES, directory, f"{folder}/sparse-mlflow")[0],
    )

    def from_files(table: DataFrame) -> DataFrame:
        found = score_from_files(table, NO_ACCESS)
        if found is table:
            raise SystemExit(f"{SPARSE.name}: the files were not read directly")
        return found

    def answers() -> Numbers:
        few = from_files(rows.where(F.col("id") < CHECKED).select("id", answer))
        found = few.select("id", vector_to_array(F.col("answer"))[0].alias("answer")).orderBy("id")
        return np.array([row.answer for row in found.collect()])

    by_files = Way(FILES, SPARSE.rows, lambda: save(from_files(rows.select(answer))), answers)
    check([by_files, by_spark, by_mlflow], peers.model_of(directory).predict(matrix(BAYES, 0, CHECKED)))
    ways = {FILES: by_files, SPARK: by_spark, MLFLOW_ARRAY: by_mlflow}
    return interleaved({name: lambda _, way=way: way.run() for name, way in ways.items()})  # type: ignore[misc]


def grow(spark: SparkSession, folder: str, largest: int | None) -> dict[int, Timed]:
    """Return the seconds of ours from the files, by number of rows."""
    from pyspark.sql import functions as F

    case = CASES[0]
    ways: dict[str, Callable[[Any], None]] = {}
    for rows in (*GROWTH, *([] if largest is None else [largest])):
        write_table(f"{folder}/{rows}.parquet", rows, case.width)
        if not ways:
            train(spark, case, f"{folder}/{rows}.parquet", f"{folder}/growth-model")
        answers = spark.read.parquet(f"{folder}/{rows}.parquet").select(F.call_function("matrix", F.struct(*case.features)))
        ways[str(rows)] = lambda _, answers=answers: save(score_from_files(answers, NO_ACCESS))  # type: ignore[misc]
    return {int(name): took for name, took in interleaved(ways).items()}


def main() -> None:
    """Measure, print, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--case", action="append", choices=[case.name for case in CASES], help="only this one; writes nothing")
    parser.add_argument("--largest", type=int, help="rows of one more table in the section about growth")
    args = parser.parse_args()
    if not find_spec("mlflow"):
        raise SystemExit("MLflow is not there; run make bench, which installs it into .work/bench")
    chosen = [case for case in CASES if not args.case or case.name in args.case]
    with tempfile.TemporaryDirectory() as folder, session(folder) as spark:
        measured = {case: measure_sparse(spark, folder) if case is SPARSE else measure(spark, case, folder) for case in chosen}
        grown = {} if args.case else grow(spark, folder, args.largest)
    text = _page(measured, grown)
    print(text)
    if not args.case:
        RESULTS.write_text(text, encoding="utf-8")


def _page(measured: dict[Case, dict[str, Timed]], grown: dict[int, Timed]) -> str:
    goals = []
    for case, took in measured.items():
        for peer, goal in case.goals:
            ratio = took[FILES].ratio(took[peer])
            reached = "reached" if ratio[0] >= goal else "not reached"
            goals.append([f"{case.name}, {case.rows:,} rows", peer, f"{goal}x", shown(ratio), reached])
    parts = [
        f"""# Parquet files to predictions

{machine("pyspark", "mlflow-skinny", "scikit-learn", "numpy", "pyarrow")}; load average {os.getloadavg()[0]:.1f} at the end.
Double columns in one Parquet file with row groups of {ROW_GROUP:,} rows, a logistic regression, one Spark session,
local[{CORES}]; the predictions are saved (noop). Every way once in each round, medians of five rounds after a warm-up; ratios of
the rounds with their range. The sums of all predictions were found to be equal. `make bench` makes this page.

## Goals

{table(["what", "against", "goal", "measured", ""], goals)}"""
    ]
    for case, took in measured.items():
        lines = [
            [name, f"{each.median:.2f}", f"{case.rows / each.median:,.0f}", shown(took[FILES].ratio(each))]
            for name, each in sorted(took.items(), key=lambda item: item[1].median)
        ]
        parts.append(f"## {case.name}, {case.rows:,} rows\n\n" + table(["way", "seconds", "rows/s", f"{FILES}, to it"], lines))
    if grown:
        lines = [[f"{rows:,}", f"{took.median:.2f}", f"{took.median / rows * 1e6:.2f}"] for rows, took in grown.items()]
        parts.append(f"## Growth: {FILES}, 30 columns\n\n" + table(["rows", "seconds", "microseconds of a row"], lines))
        parts.append(_split_time(grown, measured[CASES[0]][HAND]))
    parts.append(f"""- {FILES}: `select jack(struct(…))` as every saved query runs; {SPARK}: the same with `{SETTING}=false`.
- {MLFLOW}: the sklearn flavour with the signature of its columns, in Spark's default batches; {MLFLOW_ARRAY}: with that of a
  tensor, called with arrays of the vectors, which
  are 692 wide with 150 values. There the model is naive Bayes.
- {HAND}: {CORES} processes that are running already; each reads its share of the row groups, stacks the columns and calls
  `predict`. No Spark.
""")
    return "\n".join(parts)


def _split_time(grown: dict[int, Timed], by_hand: Timed) -> str:
    """Say what is there for every table, and what a row takes: why a small table is further from pyarrow by hand."""
    (few, short), (many, long) = min(grown.items()), max(grown.items())
    row = (long.median - short.median) / (many - few)
    fixed, hand = short.median - few * row, by_hand.median / CASES[0].rows
    return f"""So {fixed:.2f} seconds are there however few the rows, for a Spark job, its Python workers and the footer of the
file, and each row takes {row * 1e6:.2f} microseconds; by hand it takes {hand * 1e6:.2f}.
"""


if __name__ == "__main__":
    main()
