"""MLSQL's vector functions in SQL, as users meet them: through the engine, on a real SparkSession."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pyspark.ml.linalg import DenseVector, Vectors, VectorUDT
from support.vectors import MIXED, Ask, Vector, argmax, same, vector_table
from support.workbench import WIDTH, RunPlan

from mlsql_runtime.plan import Load, Save, Select
from mlsql_runtime.scoring.vector_functions import call

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


pytestmark = pytest.mark.usefixtures("no_vector_functions")

MADE: list[tuple[str, Vector]] = [
    ("vec_dense(array(1, 2, 3))", Vectors.dense(1, 2, 3)),
    ("vec_dense(array(0.1, 0.7, 1.005))", Vectors.dense(0.1, 0.7, 1.005)),  # decimals, rounded as Spark does
    ("vec_dense(array(float(1.5), float('infinity')))", Vectors.dense(1.5, math.inf)),
    ("vec_dense(array(9007199254740993))", Vectors.dense(9007199254740992.0)),
    ("vec_dense(cast(array(1, 2) as array<tinyint>))", Vectors.dense(1, 2)),
    ("vec_dense(array())", Vectors.dense([])),
    ("vec_sparse(4, map(3, 1.5, 0, 2))", Vectors.sparse(4, {0: 2.0, 3: 1.5})),
    ("vec_sparse(4, map(1, 0.0D))", Vectors.sparse(4, {1: 0.0})),
    ("vec_sparse(cast(4 as bigint), map(cast(2 as smallint), 7))", Vectors.sparse(4, {2: 7.0})),
    ("vec_sparse(3, map())", Vectors.sparse(3, {})),
    ("vec_sparse(0, map())", Vectors.sparse(0, {})),
    ("vec_concat(array(vec_dense(array(1)), vec_dense(array(2, 3))))", Vectors.dense(1, 2, 3)),
    ("vec_concat(array(vec_sparse(9, map(8, 4)), vec_dense(array(5))))", Vectors.sparse(10, {8: 4.0, 9: 5.0})),
    ("vec_concat(array(vec_sparse(2, map(1, 4)), vec_sparse(1, map(0, 5))))", Vectors.dense(0, 4, 5)),
    ("vec_concat(array(vec_dense(array(1, 0, 0, 0, 0))))", Vectors.sparse(5, {0: 1.0})),
    ("vec_concat(array())", Vectors.dense([])),
    ("onehot(2, 4)", Vectors.sparse(4, {2: 1.0})),
    ("onehot(0, 1)", Vectors.sparse(1, {0: 1.0})),
]


def test_vectors_made_in_sql(ask: Ask) -> None:
    (answers,) = ask(f"select {', '.join(source for source, _ in MADE)}")
    for (source, expected), answer in zip(MADE, answers, strict=True):
        assert same(answer, expected), (source, answer)


def test_types_of_results(run_plan: RunPlan, spark: SparkSession) -> None:
    calls = "vec_array(features) a, vec_argmax(features) m, vec_size(features) s, vec_dense(array(label)) d, onehot(1, 2) o"
    run_plan(Select(table="answer", sql=f"select {calls} from data")).raise_for_error()
    assert [field.dataType.simpleString() for field in spark.table("answer").schema] == [
        "array<double>", "int", "int", "vector", "vector",
    ]  # fmt: skip


@pytest.mark.parametrize("batch", ["1", "3", "10000"])
def test_mixed_vectors_nulls_and_several_batches(ask: Ask, spark: SparkSession, batch: str) -> None:
    vector_table(spark, [(vector,) for vector in MIXED])
    conf = "spark.sql.execution.arrow.maxRecordsPerBatch"
    before = spark.conf.get(conf)
    spark.conf.set(conf, batch)
    try:
        joined = "vec_concat(array(v, vec_dense(array(1))))"
        answers = ask(f"select vec_array(v), vec_argmax(v), vec_size(v), {joined}, vec_dense(vec_array(v)) from t")
    finally:
        spark.conf.set(conf, before)
    for vector, answer in zip(MIXED, answers, strict=True):
        array, place, size, longer, dense = answer
        if vector is None:
            assert answer == (None,) * 5
            continue
        numbers = vector.toArray()
        assert np.array_equal(array, numbers, equal_nan=True)
        assert (place, size) == (argmax(numbers), len(numbers))
        assert np.array_equal(longer.toArray(), [*numbers, 1.0], equal_nan=True)
        assert isinstance(dense, DenseVector)
        assert np.array_equal(dense.toArray(), numbers, equal_nan=True)


NULL = [
    "vec_dense(null)",
    "vec_dense(cast(null as array<double>))",
    "vec_sparse(null, map(1, 1.0))",
    "vec_sparse(3, null)",
    "vec_sparse(3, cast(null as map<int, double>))",
    "vec_array(null)",
    "vec_argmax(null)",
    "vec_size(null)",
    "vec_concat(null)",
    "vec_concat(array(null))",
    "vec_concat(array(vec_dense(array(1)), null, onehot(null, 2)))",
    "onehot(null, 3)",
    "onehot(-7, null)",
]


def test_null_gives_null(ask: Ask) -> None:
    assert ask(f"select {', '.join(NULL)}") == [(None,) * len(NULL)]


def test_null_rows_among_others(ask: Ask, spark: SparkSession) -> None:
    spark.createDataFrame(
        [(None, None, [1.0]), (2, {1: 1.0, 0: 3.0}, None), (3, None, []), (None, {9: 1.0}, [2.0]), (3, {}, [3.0])],
        "n int, m map<int,double>, a array<double>",
    ).coalesce(1).createOrReplaceTempView("t")
    answers = ask("select vec_sparse(n, m), vec_dense(a), onehot(n - 2, n) from t")
    expected = [
        (None, Vectors.dense([1]), None),
        (Vectors.sparse(2, {0: 3.0, 1: 1.0}), None, Vectors.sparse(2, {0: 1.0})),
        (None, Vectors.dense([]), Vectors.sparse(3, {1: 1.0})),
        (None, Vectors.dense([2]), None),
        (Vectors.sparse(3, {}), Vectors.dense([3]), Vectors.sparse(3, {1: 1.0})),
    ]
    for answer, wanted in zip(answers, expected, strict=True):
        assert all(map(same, answer, wanted)), (answer, wanted)


def test_empty_tables(ask: Ask, spark: SparkSession) -> None:
    vector_table(spark, [])
    calls = "vec_array(v), vec_argmax(v), vec_size(v), vec_concat(array(v, v)), vec_dense(array(1)), onehot(0, 1)"
    assert ask(f"select {calls} from t") == []


numbers = st.sampled_from([0.0, 0.0, 1.0, -1.0, 2.5]) | st.floats(-1e6, 1e6, allow_nan=False).map(lambda number: number + 0.0)


@st.composite
def vectors(draw: st.DrawFn) -> Vector:
    width = draw(st.integers(0, 9))
    if draw(st.booleans()):
        return Vectors.dense(draw(st.lists(numbers, min_size=width, max_size=width)))
    indices = draw(st.sets(st.integers(0, width - 1))) if width else set()
    return Vectors.sparse(width, {index: draw(numbers) for index in sorted(indices)})


@settings(
    max_examples=4, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate]
)  # a failure is not shrunk: slow
@given(pairs=st.lists(st.tuples(vectors() | st.none(), vectors()), min_size=40, max_size=60))
def test_results_agree_with_plain_python_and_sparks_vector_assembler(
    ask: Ask, spark: SparkSession, pairs: list[tuple[Vector | None, Vector]]
) -> None:
    from pyspark.ml.feature import VectorAssembler

    frame = vector_table(spark, pairs, "v w")
    answers = ask("select vec_array(v), vec_argmax(v), vec_size(v), vec_concat(array(v, w)) from t")
    assembler = VectorAssembler(inputCols=["v", "w"], outputCol="both")
    assembled = iter([row.both for row in assembler.transform(frame.where("v is not null")).collect()])
    for (vector, _), answer in zip(pairs, answers, strict=True):
        if vector is None:
            assert answer == (None, None, None, None)
            continue
        array = vector.toArray().tolist()
        assert answer[:3] == (array, argmax(array), len(array))
        assert same(answer[3], next(assembled))


@pytest.mark.parametrize("columnar", ["parquet", "orc"])
def test_vectors_from_columnar_files(run_plan: RunPlan, spark: SparkSession, tmp_path: Path, columnar: str) -> None:
    path = str(tmp_path / "stored")
    result = run_plan(
        Save(table="data", format=columnar, path=path),
        Load(table="stored", format=columnar, path=path),
        Select(table="answer", sql="select vec_argmax(features) m, vec_array(features) a from stored"),
    )
    result.raise_for_error()
    expected = [row.features.toArray().tolist() for row in spark.table("data").collect()]
    assert [(row.m, row.a) for row in spark.table("answer").collect()] == [(argmax(array), array) for array in expected]


def test_a_wide_sparse_column_becomes_arrays_a_piece_at_a_time(ask: Ask, spark: SparkSession) -> None:
    """In one batch, 10,000 such vectors would be more than a list column of Arrow may hold, and 80 GB."""
    spark.range(20).coalesce(1).createOrReplaceTempView("ids")
    made = "vec_array(if(id = 7, null, vec_sparse(1000000, map(cast(id as int), 1.0D))))"
    assert ask(f"select array_position({made}, 1.0D) from ids") == [None if row == 7 else row + 1 for row in range(20)]


def test_slices_of_arrow_columns_are_read_as_such() -> None:
    import pyarrow as pa

    from mlsql_runtime.feed.decoding.vectors import SPARK_VECTOR_TYPE

    rows = [None if vector is None else VectorUDT().serialize(vector) for vector in MIXED]
    columns = dict(zip(("type", "size", "indices", "values"), range(4), strict=True))
    given = [None if row is None else {name: row[at] for name, at in columns.items()} for row in rows]
    whole = pa.array(given, SPARK_VECTOR_TYPE)
    for name in ("vec_array", "vec_argmax", "vec_size"):
        assert str(call(name, whole.slice(4, 6))) == str(call(name, whole).slice(4, 6))
    maps = pa.array([[(0, 1.0)], None, [(1, 2.0)]], pa.map_(pa.int32(), pa.float64()))
    assert call("vec_sparse", pa.array([1, 1, 2])[1:], maps[1:]).to_pylist()[1]["indices"] == [1]
    lists = pa.array([[1], None, [2, 3]])
    assert call("vec_dense", lists[1:]).to_pylist()[1]["values"] == [2.0, 3.0]


def test_in_where_group_and_aggregates(ask: Ask) -> None:
    assert ask("select vec_size(first(features)) from data where vec_size(features) > 1") == [WIDTH]
    groups = ask("select vec_argmax(onehot(cast(label as int), 2)) as k, count(*) from data group by 1 order by k")
    assert groups == [(0, 43), (1, 57)]
    assert sum(count for _, count in groups) == 100


def test_zeros_for_an_unknown_index_as_the_documentation_says(ask: Ask, spark: SparkSession) -> None:
    spark.createDataFrame([(1,), (5,)], "i int").coalesce(1).createOrReplaceTempView("t")
    answers = ask("select coalesce(onehot(if(i between 0 and 2, i, null), 3), vec_sparse(3, map())) from t")
    assert [answer.toArray().tolist() for answer in answers] == [[0.0, 1.0, 0.0], [0.0, 0.0, 0.0]]
