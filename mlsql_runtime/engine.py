"""Run a plan, statement by statement."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mlsql_runtime.data_sets import LineageRecord
from mlsql_runtime.errors import JobFailed
from mlsql_runtime.events import StatementStarted, emit, log
from mlsql_runtime.handlers import predict, preflight, register, show, tables, train
from mlsql_runtime.handlers.failed_statement import find_failed_statement
from mlsql_runtime.handlers.job_lineage import record_reads
from mlsql_runtime.plan import NO_SECRETS, Load, Plan, Predict, Preflight, Register, Save, Secrets, Select, Show, Train
from mlsql_runtime.result import RunResult, StepResult
from mlsql_runtime.run_context import RunContext
from mlsql_runtime.spark_errors import translate

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_HANDLERS: dict[type, Callable[[Any, RunContext], StepResult | None]] = {
    Load: tables.load,
    Select: tables.select,
    Train: train.train,
    Register: register.register,
    Predict: predict.predict,
    Save: tables.save,
    Show: show.show,
    Preflight: preflight.preflight,
}


def run(plan: Plan, spark: SparkSession | None, secrets: Secrets = NO_SECRETS) -> RunResult:
    """Return the results of the statements up to the end or to the first that fails, with its error; raise nothing.

    The error's attribute ``statement`` is the number of the statement that failed, from 0.

    :param spark: None for statements that can do without Spark; one that cannot after all fails with ``SessionNeeded``.
    """
    done: list[StepResult] = []
    index, record = 0, LineageRecord()
    try:
        with ExitStack() as cleanup:
            context = RunContext(plan, spark, cleanup, secrets, lineage=record)
            for index, statement in enumerate(plan.statements):
                emit(StatementStarted(number=index + 1, total=len(plan.statements), title=statement.outline.title))
                current = replace(context, index=index)
                try:
                    step = _HANDLERS[type(statement)](statement, current)
                finally:
                    record_reads(statement, current)
                if step is not None:
                    done.append(step)
    except Exception as error:
        ours = translate(error)
        if isinstance(ours, JobFailed):
            log(traceback.format_exc())  # the task's error has only the message
        ours.statement = find_failed_statement(error, ours, context, index)
        log(f"{plan.statements[ours.statement].tag}: {type(ours).__name__}: {ours.message}")
        return RunResult.of_error(plan.job_id, tuple(done), ours, record.lineage if plan.collect_lineage else None)
    return RunResult(job_id=plan.job_id, steps=tuple(done), lineage=record.lineage if plan.collect_lineage else None)
