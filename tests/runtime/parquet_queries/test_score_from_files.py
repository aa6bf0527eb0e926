"""Functions over Parquet files: rows read from the files give what Spark gives, or Spark reads them."""

from __future__ import annotations

import datetime
import math
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from support.predict_scripts import error_of, sklearn_predictions
from support.workbench import RunPlan

from mlsql_runtime.parquet_queries.table import SETTING, score_from_files
from mlsql_runtime.plan import NO_ACCESS, FunctionRef, Load, Save, Select
from mlsql_runtime.scoring.arrow_batching import set_batch_sizes

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

ROWS = 1000


@pytest.fixture(scope="module", autouse=True)
def functions(spark: SparkSession) -> None:
    """Register functions, which are defined here so that they travel without this module."""
    from pyspark.sql.pandas.functions import arrow_udf

    def add(*columns: pa.Array) -> pa.Array:
        total = columns[0]
        for column in columns[1:]:
            total = pc.add(total, column)
        return pc.cast(total, pa.float64())

    def named(kind: pa.DataType) -> str:
        if pa.types.is_list(kind):
            return f"list of {named(kind.value_type)}"
        return f"struct of {[(field.name, named(field.type)) for field in kind]}" if pa.types.is_struct(kind) else str(kind)

    def describe(column: pa.Array) -> pa.Array:  # what a function sees
        return pa.array([f"{named(column.type)} {value!r}" for value in column.to_pylist()], pa.string())

    def score(first: pa.Array, second: pa.Array) -> pa.Array:
        return pa.StructArray.from_arrays(
            [pc.cast(pc.add(first, second), pa.float64()), pc.cast(first, pa.string())], names=["sum", "text"]
        )

    def strict(column: pa.Array) -> pa.Array:
        if column.null_count:
            raise ValueError("a null came through")
        return column

    def counted(numbers: pa.Array, path: pa.Array) -> pa.Array:  # adds a line to a file for each call
        with open(path[0].as_py(), "a") as file:
            file.write("called\n")
        return score(numbers, numbers)

    set_batch_sizes(spark)
    structured = "struct<sum: double, text: string>"
    for function, kind in (
        (add, "double"),
        (describe, "string"),
        (score, structured),
        (strict, "string"),
        (counted, structured),
    ):
        function.__annotations__ = dict.fromkeys(function.__annotations__, pa.Array)
        spark.udf.register(f"py_{function.__name__}", arrow_udf(function, kind))  # type: ignore[call-overload]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A table of every type in two files of several row groups."""
    folder = tmp_path_factory.mktemp("from-files") / "rows of the table"
    folder.mkdir()
    random = np.random.default_rng(1)
    numbers = random.normal(size=ROWS)
    numbers[:4] = [math.nan, math.inf, -0.0, 0.0]
    null = random.random(ROWS) < 0.1

    def column(values: Any, kind: pa.DataType) -> pa.Array:
        return pa.array([None if gone else value for gone, value in zip(null, values, strict=True)], kind)

    start = datetime.datetime(2024, 1, 1, tzinfo=datetime.timezone.utc)
    table = pa.table(
        {
            "id": pa.array(range(ROWS), pa.int64()),
            "x": pa.array(numbers),
            "y": column(numbers * 2, pa.float64()),
            "f": column(numbers, pa.float32()),
            "tiny": column(random.integers(-100, 100, ROWS).tolist(), pa.int8()),
            "small": column(random.integers(-100, 100, ROWS).tolist(), pa.int16()),
            "whole": column(random.integers(-100, 100, ROWS).tolist(), pa.int32()),
            "flag": column((numbers > 0).tolist(), pa.bool_()),
            "name": column([f"n{number % 7} é" for number in range(ROWS)], pa.string()),
            "kind": column([f"k{number % 3}" for number in range(ROWS)], pa.string()).dictionary_encode(),
            "raw": column([bytes([number % 250]) for number in range(ROWS)], pa.binary()),
            "day": column([start.date() + datetime.timedelta(number) for number in range(ROWS)], pa.date32()),
            "at": column([start + datetime.timedelta(seconds=number) for number in range(ROWS)], pa.timestamp("us", "UTC")),
            "price": column([Decimal(number) / 100 for number in range(ROWS)], pa.decimal128(10, 2)),
            "list": column([[float(number), None] for number in range(ROWS)], pa.list_(pa.float64())),
            "nested": column(
                [{"a": number, "b": f"b{number}"} for number in range(ROWS)], pa.struct({"a": pa.int32(), "b": pa.string()})
            ),
        }
    )
    pq.write_table(table.slice(0, 700), folder / "one.parquet", row_group_size=300)
    pq.write_table(table.slice(700), folder / "two.parquet", row_group_size=100)
    pq.write_table(table.slice(0, 0), folder / "empty.parquet")
    return str(folder)


