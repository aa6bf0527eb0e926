"""Where the time of a row goes in the Python worker: the scorer alone, on one Arrow batch, in this process."""

from __future__ import annotations

import cProfile
import pstats
from dataclasses import dataclass

import pyarrow as pa
from measure import interleaved

from mlsql_runtime.feed.decoding.vectors import common_width, to_matrix
from mlsql_runtime.scoring.function_loader import load_function
from mlsql_runtime.store.function_records import FunctionRecord
from scorers.cases import BLOCK, Case, block
from scorers.peers import BATCH_SIZE

REPEATED = 20


@dataclass(frozen=True)
class Split:
    """Seconds of one core for a row: looking at widths, vectors to a matrix, the model, and all else (answers to vectors).

    ``alone``: the model, called with one row.
    """

    check: float
    decode: float
    predict: float
    encode: float
    alone: float

    @property
    def around(self) -> float:
        """What is ours of it."""
        return self.check + self.decode + self.encode


def batch(case: Case) -> pa.StructArray:
    """Return the first rows, as many as Spark sends at a time."""
    parts = [block(case, number)["features"] for number in range(BATCH_SIZE // BLOCK)]
    return pa.concat_arrays(parts)


def split(case: Case, record: FunctionRecord, model: object) -> Split:
    """Medians of each step by itself; ``model`` is what the function was registered for."""
    from threadpoolctl import threadpool_limits

    function, vectors = load_function(record), batch(case)
    X = to_matrix(vectors, case.width)
    one = X[0].toarray() if case.sparse else X[:1]
    with threadpool_limits(1):
        took = interleaved(
            {
                "check": lambda _: common_width(vectors, case.width, "the benchmark"),
                "decode": lambda _: to_matrix(vectors, case.width),
                "predict": lambda _: model.predict(X),  # type: ignore[attr-defined]
                "alone": lambda _: model.predict(one),  # type: ignore[attr-defined]
                "score": lambda _: function.score(0, vectors),
            },
            rounds=REPEATED,
        )
    check, decode, predict, score = (took[name].per(len(vectors)).median for name in ("check", "decode", "predict", "score"))
    return Split(check, decode, predict, max(0.0, score - check - decode - predict), took["alone"].median)


def profile(case: Case, record: FunctionRecord) -> None:
    """Print the functions in which the scorer spends its time."""
    function, vectors = load_function(record), batch(case)
    function.score(0, vectors)
    profiler = cProfile.Profile()
    profiler.enable()
    for _ in range(REPEATED):
        function.score(0, vectors)
    profiler.disable()
    print(f"{case.name}: {REPEATED} batches of {len(vectors):,} rows")
    pstats.Stats(profiler).sort_stats("tottime").print_stats(15)
