"""Scoring a table: ours, what others offer in Spark, the original's row protocol, and scikit-learn without any of it.

``make bench`` runs it and writes ``benchmarks/results/scoring.md`` and ``scoring.png``. One Spark session on two cores, tables
in its memory, answers thrown away. ``--profile`` shows instead which functions our scorer spends its time in.
"""

from __future__ import annotations

import argparse
import os
import pickle
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from measure import Timed, machine
from scorers import cases, in_memory, ours, page, peers, row_protocol
from scorers.cases import CASES, CORES, Case
from scorers.split import profile, split
from scorers.ways import CHECKED, Way, check, time_for_a_row

from mlsql_runtime.feed.decoding.vectors import iter_serialized

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

RESULTS = Path(__file__).parent / "results" / "scoring.md"
GROWTH = (10_000, 100_000, 1_000_000)


@contextmanager
def session(folder: str) -> Iterator[SparkSession]:
    """Two cores; its Python workers find this folder's modules."""
    from pyspark.sql import SparkSession

    paths = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    os.environ |= {
        "PYSPARK_PYTHON": sys.executable,
        "SPARK_LOCAL_IP": "127.0.0.1",
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
    }
    spark = (
        SparkSession.builder.master(f"local[{CORES}]")
        .appName("scoring")
        .config("spark.driver.memory", "6g")
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .config("spark.sql.warehouse.dir", f"{folder}/warehouse")
        .getOrCreate()
    )
    spark.sparkContext.setLogLevel("ERROR")
    try:
        yield spark
    finally:
        spark.stop()


