"""Tables of the session's catalog: load them, write to them, and what is said of names that nothing has."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from support.showing import shown
from support.workbench import RunPlan

from mlsql_runtime.plan import Load, Save, Select, Show
from mlsql_runtime.result import SaveResult

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

ROWS = Select(table="rows", sql="select id, concat('n', id) as name, id % 2 as half from range(4)")
OTHERS = Select(table="rows", sql="select 7L as half, 'x' as NAME, 9L as id")


@pytest.fixture
def database(spark: SparkSession) -> Iterator[str]:
    """A database of the test's own."""
    name = f"shop_{uuid.uuid4().hex[:8]}"
    spark.sql(f"create database {name}")
    yield name
    spark.sql(f"drop database {name} cascade")


def save(database: str, **fields: Any) -> Save:
    return Save(**{"table": "rows", "format": "table", "path": f"{database}.scores", **fields})


def rows_of(spark: SparkSession, database: str) -> list[tuple[Any, ...]]:
    return sorted(map(tuple, spark.table(f"{database}.scores").select("id", "name", "half").collect()))


FOUR = [(0, "n0", 0), (1, "n1", 1), (2, "n2", 0), (3, "n3", 1)]


def test_a_table_is_loaded_by_its_name(run_plan: RunPlan, spark: SparkSession, database: str) -> None:
    spark.sql(f"create table {database}.`1st_orders` using json as select 1L as x, 'a' as y")
    for name in (f"{database}.`1st_orders`", f"spark_catalog.{database}.`1st_orders`"):
        found = shown(run_plan, Load(table="t", format="table", path=name), Show(table="t"))
        assert (found.columns, found.rows) == (("x", "y"), ((1, "a"),))


@pytest.mark.parametrize("mode", ["errorIfExists", "append", "overwrite", "ignore"])
def test_a_table_that_is_not_there_is_created(run_plan: RunPlan, spark: SparkSession, database: str, mode: Any) -> None:
    result = run_plan(ROWS, save(database, mode=mode, using="orc", partition_by=("half",)))
    result.raise_for_error()
    assert result.steps[-1] == SaveResult(format="table", output=f"{database}.scores", rows=4)
    assert rows_of(spark, database) == FOUR
    details = {row.col_name: row.data_type for row in spark.sql(f"describe extended {database}.scores").collect()}
    assert details["Provider"] == "orc"
    assert [column.name for column in spark.catalog.listColumns(f"{database}.scores") if column.isPartition] == ["half"]


def test_rows_are_appended_by_the_names_of_their_columns(run_plan: RunPlan, spark: SparkSession, database: str) -> None:
    run_plan(ROWS, save(database, partition_by=("half",))).raise_for_error()
    result = run_plan(OTHERS, save(database, mode="append", file_num=2))
    result.raise_for_error()
    assert result.steps[-1] == SaveResult(format="table", output=f"{database}.scores", rows=1)
    assert rows_of(spark, database) == [*FOUR, (9, "x", 7)]


def test_overwrite_replaces_the_rows_and_keeps_the_table(run_plan: RunPlan, spark: SparkSession, database: str) -> None:
    spark.sql(
        f"create table {database}.scores (id bigint comment 'of the order', name string, half bigint) using parquet "
        "partitioned by (half) tblproperties ('maker' = 'me')"
    )
    for _ in range(2):
        run_plan(ROWS, save(database, mode="overwrite")).raise_for_error()
        assert rows_of(spark, database) == FOUR
    run_plan(OTHERS, save(database, mode="overwrite")).raise_for_error()
    assert rows_of(spark, database) == [(9, "x", 7)]
    assert spark.sql(f"show tblproperties {database}.scores ('maker')").first()["value"] == "me"  # type: ignore[index]
    columns = spark.catalog.listColumns(f"{database}.scores")
    assert [(column.name, column.description, column.isPartition) for column in columns] == [
        ("id", "of the order", False),
        ("name", None, False),
        ("half", None, True),
    ]


