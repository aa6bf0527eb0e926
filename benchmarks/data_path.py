"""A training table on its way to a script: files against the JSON loop of MLSQL's manual, Kafka against pickled rows.

``python benchmarks/data_path.py`` writes ``benchmarks/results/data_path.md``. Everything runs on one core, as a fit group does.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before Arrow and NumPy look at it

import json
import sys
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from kafka_transport import Bench, dense_rows, read_parts, reading, sparse_rows
from measure import Timed, interleaved, machine, shown, table

from mlsql_runtime.feed.decoding.features_and_labels import choose_columns, read_matrix, read_matrix_batches
from mlsql_runtime.feed.files.export import ExportFeed
from mlsql_runtime.feed.files.table import TableFiles, data_files
from mlsql_runtime.feed.table_facts import ColumnRoles
from mlsql_runtime.kafka.settings import parse_settings
from mlsql_runtime.plan import FileFeed
from mlsql_runtime.storage.location import Location

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts" / "jvm"))

RESULTS = Path(__file__).parent / "results" / "data_path.md"
ROWS = 20_000
BATCH = 1000
FILES_GOAL, KAFKA_GOAL = 15, 20
FORMATS = ("json", "parquet")


@dataclass(frozen=True)
class Exported:
    """One table, as Spark writes it in each format."""

    name: str
    files: dict[str, TableFiles]

    def by_the_manual(self) -> tuple[list[Any], list[float]]:
        """Read with the loop of the training script in MLSQL's manual, and a second branch for dense vectors, which it lacks."""
        from pyspark.ml.linalg import Vectors

        res, labels = [], []
        for file in data_files(self.files["json"].path):
            with open(file) as lines:
                for line in lines.readlines():
                    obj = json.loads(line)
                    features = obj["features"]
                    if features["type"] == 0:
                        vector = Vectors.sparse(features["size"], features["indices"], features["values"])
                    else:
                        vector = Vectors.dense(features["values"])
                    res.append(vector.toArray())
                    labels.append(obj["label"])
        return res, labels

    def ways(self) -> dict[str, Callable[[Any], object]]:
        """Return the ways by name."""
        made: dict[str, Callable[[Any], object]] = {"manual": lambda _: self.by_the_manual()}
        for format, files in self.files.items():
            made[f"all_data, {format}"] = lambda _, files=files: read_matrix(files, choose_columns(files, {}), None)
            made[f"sklearn_all_data, {format}"] = lambda _, files=files: read_matrix(files, choose_columns(files, {}), False)
            made[f"read_batches, {format}"] = lambda _, files=files: [
                len(y) for _, y in read_matrix_batches(files, choose_columns(files, {}), BATCH, None)
            ]
        return made

    def check(self) -> None:
        """Check that all ways return the same rows."""
        res, labels = self.by_the_manual()
        expected = np.array(res)
        for files in self.files.values():
            X, y = read_matrix(files, choose_columns(files, {}), False)
            assert np.array_equal(X, expected)
            assert np.array_equal(y, labels)
            parts = list(read_matrix_batches(files, choose_columns(files, {}), BATCH, False))
            assert np.array_equal(np.concatenate([part for part, _ in parts]), expected)


def exported(folder: Path) -> list[Exported]:
    """Return the tables, written by Spark as a job writes them."""
    from pyspark.sql import SparkSession

    os.environ |= {"SPARK_LOCAL_IP": "127.0.0.1", "PYSPARK_PYTHON": sys.executable}
    builder = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
    spark = builder.config("spark.ui.showConsoleProgress", "false").getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    try:
        return [_exported(folder, name, df) for name, df in _tables(spark).items()]
    finally:
        spark.stop()


def _exported(folder: Path, name: str, df: DataFrame) -> Exported:
    def files(format: str) -> TableFiles:
        place = Location.of(str(folder / f"{name}-{format}"))
        return (
            ExportFeed(FileFeed(format=format), place)
            .prepare(df, ColumnRoles(features=("features",), label="label"))
            .open(folder / f"{name}-{format}-brought", is_kept=False)
        )

    return Exported(name, {format: files(format) for format in FORMATS})


