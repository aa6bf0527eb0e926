"""scikit-learn on the matrix in memory: no Spark, nothing to decode, all cores."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from multiprocessing import get_context
from typing import Any

from scorers.cases import CORES, Case, matrix
from scorers.peers import model_of
from scorers.ways import CHECKED, Way

IN_MEMORY = "scikit-learn, in memory"

_mine: Any = None  # the rows of a process


def _hold(case: Case, core: int) -> None:
    """Make this process's share of the matrix, and keep to one core."""
    from threadpoolctl import threadpool_limits

    global _mine
    threadpool_limits(1)
    share = case.rows // CORES
    _mine = matrix(case, core * share, (core + 1) * share)


def _predict(model_dir: str) -> int:
    return len(model_of(model_dir).predict(_mine))


@contextmanager
def by_processes(case: Case, model_dir: str) -> Iterator[Way]:
    """For models that use one core: a process for each, with its share of the rows. What is cheap needs no more."""
    with ExitStack() as stack:
        pools = [
            stack.enter_context(ProcessPoolExecutor(1, get_context("spawn"), initializer=_hold, initargs=(case, core)))
            for core in range(CORES)
        ]

        def run() -> None:
            scored = [pool.submit(_predict, model_dir) for pool in pools]
            assert sum(each.result() for each in scored) == case.rows

        yield Way(IN_MEMORY, case.rows, run, lambda: model_of(model_dir).predict(matrix(case, 0, CHECKED)))


def by_threads(case: Case, model_dir: str) -> Way:
    """For a forest: scikit-learn's own threads, ``n_jobs``."""
    model, X = copy.copy(model_of(model_dir)), matrix(case, 0, case.rows)
    model.set_params(n_jobs=CORES)
    return Way(IN_MEMORY, case.rows, lambda: model.predict(X), lambda: model.predict(X[:CHECKED]))
