"""A train statement around its fitting: against Spark writing the same data alone; eight groups on two cores against the ideal.

``python benchmarks/training.py`` writes ``benchmarks/results/training.md``.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from columns import write_table
from measure import ROUNDS, machine, table

from mlsql_runtime.handlers.train import train
from mlsql_runtime.plan import FileFeed, Plan, Train
from mlsql_runtime.run_context import RunContext
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store.manifest import FitRecord
from mlsql_runtime.store.versions import read_manifest
from mlsql_runtime.training.originals import SETTING

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

RESULTS = Path(__file__).parent / "results" / "training.md"
ROWS = 100_000
GROUPS, CORES = 8, 2
WORK = 2.5  # seconds that a group computes, about
WRITE_GOAL, MAKESPAN_GOAL, STORED_GOAL = 2.0, 1.15, 3.0
STORED_ROWS, STORED_WIDTH = 1_000_000, 30
NOTHING = "import mlsql, mlsql_model\nprint(mlsql.{read})\nmlsql_model.sk_save_model(0)\n"
STEP = "matrix = np.tanh(matrix @ matrix / 300)"
START = "import numpy as np\nmatrix = np.random.default_rng(0).random((300, 300))\n"
SAVE = "import mlsql_model\nmlsql_model.sk_save_model(matrix[0])\n"


@dataclass(frozen=True)
class Statement:
    """Seconds of one train statement: until its table is there (``data``), until the first script begins, until the last one has
    ended, until the answer; and of ``scripts`` one by one."""

    data: float
    start: float
    fitting: float
    end: float
    scripts: tuple[float, ...]

    @property
    def around(self) -> float:
        return self.data + self.start + self.end


class Bench:
    """One session, one table in memory, and a folder for scripts and models."""

    def __init__(self, spark: SparkSession, df: DataFrame, folder: Path) -> None:
        self._spark, self._df, self._folder = spark, df, folder
        self._count = 0

    def _next(self) -> str:
        self._count += 1
        return str(self._folder / f"{self._count}")

    def write(self, format: str) -> float:
        """Time Spark alone."""
        begun = time.perf_counter()
        self._df.write.format(format).save(self._next())
        return time.perf_counter() - begun

    def train(self, source: str, groups: int, feed: FileFeed, table: DataFrame | None = None) -> Statement:
        """Time the statement as a job runs it.

        :param table: another table than that in memory.
        """
        script = Path(f"{self._next()}.py")
        script.write_text(source)
        model = self._next()
        statement = Train(table="data", model_path=model, script_path=str(script), fit_params=({},) * groups, feed=feed)
        said = io.StringIO()
        with ExitStack() as cleanup, contextlib.redirect_stdout(said):
            context = RunContext(Plan(job_id=f"bench-{self._count}", statements=(statement,)), self._spark, cleanup)
            context.define("data", self._df if table is None else table)
            begun = time.time()
            train(statement, context)
            ended = time.time()
        return _statement(begun, ended, said.getvalue(), read_manifest(Location.of(model)).fits)


def _statement(begun: float, ended: float, said: str, fits: Sequence[FitRecord]) -> Statement:
    told = re.search(r"rows as .* files.* \((\d+\.\d) s\)", said)
    assert told is not None, said
    data = float(told[1])
    first = min(fit.started.timestamp() for fit in fits)
    last = max(fit.ended.timestamp() for fit in fits)
    scripts = tuple((fit.ended - fit.started).total_seconds() for fit in fits)
    return Statement(data, first - begun - data, last - first, ended - last, scripts)


def bare(source: str, folder: Path) -> float:
    """Run the same scripts as plain processes, two at a time: no statement can be faster."""
    script = folder / "bare.py"
    script.write_text(source)
    env = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}

    def one(_: int) -> None:
        subprocess.run([sys.executable, str(script)], env=env, check=True)

    begun = time.perf_counter()
    with ThreadPoolExecutor(CORES) as pool:
        list(pool.map(one, range(GROUPS)))
    return time.perf_counter() - begun


def _computing() -> str:
    """Return a script that computes for about WORK seconds."""
    known: dict[str, object] = {}
    exec(START, known)  # noqa: S102 - our own text
    begun = time.perf_counter()
    for _ in range(20):
        exec(STEP, known)  # noqa: S102
    steps = int(WORK / (time.perf_counter() - begun) * 20)
    return f"{START}for _ in range({steps}):\n    {STEP}\n"


@contextlib.contextmanager
def session(folder: Path) -> Iterator[SparkSession]:
    """On this machine, as a job without a connection has it."""
    from pyspark.sql import SparkSession

    os.environ |= {"SPARK_LOCAL_IP": "127.0.0.1", "PYSPARK_PYTHON": sys.executable}
    builder = SparkSession.builder.master(f"local[{CORES}]").config("spark.ui.enabled", "false")
    builder = builder.config("spark.ui.showConsoleProgress", "false").config("spark.local.dir", str(folder))
    spark = builder.config("spark.driver.memory", "3g").getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    try:
        yield spark
    finally:
        spark.stop()


def sparse(spark: SparkSession) -> DataFrame:
    """692 wide with 150 values from 0 to 255, in memory."""
    from pyspark.ml.linalg import SparseVector

    random = np.random.default_rng(0)

    def vector() -> SparseVector:
        return SparseVector(692, np.sort(random.choice(692, 150, replace=False)), random.integers(0, 256, 150).astype(float))

    some = spark.createDataFrame([(float(number % 2), vector()) for number in range(ROWS // 10)], ["label", "features"])
    df = some.crossJoin(spark.range(10)).drop("id").repartition(CORES).cache()
    assert df.count() == ROWS
    return df


def _around(bench: Bench, format: str) -> list[list[str]]:
    alone, statements = [], []
    for number in range(ROUNDS + 1):
        wrote, trained = bench.write(format), bench.train(NOTHING.format(read="all_data"), 1, FileFeed(format=format))
        if number:
            alone.append(wrote)
            statements.append(trained)
    ratios = [one.around / wrote for one, wrote in zip(statements, alone, strict=True)]
    parts = {
        "Spark writes the table alone": alone,
        "train: until the table is written": [one.data for one in statements],
        "train: then until the script begins": [one.start for one in statements],
        "train: from the end of the script to the answer": [one.end for one in statements],
    }
    return [*_lines(format, parts), [format, "train without its script, times Spark alone", "", _verdict(ratios, WRITE_GOAL)]]


def _makespan(bench: Bench, folder: Path) -> list[list[str]]:
    source = _computing()
    ideal, statements = [], []
    for number in range(ROUNDS + 1):
        plain, trained = bare(source, folder), bench.train(source + SAVE, GROUPS, FileFeed(format="parquet"))
        if number:
            ideal.append(plain)
            statements.append(trained)
    ratios = [one.fitting / plain for one, plain in zip(statements, ideal, strict=True)]
    idle = [one.fitting - sum(one.scripts) / CORES for one in statements]
    parts = {
        "plain processes, two at a time": ideal,
        "groups: from the first script's start to the last one's end": [one.fitting for one in statements],
        "groups: their scripts, shared by the cores": [sum(one.scripts) / CORES for one in statements],
        "groups: between scripts": idle,
        "the statement before and after its scripts": [one.around for one in statements],
    }
    name = f"{GROUPS} groups"
    return [*_lines(name, parts), [name, "groups, times plain processes", "", _verdict(ratios, MAKESPAN_GOAL)]]


def _stored(bench: Bench, spark: SparkSession, folder: Path) -> list[list[str]]:
    path = str(folder / "stored.parquet")
    write_table(path, STORED_ROWS, STORED_WIDTH)
    table = spark.read.parquet(path)
    statements: dict[str, list[Statement]] = {"true": [], "false": []}
    for number in range(ROUNDS + 1):
        for setting, found in statements.items():
            spark.conf.set(SETTING, setting)
            trained = bench.train(NOTHING.format(read="all_frame"), 1, FileFeed(), table)
            if number:
                found.append(trained)
    spark.conf.unset(SETTING)
    ratios = [copy.around / own.around for own, copy in zip(*statements.values(), strict=True)]
    names = {"true": "read where they are", "false": "copied by Spark"}
    parts = {f"{names[setting]}: all around the script": [one.around for one in found] for setting, found in statements.items()}
    parts |= {f"{names[setting]}: until the table is there": [one.data for one in found] for setting, found in statements.items()}
    middle = statistics.median(ratios)
    reached = "reached" if middle >= STORED_GOAL else "not reached"
    verdict = f"{middle:.2f}x ({min(ratios):.2f} to {max(ratios):.2f}); at least {STORED_GOAL}x: {reached}"
    return [*_lines("stored", parts), ["stored", "how many times as fast, all around the script", "", verdict]]


def _lines(name: str, parts: Mapping[str, Sequence[float]]) -> list[list[str]]:
    def seconds(each: Sequence[float]) -> str:
        return f"{statistics.median(each):.2f} ({min(each):.2f} to {max(each):.2f})"

    return [[name, what, seconds(each), ""] for what, each in parts.items()]


def _verdict(ratios: Sequence[float], goal: float) -> str:
    middle = statistics.median(ratios)
    reached = "reached" if middle <= goal else "not reached"
    return f"{middle:.2f}x ({min(ratios):.2f} to {max(ratios):.2f}); at most {goal}x: {reached}"


def main() -> None:
    """Measure, print, and write the results."""
    with tempfile.TemporaryDirectory() as name, session(Path(name)) as spark:
        bench = Bench(spark, sparse(spark), Path(name))
        around = _around(bench, "parquet")
        stored = _stored(bench, spark, Path(name))
        makespan = _makespan(bench, Path(name))
    header = ["case", "what", "seconds", "goal"]
    text = f"""# A train statement around its fitting

{machine("pyspark", "pyarrow", "numpy")}; Spark on this machine, local[{CORES}].
Medians of {ROUNDS} rounds after a warm-up, interleaved, with their range; ratios are those of the rounds.
`python benchmarks/training.py` makes this page.

## The data and all else around a script

{ROWS:,} rows, sparse, 692 wide, 150 values each, cached, as Parquet; one group, whose script only saves an empty model.

{table(header, around)}
## A table that is Parquet already

{STORED_ROWS:,} rows, {STORED_WIDTH} double columns and a label in one file; one group, whose script only saves an empty model.
With `{SETTING}` true and false, in turn.

{table(header, stored)}
## Eight equal groups on two cores

Each computes for about {WORK:g} seconds on one thread. Plain processes are the same script, started by hand as soon as a core is
free, without Spark, table, log, supervisor and model store.

{table(header, makespan)}"""
    RESULTS.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
