"""The fit groups as tasks of one Spark job. Their script, which may be a large project, travels once to each host."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from mlsql_runtime.preflight.hosts import PreflightOutcome, check_this_host
from mlsql_runtime.script.bundle import ScriptBundle
from mlsql_runtime.spark_errors import errors_for_driver
from mlsql_runtime.training.group_task import FitOutput, FitTask, run_fit

if TYPE_CHECKING:
    from mlsql_runtime.run_context import RunContext

_BROADCAST = ScriptBundle("", {})  # in place of the one that is


def run_groups(tasks: list[FitTask], context: RunContext, flight: PreflightOutcome) -> list[FitOutput]:
    """The answers, in the order of the tasks, which all have one script.

    :raises PreflightFailed: when an executor that came after the preflight lacks something.
    """
    if not tasks:
        return []
    spark_context = context.spark.sparkContext
    bundle = spark_context.broadcast(tasks[0].bundle)

    def run(part: Iterable[FitTask]) -> Iterator[FitOutput]:
        from pyspark import TaskContext

        now = TaskContext.get()
        with errors_for_driver():
            check_this_host(flight)
            for task in part:
                yield run_fit(replace(task, bundle=bundle.value), now.taskAttemptId() if now else 0)

    light = [replace(task, bundle=_BROADCAST) for task in tasks]
    try:
        answers: list[FitOutput] = spark_context.parallelize(light, len(light)).mapPartitions(run).collect()
    finally:
        bundle.unpersist()
    return answers
