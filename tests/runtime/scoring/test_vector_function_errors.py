"""Wrong calls and arguments of MLSQL's vector functions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pyspark.ml.linalg import Vectors
from support.workbench import RunPlan

from mlsql_runtime.errors import DataError
from mlsql_runtime.plan import Save, Select
from mlsql_runtime.scoring.vector_functions import call, register_called
from mlsql_runtime.spark_errors import translate

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


pytestmark = pytest.mark.usefixtures("no_vector_functions")


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("vec_dense(array(1, null))", "vec_dense(array): expected numbers, got null among them; give each a value, for example"),
        ("vec_dense(array('a'))", "vec_dense(array): expected an array of numbers, got array<string>; for example vec_dense("),
        ("vec_dense(array(true))", "got array<boolean>"),
        ("vec_dense(array(array(1)))", "got array<array<int>>"),
        ("vec_dense(1, 2)", "vec_dense(array): expected 1 argument, got 2; for example vec_dense(array(1.0, 2.0))"),
        ("vec_dense(features)", "vec_dense(array): expected an array of numbers, got vector"),
        (
            "vec_sparse(3, map(3, 1.0))",
            "vec_sparse(size, map): expected an index from 0 to size - 1, got 3 for size 3; give a size",
        ),
        ("vec_sparse(3, map(-1, 1.0))", "got -1 for size 3"),
        ("vec_sparse(-3, map(0, 1.0))", "vec_sparse(size, map): expected a size from 0 to 2147483647, got -3"),
        ("vec_sparse(3000000000, map(0, 1.0))", "got 3000000000"),
        ("vec_sparse(3.0, map(0, 1.0))", "expected int for the size, got decimal(2,1); write cast(... as int)"),
        ("vec_sparse('3', map(0, 1.0))", "expected int for the size, got string"),
        ("vec_sparse(3, map('0', 1.0))", "expected int for indices, got string"),
        ("vec_sparse(3, map(0, 'x'))", "expected an int and a map of int to number, got map<int,string>"),
        ("vec_sparse(3, map(0, null))", "vec_sparse(size, map): expected numbers, got null among them"),
        ("vec_sparse(3, array(1, 2))", "got array<int>; for example vec_sparse(4, map(0, 1.5))"),
        ("vec_sparse(map(0, 1.0))", "vec_sparse(size, map): expected 2 arguments, got 1"),
        ("vec_array(array(1))", "vec_array(vector): expected a vector, got array<int>; for example vec_array(features)"),
        ("vec_array()", "vec_array(vector): expected 1 argument, got 0"),
        ("vec_array(features, features)", "vec_array(vector): expected 1 argument, got 2"),
        ("vec_argmax(label)", "vec_argmax(vector): expected a vector, got double"),
        ("vec_size('text')", "vec_size(vector): expected a vector, got string; for example vec_size(features)"),
        ("vec_size(map(1, 2))", "got map<int,int>"),
        ("vec_concat(features, features)", "vec_concat(array): expected 1 argument, got 2; for example vec_concat(array("),
        ("vec_concat(features)", "vec_concat(array): expected an array of vectors, got vector"),
        ("vec_concat(array(1.5D))", "vec_concat(array): expected an array of vectors, got array<double>"),
        (
            "vec_concat(array(vec_sparse(2147483647, map()), vec_sparse(2, map())))",
            "vec_concat(array): expected a vector of at most 2147483647 numbers, got 2147483649 together",
        ),
        (
            "onehot(4, 4)",
            "onehot(index, size): expected an index from 0 to size - 1, got 4 for size 4; give a bigger size, or null",
        ),
        ("onehot(-1, 4)", "got -1 for size 4"),
        ("onehot(0, -1)", "onehot(index, size): expected a size from 0 to 2147483647, got -1"),
        ("onehot(label, 4)", "onehot(index, size): expected int for the index, got double; write cast(... as int)"),
    ],
)
def test_wrong_arguments(spark: SparkSession, sql: str, expected: str) -> None:
    """Columns as Spark hands them over; in this process, as every error costs a Python worker."""
    spark.createDataFrame([(Vectors.dense(1), 0.0)], ["features", "label"]).coalesce(1).createOrReplaceTempView("one")
    name, arguments = sql.removesuffix(")").split("(", 1)
    register_called(spark, arguments, ())
    columns = spark.sql(f"select {arguments} from one").toArrow().columns if arguments else []
    with pytest.raises(DataError) as raised:
        call(name, *(column.combine_chunks() for column in columns))
    assert expected in raised.value.message
    assert "\n" not in raised.value.message


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ("vec_size()", "vec_size(vector): expected 1 argument, got 0; for example vec_size(features)"),
        ("vec_array(features, features)", "vec_array(vector): expected 1 argument, got 2; for example vec_array(features)"),
        ("vec_size(vector => features)", "vec_size(vector): expected arguments without names, got vector"),
    ],
)
def test_wrong_calls_fail_with_our_error_on_the_driver(spark: SparkSession, wrong: str, expected: str) -> None:
    sql = f"select {wrong} as x from one"
    spark.createDataFrame([(Vectors.dense(1),)], ["features"]).createOrReplaceTempView("one")
    register_called(spark, sql, ())
    with pytest.raises(Exception) as raised:  # noqa: PT011  # Spark's own, in which ours is to be found
        spark.sql(sql).collect()
    error = translate(raised.value)
    assert (type(error), error.message) == (DataError, expected)


def test_an_error_in_a_task_is_the_error_of_the_job(run_plan: RunPlan) -> None:
    select = Select(table="answer", sql="select onehot(cast(label as int), 1) as x from data")
    error = run_plan(select, Save(table="answer", format="noop", mode="overwrite")).error
    assert error is not None
    assert (error["kind"], error["message"]) == (
        "DataError",
        "onehot(index, size): expected an index from 0 to size - 1, got 1 for size 1; "
        "give a bigger size, or null as the index for a null vector",
    )


def test_an_index_twice_in_a_map_from_a_file_is_refused() -> None:
    """Spark's own maps hold a key once; a file's may not."""
    import pyarrow as pa

    maps = pa.array([[(1, 1.0), (0, 2.0)], [(2, 1.0), (0, 2.0), (2, 3.0)]], pa.map_(pa.int32(), pa.float64()))
    with pytest.raises(DataError, match="index 2 occurs twice"):
        call("vec_sparse", pa.array([3, 3]), maps)
    assert len(call("vec_sparse", pa.array([3, 3])[:1], maps[:1])) == 1