def original(case: Case, model_path: str, stack: ExitStack) -> list[Way]:
    """Return the registered row functions, called by the original's protocol."""
    workers = stack.enter_context(row_protocol.workers(CORES))
    directory = ours.model_dir(model_path)
    rows = [cases.block(case, number)["features"] for number in range(case.few_rows // cases.BLOCK)]
    vectors = [pickle.dumps(row) for part in rows for row in iter_serialized(part)]

    def way(name: str, function: str, count: int) -> Way:
        asked = row_protocol.requests(ours.pickled(model_path, function), vectors[:count], directory)
        first = None if function == "nothing" else lambda: row_protocol.score(workers, asked[:CHECKED])
        return Way(name, count, lambda: row_protocol.score(workers, asked), first)

    return [
        way(page.ORIGINAL, "row", case.few_rows),
        way(page.ORIGINAL_ALONE, "nothing", case.few_rows),
        way(page.RELOADING, "reloading", case.few_rows // 2),
    ]


def ways(spark: SparkSession, case: Case, table: DataFrame, model_path: str, stack: ExitStack) -> list[Way]:
    """Return the ways that take part in a case."""
    directory = ours.model_dir(model_path)
    found = [
        ours.way(ours.BATCH, table, "batch"),
        peers.nothing(table),
        peers.nothing_measured(table),
        *peers.mlflow(spark, table, case, directory, f"{model_path}-mlflow"),
        peers.predict_batch(table, case, directory),
        peers.pandas_iterator(table, directory),
        in_memory.by_threads(case, directory)
        if case.model == "forest"
        else stack.enter_context(in_memory.by_processes(case, directory)),
    ]
    if case.few_rows:
        few, some = cases.table(spark, case, case.few_rows), cases.table(spark, case, case.rows // 10)
        stack.callback(few.unpersist)
        stack.callback(some.unpersist)
        found += [ours.way(ours.ROW, few, "row"), ours.way(ours.ROW_ALONE, some, "nothing", is_checked=False)]
        found += [peers.pickled_row(few, directory), *original(case, model_path, stack)]
    return found


def compare(spark: SparkSession, case: Case, folder: str) -> page.Measured:
    """Check that all ways return the same results, then time them."""
    print(f"--- {case.name}", flush=True)
    model_path = f"{folder}/{case.model}-{case.width}"
    with ExitStack() as stack:
        table = cases.table(spark, case, case.rows)
        stack.callback(table.unpersist)
        ours.train(spark, case, table, model_path)
        taking_part = ways(spark, case, table, model_path, stack)
        model = peers.model_of(ours.model_dir(model_path))
        check(taking_part, model.predict(cases.matrix(case, 0, CHECKED)))
        took = time_for_a_row(taking_part)
        where = split(case, ours.record(model_path, "batch"), model)
    return page.Measured(case, took, {way.name: way.rows for way in taking_part}, where)


def grow(spark: SparkSession, case: Case, folder: str) -> dict[int, tuple[Timed, Timed]]:
    """Time our function and the one that does nothing, by number of rows."""
    tables = {rows: cases.table(spark, case, rows) for rows in GROWTH}
    ours.train(spark, case, tables[GROWTH[0]], f"{folder}/growth-{case.model}-{case.width}")
    named = {rows: (f"ours, {rows}", f"nothing, {rows}") for rows in GROWTH}
    taking_part = []
    for rows, (own, nothing) in named.items():
        taking_part += [ours.way(own, tables[rows], "batch"), peers.nothing(tables[rows], nothing)]
    took = time_for_a_row(taking_part)
    for table in tables.values():
        table.unpersist()
    return {rows: (took[own], took[nothing]) for rows, (own, nothing) in named.items()}


def main() -> None:
    """Measure, print, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profile", action="store_true", help="profile our scorer instead; writes nothing")
    parser.add_argument("--case", action="append", choices=[case.name for case in CASES], help="only this one; writes nothing")
    args = parser.parse_args()
    chosen = [case for case in CASES if not args.case or case.name in args.case]
    if not args.profile and not (find_spec("mlflow") and find_spec("matplotlib")):
        raise SystemExit("MLflow or matplotlib is not there; run make bench, which installs them into .work/bench")
    with tempfile.TemporaryDirectory() as folder, session(folder) as spark:
        if args.profile:
            for case in chosen:
                path = f"{folder}/{case.model}-{case.width}"
                ours.train(spark, case, cases.table(spark, case, 10 * cases.BLOCK), path)
                profile(case, ours.record(path, "batch"))
            return
        measured = [compare(spark, case, folder) for case in chosen]
        grown = {} if args.case else {case: grow(spark, case, folder) for case in (cases.BAYES, cases.LOGISTIC)}
    text = _page(measured, grown)
    print(text)
    if not args.case:
        RESULTS.write_text(text, encoding="utf-8")
        page.plot(measured, RESULTS.with_suffix(".png"))


def _page(measured: list[page.Measured], grown: dict[Case, dict[int, tuple[Timed, Timed]]]) -> str:
    packages = machine("pyspark", "mlflow-skinny", "scikit-learn", "numpy", "scipy", "pyarrow", "pandas")
    return f"""# Scoring a table

{packages}; load average {os.getloadavg()[0]:.1f} at the end.
One Spark session, local[{CORES}]; tables of vectors in its memory, answers thrown away (noop). Every way once in each round,
medians of five rounds after a warm-up; ratios of the rounds with their range. All ways were found to give the same answers to
the first {CHECKED:,} rows. Who takes a millisecond for a row gets fewer rows; rates are compared.
`make bench` makes this page.

![rows in a second, by way]({RESULTS.with_suffix(".png").name})

## Goals

{page.goals(measured)}
## Where the time of a row goes

Microseconds of a core. The first two are whole Spark jobs, on {CORES} cores. The rest are steps of our scorer alone, in one
process, on a batch of {peers.BATCH_SIZE:,} rows: looking at widths, vectors to a matrix, the model's own `predict`, answers to
vectors.

{page.where(measured)}
""" + "\n".join(
        [*map(page.ways, measured), "## Growth\n", *(page.growth(case, took) for case, took in grown.items()), page_notes()]
    )


def page_notes() -> str:
    """Return the text that describes the ways."""
    return f"""## Who takes part

- {ours.BATCH}: `python_fun.batch_udf`; {ours.ROW}: `python_fun.udf`, the model loaded once per worker. Trained and registered
  by the engine, as in every job.
- {peers.NOTHING}: vectors in, one constant vector of one number out for each row; no function over vectors that is written
  in Python can be faster. Measured by Spark: without what `scoring/arrow_batching.py` sets, which it otherwise has, too.
- {peers.MLFLOW}: the sklearn flavour, called with an array of the vector, or with a column for each number.
- {peers.BATCH_UDF}: from `pyspark.ml.functions`, batches of {peers.BATCH_SIZE:,}.
- {peers.PANDAS}: `numpy.stack` and `predict`, by hand.
- {peers.ROW}: `udf(…, useArrow=False)`, the model loaded once per worker.
- {page.ORIGINAL}: for each row the pickled function and three pickled arguments go to a Python worker over a socket, and a
  pickled answer comes back; without what the JVM and Spark did around it, so it is faster here than it was.
- {in_memory.IN_MEMORY}: no Spark. Cheap models: a process for each core, with its share of the rows; forests: `n_jobs={CORES}`.
"""


if __name__ == "__main__":
    main()