def test_an_existing_table_is_left_alone(run_plan: RunPlan, spark: SparkSession, database: str) -> None:
    run_plan(ROWS, save(database)).raise_for_error()
    result = run_plan(OTHERS, save(database, mode="ignore"))
    result.raise_for_error()
    assert result.steps[-1] == SaveResult(format="table", output=f"{database}.scores", rows=None)
    error = run_plan(OTHERS, save(database)).error or {}
    assert error["kind"] == "InputError"
    assert error["message"] == f"table {database}.scores exists; save with append or overwrite, or to another table"
    assert rows_of(spark, database) == FOUR


def test_a_name_without_database_is_of_the_current_one(run_plan: RunPlan, spark: SparkSession, database: str) -> None:
    before = spark.catalog.currentDatabase()
    spark.catalog.setCurrentDatabase(database)
    try:
        run_plan(ROWS, save(database, path="rows")).raise_for_error()  # a table of the job has this name, too
        assert spark.table(f"{database}.rows").count() == 4
    finally:
        spark.catalog.setCurrentDatabase(before)


@pytest.mark.parametrize(
    ("sql", "fields", "message"),
    [
        ("select 1L as id, 'x' as name", {}, "expected id, name, half, got id, name; select the same columns"),
        ("select 1L as id, 'x' as name, 2L as half, 3 as more", {}, "expected id, name, half, got id, name, half, more"),
        ("select 1L as id, 'x' as name, 2L as half, 3L as HALF", {}, "got id, name, half, HALF"),
        ("select 1L as id, 'x' as name, 2L as half", {"using": "orc"}, "is stored as parquet, not as orc; leave the format out"),
        ("select 1L as id, 'x' as name, 'y' as half", {}, "CANNOT_SAFELY_CAST"),
    ],
)
def test_rows_that_do_not_fit_an_existing_table(
    run_plan: RunPlan, spark: SparkSession, database: str, sql: str, fields: dict[str, Any], message: str
) -> None:
    run_plan(ROWS, save(database, using="parquet")).raise_for_error()
    error = run_plan(Select(table="rows", sql=sql), save(database, mode="append", **fields)).error or {}
    assert error["kind"] == "InputError"
    assert message in error["message"]
    assert rows_of(spark, database) == FOUR


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("{database}.ordesr", "there is no table 'ordesr' in {database}; did you mean 'orders'?"),
        ("spark_catalog.{database}.ordesr", "there is no table 'ordesr' in spark_catalog.{database}; did you mean 'orders'?"),
        ("{database}x.orders", "there is no database '{database}x'; did you mean '{database}'?"),
        ("lake.{database}.orders", "the session has no catalog 'lake': Spark's property spark.sql.catalog.lake is not set"),
        ("dada", "there is no table 'dada'; did you mean 'data'?"),
    ],
)
def test_what_no_catalog_has_is_named_with_the_nearest_name(
    run_plan: RunPlan, spark: SparkSession, database: str, name: str, message: str
) -> None:
    spark.sql(f"create table {database}.orders using parquet as select 1 as x")
    name, message = name.format(database=database), message.format(database=database)
    for statement in (Select(table="t", sql=f"select * from {name}"), Load(table="t", format="table", path=name)):
        error = run_plan(statement).error or {}
        assert error["kind"] == "InputError"
        assert message in error["message"]


@pytest.mark.parametrize("path", ["nowhere.scores", "lake.shop.scores"])
def test_output_in_a_database_that_is_not_there(run_plan: RunPlan, path: str) -> None:
    error = run_plan(ROWS, Save(table="rows", format="table", path=path)).error or {}
    assert error["kind"] == "InputError"
    assert {"nowhere.scores": "there is no database 'nowhere'", "lake.shop.scores": "the session has no catalog 'lake'"}[
        path
    ] in error["message"]