def _tables(spark: SparkSession) -> dict[str, DataFrame]:
    """Return sparse rows 692 wide with 150 values from 0 to 255, like Spark's sample data, or dense rows 100 wide."""
    from pyspark.ml.linalg import DenseVector, SparseVector

    random = np.random.default_rng(0)

    def sparse() -> SparseVector:
        values = random.integers(0, 256, 150).astype(float)
        return SparseVector(692, np.sort(random.choice(692, 150, replace=False)), values)

    def made(vectors: Iterable[Any]) -> DataFrame:
        rows = [(float(number % 2), vector) for number, vector in enumerate(vectors)]
        return spark.createDataFrame(rows, ["label", "features"]).repartition(2)

    return {
        "sparse-692": made(sparse() for _ in range(ROWS)),
        "dense-100": made(DenseVector(random.random(100)) for _ in range(ROWS)),
    }


def verdict(ratio: tuple[float, float, float], goal: float) -> str:
    """Return a ratio beside its goal."""
    return f"at least {goal}x: {'reached' if ratio[0] >= goal else 'not reached'}"


def _file_lines(each: Exported, took: dict[str, Timed]) -> list[list[str]]:
    lines = []
    for name, timed in took.items():
        ratio = timed.ratio(took["manual"])
        times = "" if name == "manual" else shown(ratio)
        goal = verdict(ratio, FILES_GOAL) if name == "all_data, parquet" else ""
        lines.append([each.name, name, f"{ROWS / timed.median:,.0f}", times, goal])
    return lines


def _kafka() -> tuple[list[list[str]], list[list[str]]]:
    """Return the lines of the comparison, and of the time that each step takes."""
    from broker import BrokerProcess

    lines, split = [], []
    with tempfile.TemporaryDirectory() as folder, BrokerProcess(Path(folder)) as process:
        settings = parse_settings({"bootstrap.servers": process.broker.bootstrap}, "the benchmark")
        for name, rows in (("sparse-692", sparse_rows(60_000)), ("dense-20", dense_rows(300_000))):
            bench = Bench(settings, rows, name)
            took, _ = reading(bench)
            ratio = took["matrices"].ratio(took["pickled"])
            rates = {what: f"{rows.num_rows / timed.median:,.0f}" for what, timed in took.items()}
            lines.append([name, "read_batches", rates["matrices"], shown(ratio), verdict(ratio, KAFKA_GOAL)])
            lines.append(
                [name, "kafka-python alone, the same records", rates["raw"], shown(took["raw"].ratio(took["pickled"])), ""]
            )
            lines.append([name, "pickled rows", rates["pickled"], "", ""])
            parts = read_parts(bench)
            split += [[name, what, f"{1e6 * seconds / rows.num_rows:.2f}"] for what, seconds in parts.items()]
    return lines, split


def main() -> None:
    """Measure, print, and write the results."""
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        for each in exported(Path(folder)):
            each.check()
            lines += _file_lines(each, interleaved(each.ways()))
    kafka, split = _kafka()
    text = f"""# A table on its way to a training script

{machine("pyspark", "pyarrow", "numpy", "scipy", "kafka-python")}; one core for each reader, as a fit group has.
Medians of five rounds after a warm-up, interleaved; ratios of the rounds with their range.
`python benchmarks/data_path.py` makes this page.

## Files

{ROWS:,} rows, written by Spark in two files. `manual` is the loop of the training script in MLSQL's manual: `json.loads` and a
vector for each line. All ways were found to give the same numbers. A table for which no format is
named is Parquet, and JSON only for scripts that ask for its files (`docs/how-to/training.md`).

{table(["table", "way", "rows/s", "times manual", "goal"], lines)}
## Kafka

One broker on the same machine, which has to share its cores. `pickled rows` is a record for each row, as PythonAlg sent them.

{table(["table", "way", "rows/s", "times pickled rows", "goal"], kafka)}
Where the time of `read_batches` goes, in microseconds for each row:

{table(["table", "part", "µs/row"], split)}
Kafka-python brings the records one after the other in Python; nothing that is built on it can be faster than it is alone.
"""
    RESULTS.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