@pytest.fixture
def both(spark: SparkSession, path: str, capfd: pytest.CaptureFixture[str]) -> Any:
    """Return the rows of a query from the files and from Spark, sorted, and what the log says."""

    def run(sql: str, table: DataFrame | None = None) -> tuple[list[str], list[str], str]:
        (spark.read.parquet(path) if table is None else table).createOrReplaceTempView("data")
        query = spark.sql(sql)
        capfd.readouterr()
        found = score_from_files(query, NO_ACCESS)
        log = capfd.readouterr().out
        if found is query:  # Spark answers it
            return [], [], log
        assert found.schema == query.schema
        return sorted(map(repr, found.collect())), sorted(map(repr, query.collect())), log

    return run


TYPES = ("x", "f", "tiny", "small", "whole", "flag", "name", "kind", "raw", "day", "at", "price", "list", "nested")
CONDITIONS = (
    *("x > 0", "x >= 0.5", "x < 0", "x <= 0", "x = 0", "x <> 0", "0 < x", "not (x > 0)", "f > 0", "x > -0.0D"),
    *("y > 0 or whole > 10", "not (y > 0 and whole > 10)", "y is null", "y is not null and name is not null", "nested.a > 3"),
    *("whole in (1, 2, 3)", "whole not in (1, 2, 3)", "whole > 1.5D", "tiny > 5", "id > 500", "id = 2.5D", "price is null"),
    *("name = 'n3 é'", "name >= 'n3'", "kind in ('k1', 'k2')", "flag", "not flag", "flag = true"),
    *("day >= date'2025-01-01'", "day < '2025-01-01'", "at >= timestamp'2024-01-01 00:05:00'"),
)
TAKEN = {
    "numbers": "select id, py_add(x, y) as p, py_add(py_add(x, y), whole) as q from data",
    "all columns": "select *, py_add(x, y) as p from data",
    "constants": "select py_add(x, id) as p, name, 'v1' as model, cast(1 as bigint) as n, true as t from data",
    "each type": f"select id, {', '.join(f'py_describe({column}) as p_{column}' for column in TYPES)} from data",
    "a struct of all columns": "select id, py_describe(struct(*)) as p from data",
    "nested structs": "select id, py_describe(named_struct('a', x, 'b', struct(name, day))) as p from data",
    "results that are structs": "select id, py_score(x, y) as p, py_score(x, y).text as q, nested.b from data",
    "conditions": f"select id, py_add(x, y) as p, {', '.join(f'{each} as c{n}' for n, each in enumerate(CONDITIONS))} from data",
    "a filter": "select id, py_add(x, y) as p from data where not (y > 0 and whole > 10) and name is not null",
    "a filter of predictions": "select id, p from (select *, py_add(x, y) as p, py_describe(raw) as q from data) where p > 0",
    "a filter of both": "select id, p from (select id, x as z, py_add(x, y) as p from data) where z > 0 and p < 1",
    "a filter before the function": "select id from data where py_strict(name) <> 'n1 é' and name is not null",
    "a filter inside": "select id from (select * from data where name is not null) where py_strict(name) = 'n3 é'",
    "no row": "select id, py_add(x, y) as p from data where id < 0",
}


@pytest.mark.parametrize("case", TAKEN)
def test_the_rows_are_those_of_spark(both: Any, case: str) -> None:
    found, expected, log = both(TAKEN[case])
    assert f"read the rows from {'1 Parquet file' if case == 'no row' else '2 Parquet files'} themselves" in log
    assert found == expected


LEFT = {
    "select id, py_add(x, y) as p from data order by p": "Sort",
    "select sum(py_add(x, y)) as p from data": "Aggregate",
    "select id, py_add(x + 1, y) as p from data": "it computes Add",
    "select id, py_add(x, y) as p from data where x > y": "compares with more than a constant",
    "select id, py_add(x, y) as p from data where x > double('NaN')": "NaN",
    "select id, py_add(x, y) as p from data where price > 1": "",
    "select id, py_add(x, y) as p from data limit 3": "Limit",
    "select a.id, py_add(a.x, b.y) as p from data a join data b on a.id = b.id": "Join",
    "select id, py_add(x, rand(1)) as p from data": "it computes Rand",
    "select id, py_add(x, y) as p, input_file_name() as n from data": "it computes InputFileName",
    "select id, py_add(x, y) as p from data where y <=> null": "",
    f"select id, py_add(x, y) as p from data where id in ({', '.join(map(str, range(101)))})": "it compares with 101 values",
}


@pytest.mark.parametrize("sql", LEFT)
def test_spark_reads_the_rows_of_other_queries(both: Any, sql: str) -> None:
    log = both(sql)[2]
    assert "Spark reads the rows for the functions: " in log
    assert LEFT[sql] in log


