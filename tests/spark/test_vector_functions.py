"""MLSQL's vector functions in SQL, as users meet them: through the engine, on a real SparkSession."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pyspark.ml.linalg import DenseVector, SparseVector, Vectors, VectorUDT
from support.workbench import DATA, EXAMPLES, WIDTH, RunPlan

from mlsql_runtime import engine
from mlsql_runtime.errors import DataError
from mlsql_runtime.plan import FunctionRef, Load, Plan, Register, Save, Select, Train
from mlsql_runtime.scoring.vector_functions import FUNCTIONS, call, find_called, register_called
from mlsql_runtime.spark_errors import translate

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

Ask = Callable[..., list[Any]]
Vector = DenseVector | SparseVector


@pytest.fixture(autouse=True)
def fresh(spark: SparkSession) -> Iterator[None]:
    """Every test registers what it calls."""
    yield
    for name in FUNCTIONS:
        spark.sql(f"drop temporary function if exists {name}")


@pytest.fixture
def ask(run_plan: RunPlan, spark: SparkSession) -> Ask:
    """The rows of a query that the engine ran; the value alone when each row has one."""

    def rows_of(sql: str, functions: tuple[FunctionRef, ...] = ()) -> list[Any]:
        run_plan(Select(table="answer", sql=sql, functions=functions)).raise_for_error()
        rows = spark.table("answer").collect()
        return [row[0] if len(row) == 1 else tuple(row) for row in rows]

    return rows_of


def table(spark: SparkSession, rows: Sequence[tuple[Any, ...]], columns: str = "v", name: str = "t") -> DataFrame:
    """A temporary view of vector columns, in one partition, in this order."""
    from pyspark.sql.types import StructField, StructType

    schema = StructType([StructField(column, VectorUDT()) for column in columns.split()])
    frame = spark.createDataFrame(rows, schema).coalesce(1)
    frame.createOrReplaceTempView(name)
    return frame


def same(left: Vector | None, right: Vector | None) -> bool:
    """Of the same kind, with the same numbers stored."""
    if left is None or right is None:
        return left is right
    return VectorUDT().serialize(left) == VectorUDT().serialize(right)


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


MIXED: list[Vector | None] = [
    Vectors.sparse(4, {2: 5.0}),
    None,
    Vectors.dense(1, 7, 7),
    Vectors.dense([]),
    Vectors.sparse(3, {0: -1.0, 1: -2.0}),
    Vectors.sparse(3, {0: -1.0, 1: -2.0, 2: -0.5}),
    Vectors.sparse(5, {}),
    Vectors.sparse(0, {}),
    Vectors.sparse(4, {0: -1.0, 2: 0.0}),
    Vectors.dense(math.nan, 3),
    Vectors.dense(2, math.nan, 3),
    Vectors.sparse(4, {1: math.nan, 3: 2.0}),
    Vectors.dense(-math.inf, -math.inf),
    None,
]


@pytest.mark.parametrize("batch", ["1", "3", "10000"])
def test_mixed_vectors_nulls_and_several_batches(ask: Ask, spark: SparkSession, batch: str) -> None:
    table(spark, [(vector,) for vector in MIXED])
    conf = "spark.sql.execution.arrow.maxRecordsPerBatch"
    before = spark.conf.get(conf)
    spark.conf.set(conf, batch)
    try:
        arrays = ask("select vec_array(v) from t")
        others = ask("select vec_argmax(v), vec_size(v) from t")
        joined = ask("select vec_concat(array(v, vec_dense(array(1)))) from t")
        back = ask("select vec_dense(vec_array(v)) from t")
    finally:
        spark.conf.set(conf, before)
    for vector, array, other, longer, dense in zip(MIXED, arrays, others, joined, back, strict=True):
        if vector is None:
            assert (array, other, longer, dense) == (None, (None, None), None, None)
            continue
        numbers = vector.toArray()
        assert np.array_equal(array, numbers, equal_nan=True)
        assert other == (argmax(numbers), len(numbers))
        assert np.array_equal(longer.toArray(), [*numbers, 1.0], equal_nan=True)
        assert isinstance(dense, DenseVector)
        assert np.array_equal(dense.toArray(), numbers, equal_nan=True)


def argmax(numbers: Any) -> int:
    """Spark's ``DenseVector.argmax``, in plain Python."""
    best = 0 if len(numbers) else -1
    for place, number in enumerate(numbers):
        if number > numbers[best]:
            best = place
    return best


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
    table(spark, [])
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
def test_they_agree_with_plain_python_and_with_sparks_vector_assembler(
    ask: Ask, spark: SparkSession, pairs: list[tuple[Vector | None, Vector]]
) -> None:
    from pyspark.ml.feature import VectorAssembler

    frame = table(spark, pairs, "v w")
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
def test_what_they_cannot_use(spark: SparkSession, sql: str, expected: str) -> None:
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
def test_wrong_calls_reach_the_driver_as_ours(spark: SparkSession, wrong: str, expected: str) -> None:
    sql = f"select {wrong} as x from one"
    spark.createDataFrame([(Vectors.dense(1),)], ["features"]).createOrReplaceTempView("one")
    register_called(spark, sql, ())
    with pytest.raises(Exception) as raised:  # noqa: PT011  # Spark's own, in which ours is to be found
        spark.sql(sql).collect()
    error = translate(raised.value)
    assert (type(error), error.message) == (DataError, expected)


