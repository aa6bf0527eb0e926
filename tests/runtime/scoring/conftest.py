"""Queries that the engine runs, with vector functions that each test registers by calling them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from support.vectors import Ask
from support.workbench import RunPlan

from mlsql_runtime.plan import FunctionRef, Select
from mlsql_runtime.scoring import array_functions
from mlsql_runtime.scoring.vector_functions import FUNCTIONS

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@pytest.fixture
def no_vector_functions(spark: SparkSession) -> Iterator[None]:
    """Forget MLSQL's functions before and after the test: each query registers what it calls."""
    catalog = spark._jsparkSession.sessionState().catalog()

    def forget() -> None:
        for name in (*FUNCTIONS, *array_functions.FUNCTIONS):
            catalog.dropTempFunction(name, True)

    forget()
    yield
    forget()


@pytest.fixture
def ask(run_plan: RunPlan, spark: SparkSession, no_vector_functions: None) -> Ask:
    """Return the rows of a query that the engine ran; the value alone when each row has one."""

    def rows_of(sql: str, functions: tuple[FunctionRef, ...] = ()) -> list[Any]:
        run_plan(Select(table="answer", sql=sql, functions=functions)).raise_for_error()
        rows = spark.table("answer").collect()
        return [row[0] if len(row) == 1 else tuple(row) for row in rows]

    return rows_of