def test_a_query_without_functions_is_not_mentioned(both: Any) -> None:
    assert both("select id from data where x > 0") == ([], [], "")


def test_folders_that_name_columns(both: Any, spark: SparkSession, path: str, tmp_path: Path) -> None:
    rows = spark.read.parquet(path).selectExpr(
        "id", "x", "y", "if(id % 5 = 0, null, concat('a b/', id % 3)) as part", "day", "whole"
    )
    rows.where("id < 100").write.partitionBy("part", "day").parquet(str(tmp_path / "parts"))
    table = spark.read.parquet(str(tmp_path / "parts"))
    for sql in (
        "select id, part, day, py_describe(struct(part, day, x)) as p from data",
        "select id, py_add(x, y) as p from data where part = 'a b/1' and day > '2024-02-01'",
        "select py_describe(part) as p from data where part is not null",
    ):
        found, expected, log = both(sql, table)
        assert "themselves" in log
        assert found == expected


def test_folders_of_which_no_rows_are_wanted_are_not_read(both: Any, spark: SparkSession, tmp_path: Path) -> None:
    spark.range(20).selectExpr("id", "id * 2.0D as x", "id % 4 as part").write.partitionBy("part").parquet(
        str(tmp_path / "parts")
    )
    table = spark.read.parquet(str(tmp_path / "parts"))
    for file in (tmp_path / "parts" / "part=3").glob("*.parquet"):
        file.write_bytes(b"PAR1 damaged PAR1")
    found, expected, log = both("select id, py_add(x, part) as p from data where part < 3 and id > 2 and part <> 1", table)
    assert "themselves" in log
    assert found == expected
    assert len(found) == 8


