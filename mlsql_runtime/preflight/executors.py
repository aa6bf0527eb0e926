"""Run a task on every executor of the application, without a barrier, and without waiting for executors that never start."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import psutil

from mlsql_runtime.spark_errors import errors_for_driver

if TYPE_CHECKING:
    from pyspark import SparkContext

SECONDS = 10.0  # without another result, after which the missing executors are given up
STARTING = 10.0  # seconds of an application's life in which its executors start
SETTLED = 1.5  # seconds without a new executor in that time, after which no other one is expected
PAUSE = 0.2  # seconds that a task takes on an executor that is done, so that Spark gives the next task to another one
T = TypeVar("T")


@dataclass(frozen=True)
class Executor:
    """An executor: the name of its host, and its id, as Spark has them."""

    host: str
    id: str


def this_executor() -> Executor:
    """Return the executor of this process, from the command line of the JVM above it; on the driver, this machine."""
    with contextlib.suppress(psutil.Error, OSError):
        for process in psutil.Process().parents():
            arguments = process.cmdline()
            if "--executor-id" in arguments and "--hostname" in arguments:
                host, name = (arguments[arguments.index(option) + 1] for option in ("--hostname", "--executor-id"))
                return Executor(host, name)
    return Executor(socket.gethostname(), f"process {os.getppid()}")


def run_on_every_executor(context: SparkContext, work: Callable[[Executor], T]) -> tuple[dict[Executor, T], tuple[str, ...]]:
    """Return the result of each executor, and the hosts of executors that returned none in time.

    Spark spreads the tasks of a job over all free cores, so one round reaches all executors that have registered by then.
    Further rounds are for those that start late, as on a standalone cluster, where nothing waits for them. The work may run more
    than once on an executor.
    """
    results: dict[Executor, T] = {}
    known = Counter[str]()
    changed = progressed = time.monotonic()
    while True:
        now = _executors_by_host(context)
        if now != known:
            known, changed = now, time.monotonic()
        found = _round(context, work, frozenset(results), known.total())
        results.update(found)
        if found:
            progressed = time.monotonic()
        missing = known - Counter(executor.host for executor in results)
        is_old = time.time() - context.startTime / 1000 > STARTING
        has_settled = (is_old or time.monotonic() - changed > SETTLED) and _executors_by_host(context) == known
        if (has_settled and not missing) or time.monotonic() - progressed > SECONDS:
            return results, tuple(sorted(missing.elements()))


def _round(
    context: SparkContext, work: Callable[[Executor], T], done: frozenset[Executor], executors: int
) -> list[tuple[Executor, T]]:
    def task(_: Iterable[int]) -> Iterator[tuple[Executor, T]]:
        executor = this_executor()
        if executor in done:
            time.sleep(PAUSE)
        else:
            with errors_for_driver():
                yield executor, work(executor)

    count = max(context.defaultParallelism, 2 * executors)
    results: list[tuple[Executor, T]] = context.parallelize(range(count), count).mapPartitions(task).collect()
    return results


def _executors_by_host(context: SparkContext) -> Counter[str]:
    """Count the executors that Spark has on each host now, without the driver."""
    scala, jvm = context._jsc.sc(), context._jvm
    assert jvm is not None
    driver = jvm.org.apache.spark.SparkEnv.get().blockManager().blockManagerId()
    places = [(str(info.host()), int(info.port())) for info in scala.statusTracker().getExecutorInfos()]
    return Counter(host for host, port in places if (host, port) != (str(driver.host()), int(driver.port())))