def test_an_error_in_a_task_ends_the_job_as_such(run_plan: RunPlan) -> None:
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


@pytest.mark.parametrize(
    ("sql", "called"),
    [
        ("select VEC_Size (features) from data", {"vec_size"}),
        ("select `Vec_size` ( features) from data", {"vec_size"}),
        ("select vec_size -- of what\n /* of\nthis */ (features) from data", {"vec_size"}),
        ("select (vec_size(vec_dense(array(1)))), onehot(1,2) from data", {"vec_size", "vec_dense", "onehot"}),
        ("select my_vec_size(features), vec_sizes(features), onehot from data", set()),
        ("select label as vec_size from data", set()),
    ],
)
def test_calls_are_found_in_any_spelling(sql: str, called: set[str]) -> None:
    assert find_called(sql) == called


def test_any_spelling_runs_and_what_is_not_called_is_not_registered(ask: Ask, spark: SparkSession) -> None:
    assert set(ask("select `Vec_Size` /* width */ (features) from data")) == {WIDTH}
    assert spark.catalog.functionExists("vec_size")
    assert not any(spark.catalog.functionExists(name) for name in FUNCTIONS if name != "vec_size")
    assert set(ask("select VEC_SIZE(features) from data")) == {WIDTH}


def test_a_function_that_the_session_knows_wins(ask: Ask, spark: SparkSession) -> None:
    spark.udf.register("Vec_Size", lambda vector: -5, "int")
    assert set(ask("select vec_size(features) from data")) == {-5}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, spark: SparkSession) -> str:
    """A model whose function ``jack`` answers with a vector of one number."""
    path = str(tmp_path_factory.mktemp("models") / "m")
    train = Train(table="data", model_path=path, script_path=str(EXAMPLES / "train_bayes.py"), fit_params=({"alpha": "1"},))
    register = Register(model_path=path, function="jack", script_path=str(EXAMPLES / "predict_bayes.py"))
    engine.run(Plan(job_id="train", statements=(DATA, train, register)), spark).raise_for_error()
    return path


def test_a_registered_function_of_the_same_name_wins(ask: Ask, model: str) -> None:
    assert set(ask("select vec_size(features) from data")) == {WIDTH}
    ref = FunctionRef(name="Vec_Size", model_path=model, function="jack")
    answers = ask("select vec_size(features) from data", (ref,))
    assert {tuple(answer) for answer in answers} == {(0.0,), (1.0,)}


def test_composed_with_each_other_and_with_a_model(ask: Ask, spark: SparkSession, model: str) -> None:
    jack = (FunctionRef(name="jack", model_path=model, function="jack"),)
    rows = ask(
        "select label, features, jack(features), vec_argmax(jack(features)), vec_array(jack(features)), "
        "vec_array(vec_concat(array(features, vec_dense(array(label))))), "
        "vec_argmax(vec_concat(array(jack(features), onehot(1, 2)))) from data",
        jack,
    )
    assert len(rows) == 100
    for label, features, p, first, array, longer, place in rows:
        assert (first, array) == (0, p.toArray().tolist())
        assert longer == [*features.toArray().tolist(), label]
        assert place == argmax([p[0], 0.0, 1.0])
    assert sum(ask("select count(*) from data where vec_array(jack(features))[0] = label", jack)) > 90


def test_in_where_group_and_aggregates(ask: Ask) -> None:
    assert ask("select vec_size(first(features)) from data where vec_size(features) > 1") == [WIDTH]
    groups = ask("select vec_argmax(onehot(cast(label as int), 2)) as k, count(*) from data group by 1 order by k")
    assert groups == [(0, 43), (1, 57)]
    assert sum(count for _, count in groups) == 100


def test_zeros_for_an_unknown_index_as_the_documentation_says(ask: Ask, spark: SparkSession) -> None:
    spark.createDataFrame([(1,), (5,)], "i int").coalesce(1).createOrReplaceTempView("t")
    answers = ask("select coalesce(onehot(if(i between 0 and 2, i, null), 3), vec_sparse(3, map())) from t")
    assert [answer.toArray().tolist() for answer in answers] == [[0.0, 1.0, 0.0], [0.0, 0.0, 0.0]]