def test_equal_calls_are_computed_once(spark: SparkSession, path: str, tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    spark.read.parquet(path).selectExpr("x", f"'{calls}' as f").createOrReplaceTempView("data")
    table = spark.sql("select py_counted(x, f).sum as s, py_counted(x, f).text as t from data")
    score_from_files(table, NO_ACCESS).collect()
    assert len(calls.read_text().split()) == 6  # row groups


def test_columns_that_only_spark_has_are_left_to_it(spark: SparkSession, path: str, capfd: pytest.CaptureFixture[str]) -> None:
    table = spark.sql(f"select id, py_add(x, y) as p, _metadata.file_name as n from parquet.`{path}`")
    assert score_from_files(table, NO_ACCESS) is table
    assert "it reads columns that are not in the files" in capfd.readouterr().out


def test_files_with_other_columns(both: Any, spark: SparkSession, tmp_path: Path) -> None:
    """Narrower numbers, a missing column, another order, other letters, and a column that the table has not."""
    pq.write_table(pa.table({"id": pa.array([1, 2], pa.int64()), "x": [1.5, 2.5], "y": [1.0, None]}), tmp_path / "a.parquet")
    pq.write_table(
        pa.table({"X": pa.array([3.5], pa.float32()), "more": ["m"], "ID": pa.array([3], pa.int32())}), tmp_path / "b.parquet"
    )
    table = spark.read.schema("id bigint, x double, y double").parquet(str(tmp_path))
    found, expected, log = both("select *, py_describe(struct(*)) as p from data where id > 0", table)
    assert "themselves" in log
    assert found == expected
    assert len(found) == 3


def test_vectors(both: Any, spark: SparkSession, tmp_path: Path) -> None:
    from pyspark.ml.linalg import Vectors, VectorUDT
    from pyspark.sql.types import LongType, StructType

    vectors = [Vectors.dense([1.0, 2.0]), Vectors.sparse(2, [1], [3.0]), None]
    schema = StructType().add("id", LongType()).add("v", VectorUDT())
    spark.createDataFrame(list(enumerate(vectors)), schema).write.parquet(str(tmp_path / "vectors"))
    table = spark.read.parquet(str(tmp_path / "vectors"))
    found, expected, log = both("select id, v, py_describe(v) as p from data", table)
    assert "themselves" in log
    assert found == expected


REFUSED: dict[str, tuple[pa.Table, dict[str, Any], str]] = {
    "nanoseconds of int96": (
        pa.table({"id": [1], "at": pa.array([datetime.datetime(2024, 1, 1)], pa.timestamp("ns"))}),
        {"use_deprecated_int96_timestamps": True},
        "column at is timestamp[ns]",
    ),
    "a number without sign": (pa.table({"id": [1], "at": pa.array([7], pa.uint16())}), {}, "column at is uint16"),
    "dates of Spark 2": (
        pa.table({"id": [1], "day": [datetime.date(1500, 1, 1)]}).replace_schema_metadata({"org.apache.spark.version": "2.4.8"}),
        {},
        "in the calendar of an older Spark",
    ),
    "a name with a dot": (pa.table({"id": [1], "a.t": [7]}), {}, "has a dot"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_files_that_arrow_reads_in_another_way_are_left_to_spark(
    both: Any, spark: SparkSession, tmp_path: Path, case: str
) -> None:
    rows, options, reason = REFUSED[case]
    pq.write_table(rows, tmp_path / "a.parquet", **options)
    table = spark.read.parquet(str(tmp_path))
    log = both(f"select id, py_describe(`{table.columns[1]}`) as p from data", table)[2]
    assert "Spark reads the rows for the functions" in log
    assert reason in log


def test_files_that_are_damaged_or_gone_are_left_to_spark(both: Any, spark: SparkSession, tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": [1], "x": [1.0]}), tmp_path / "a.parquet")
    table = spark.read.parquet(str(tmp_path))
    table.createOrReplaceTempView("data")
    (tmp_path / "a.parquet").write_bytes(b"PAR1 damaged PAR1")
    query = spark.sql("select py_add(x, x) as p from data")
    assert score_from_files(query, NO_ACCESS) is query


def test_tables_without_rows_and_columns_with_defaults_are_left_to_spark(both: Any, spark: SparkSession, tmp_path: Path) -> None:
    empty = pa.table({"id": pa.array([], pa.int64()), "x": pa.array([], pa.float64())})
    pq.write_table(empty, tmp_path / "a.parquet")
    table = spark.read.parquet(str(tmp_path))
    assert "the files have no rows" in both("select py_add(x, x) as p from data", table)[2]
    spark.sql(f"create table with_default (id bigint) using parquet location '{tmp_path}/t'")
    try:
        spark.sql("insert into with_default values (1)")
        spark.sql("alter table with_default add column x double default 2.5")
        table = spark.table("with_default")
        assert "has a default for older files" in both("select py_add(x, id) as p from data", table)[2]
        assert [row.p for row in spark.sql("select py_add(x, id) as p from data").collect()] == [3.5]
    finally:
        spark.sql("drop table with_default")


def test_other_sources_and_the_setting(both: Any, spark: SparkSession, path: str, tmp_path: Path) -> None:
    sql = "select id, py_add(x, y) as p from data"
    rows = spark.read.parquet(path).select("id", "x", "y")
    rows.write.orc(str(tmp_path / "orc"))
    for table, reason in (
        (spark.read.orc(str(tmp_path / "orc")), "not one of Parquet files"),
        (rows.where("id < 9").repartition(2), "Repartition"),
        (spark.createDataFrame([(1, 2.0, 3.0)], "id bigint, x double, y double"), "LogicalRDD"),
        (spark.read.option("int96RebaseMode", "LEGACY").parquet(path), "with the option int96rebasemode"),
    ):
        log = both(sql, table)[2]
        assert "Spark reads the rows for the functions" in log
        assert reason in log
    spark.conf.set(SETTING, "false")
    try:
        assert f"{SETTING} is not true" in both(sql)[2]
    finally:
        spark.conf.unset(SETTING)


def test_a_saved_prediction_is_read_from_the_files(
    run_plan: RunPlan, spark: SparkSession, served: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    batch = FunctionRef(name="jack", model_path=served, function="batch")
    sql = "select label, vec_argmax(jack(features)) as zero, jack(features) as p from stored where label >= 0"
    run_plan(
        Save(table="data", format="parquet", path=str(tmp_path / "stored")),
        Load(table="stored", format="parquet", path=str(tmp_path / "stored")),
        Select(table="out", sql=sql, functions=(batch,)),
        Save(table="out", format="parquet", path=str(tmp_path / "out"), partition_by=("zero",)),
    ).raise_for_error()
    log = capfd.readouterr().out
    assert "Parquet file themselves: 1 row group, 2 columns" in log
    rows = spark.read.parquet(str(tmp_path / "out")).collect()
    assert sorted((row.label, row.p[0]) for row in rows) == sorted(sklearn_predictions(served, 1))
    assert f"save: {len(rows)} rows of out" in log


def test_the_failure_of_a_function_is_told_as_ever(run_plan: RunPlan, served: str, tmp_path: Path) -> None:
    batch = FunctionRef(name="jack", model_path=served, function="batch")
    result = run_plan(
        Save(table="data", format="parquet", path=str(tmp_path / "stored")),
        Load(table="stored", format="parquet", path=str(tmp_path / "stored")),
        Select(table="out", sql="select jack(vec_slice(features, array(1, 2))) as p from stored", functions=(batch,)),
        Save(table="out", format="parquet", path=str(tmp_path / "out")),
    )
    assert error_of(result)[0] == "DataError"
    assert "expected vectors of width 692, got one of width 2" in error_of(result)[1]
