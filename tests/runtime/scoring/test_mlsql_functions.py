"""The other functions of MLSQL's documents, as users meet them: through the engine, on a real SparkSession."""

from __future__ import annotations

import math
import re
import tracemalloc
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from pyspark.ml.linalg import Vectors
from support.vectors import MIXED, Ask, vector_table
from support.workbench import TESTS, RunPlan

from mlsql_runtime.feed.decoding.vectors import SPARK_VECTOR_TYPE
from mlsql_runtime.plan import Select, Show
from mlsql_runtime.scoring import array_functions, vector_functions
from mlsql_runtime.scoring.matrix_operations import MATRIX_TYPE, make_matrix, sum_matrix, to_nested_arrays
from mlsql_runtime.scoring.vector_functions import FUNCTIONS, call, call_in_slices

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.usefixtures("no_vector_functions")
A, B = "vec_dense(array(2.5, 2.0, 1.0))", "vec_dense(array(2.5, 22.2, 1.6))"
S, T = "vec_sparse(5, map(1, 2.0, 3, -4.5))", "vec_sparse(5, map(3, 1.5, 4, 1.0))"

RESULTS: list[tuple[str, Any]] = [
    ("vec_slice(vec_dense(array(1.0, 2.0, 3.0, 4.0)), array(0, 1, 2))", Vectors.dense(1, 2, 3)),
    ("vec_slice(vec_dense(array(1.0, 2.0)), array(1, 1, 0))", Vectors.dense(2, 2, 1)),
    (f"vec_slice({S}, array(3, 0, 1))", Vectors.sparse(3, {0: -4.5, 2: 2.0})),
    (f"vec_slice({S}, array())", Vectors.sparse(0, {})),
    ("vec_range(vec_dense(array(1.0, 2.0, 3.0, 4.0)), array(1, 3))", Vectors.dense(2, 3)),
    (f"vec_range({S}, array(1, 4))", Vectors.sparse(3, {0: 2.0, 2: -4.5})),
    (f"vec_range({A}, array(2, 9))", Vectors.dense([1.0])),
    (f"vec_range({A}, array(2, 1))", Vectors.dense([])),
    (f"vec_wise_mul({A}, {A})", Vectors.dense(6.25, 4, 1)),
    (f"vec_wise_add({A}, {A})", Vectors.dense(5, 4, 2)),
    (f"vec_wise_dif({A}, {B})", Vectors.dense(0, -20.2, -0.6000000000000001)),
    ("vec_wise_mod(vec_dense(array(11, -7, 3)), vec_dense(array(2, 3, 4)))", Vectors.dense(1, -1, 3)),
    (f"vec_wise_add({S}, {T})", Vectors.sparse(5, {1: 2.0, 3: -3.0, 4: 1.0})),
    (f"vec_wise_mul({S}, {T})", Vectors.sparse(5, {1: 0.0, 3: -6.75, 4: 0.0})),
    (f"vec_wise_dif({S}, vec_dense(array(1, 1, 1, 1, 1)))", Vectors.dense(-1, 1, -1, -5.5, -1)),
    (f"vec_inplace_add({A}, 4.4)", Vectors.dense(6.9, 6.4, 5.4)),
    (f"vec_inplace_add({S}, 1)", Vectors.dense(1, 3, 1, -3.5, 1)),
    (f"vec_inplace_ew_mul({A}, 4.4)", Vectors.dense(11, 8.8, 4.4)),
    (f"vec_inplace_ew_mul({S}, 2)", Vectors.sparse(5, {1: 4.0, 3: -9.0})),
    ("vec_ceil(vec_dense(array(2.5, 2.4, 1.6)))", Vectors.dense(3, 3, 2)),
    (f"vec_floor({S})", Vectors.sparse(5, {1: 2.0, 3: -5.0})),
    ("vec_cosine(vec_dense(array(1.0, 2.0)), vec_dense(array(1.0, 1.0)))", 0.9486832980505138),
    (f"vec_cosine({A}, vec_dense(array(1.0)))", 0.0),
    ("vec_cosine(vec_dense(array()), vec_dense(array()))", 0.0),
    (f"vec_sqdist({A}, {B})", 408.4),
    (f"vec_sqdist({S}, {T})", 4 + 36 + 1),
    ("vec_norm(vec_dense(array(3, -4)), 2.0)", 5.0),
    ("vec_norm(vec_dense(array(3, -4)), 1)", 7.0),
    ("vec_norm(vec_dense(array(3, -4)), float('infinity'))", 4.0),
    ("vec_norm(vec_dense(array(3, -4)), 3)", 91 ** (1 / 3)),
    ("vec_mean(vec_dense(array(1.0, 2.0, 7.0, 2.0)))", 3.0),
    (f"vec_mean({S})", -0.5),
    ("vec_stddev(vec_dense(array(3.0, 4.0, 5.0)))", 1.0),
    (f"vec_stddev({S})", float(np.std([0, 2, 0, -4.5, 0], ddof=1))),
    ("vec_stddev(vec_dense(array(3.0)))", 0.0),
    ("vec_mk_string('*', vec_dense(array(1.0, 2.0)))", "1.0*2.0"),
    (f"vec_mk_string(', ', {S})", "0.0, 2.0, 0.0, -4.5, 0.0"),
    ("matrix_array(array_onehot(array(1, 2), 4))", [[0, 1, 0, 0], [0, 0, 1, 0]]),
    ("matrix_array(array_onehot(array(1, 9), 2))", [[0, 1], [0, 0]]),
    ("matrix_array(matrix_dense(array(array(1, 2, 3), array(2.5, 3, 4))))", [[1, 2, 3], [2.5, 3, 4]]),
    ("matrix_sum(matrix_dense(array(array(1.0, 2.0, 3.0), array(2.0, 3.0, 4.0))), 0)", Vectors.dense(3, 5, 7)),
    ("matrix_sum(matrix_dense(array(array(1.0, 2.0, 3.0), array(2.0, 3.0, 4.0))), 1)", Vectors.dense(6, 9)),
    ("array_index(array('a', 'b', 'c'), 'b')", 1),
    ("array_index(array('a', 'b', 'c'), 'd')", -1),
    ("array_slice(array('a', 'b', 'c', 'd', 'e'), 3, -1)", ["d", "e"]),
    ("array_slice(array('a', 'b', 'c'), -1, 2)", ["a", "b"]),
    ("array_slice(array('a', 'b', 'c'), 1, 9)", ["b", "c"]),
    ("array_slice(array('a', 'b', 'c'), 2, 1)", []),
    ("array_slice(array('a'), 5, -1)", []),
    ("array_number_concat(array(array(1, 2), array(2, 3)))", [1.0, 2.0, 2.0, 3.0]),
    ("array_concat(array(array('a', 'b'), array('c')))", ["a", "b", "c"]),
    ("array_number_to_string(array(1, 2))", ["1", "2"]),
    ("array_number_to_string(vec_array(vec_dense(array(1, 2.5))))", ["1.0", "2.5"]),
    ("array_string_to_double(array('1.1', '2'))", [1.1, 2.0]),
    ("array_string_to_float(array('1.5'))", [1.5]),
    ("array_string_to_int(array('1', '2'))", [1, 2]),
    ("to_array_double(array('1', '2.5'))", [1.0, 2.5]),
    ("map_value_int_to_double(map('a', 1))", {"a": 1.0}),
    ("padding_int_array(array(1, 2, 3), 2, 0)", [1, 2]),
    ("padding_int_array(array(1), 3, 7)", [1, 7, 7]),
    ("ngram(array('a', 'b', 'c', 'd', 'e'), 3)", ["a b c", "b c d", "c d e"]),
    ("ngram(array('a'), 3)", []),
    ("ngram(array('a', 'b'), 2)", ["a b"]),
    ("mkString('-', array('a', 'b'))", "a-b"),
    ("decodeKafka(encode('größer', 'utf-8'))", "größer"),
    ("keepChinese('你◣◢︼【】┅┇☽の·▸┈┊好啊。..。?katty', false, array())", "你好啊"),
    ("keepChinese('你好。katty!', true, array())", "你好。!"),
    ("keepChinese('你好。katty', false, array('k', 'y'))", "你好ky"),
]
NULLS = (
    *("vec_slice(null, array(0))", "vec_range(null, array(0, 1))", "vec_wise_add(null, null)", "vec_mean(null)"),
    *("vec_norm(null, 2)", "vec_norm(vec_dense(array(1)), null)", "vec_cosine(null, vec_dense(array(1)))", "vec_stddev(null)"),
    *("vec_inplace_add(vec_dense(array(1)), null)", "vec_mk_string(null, vec_dense(array(1)))", "matrix_array(null)"),
    *("matrix_sum(array_onehot(array(1), 2), null)", "array_onehot(array(1), null)", "array_index(null, 'a')"),
    *("array_slice(array('a'), null, 1)", "array_slice(array('a'), 0, null)"),
    *("array_slice(null, 1, 2)", "ngram(null, 2)", "array_concat(null)", "padding_int_array(null, 2, 0)"),
    *("keepChinese(null, true, array())", "mkString('-', null)", "array_string_to_int(null)"),
)


def is_same(got: Any, expected: Any) -> bool:
    if hasattr(expected, "toArray"):
        return type(got) is type(expected) and bool(np.allclose(got.toArray(), expected.toArray(), rtol=1e-15, equal_nan=True))
    return bool(math.isclose(got, expected, rel_tol=1e-15)) if isinstance(expected, float) else bool(got == expected)


def test_results(ask: Ask) -> None:
    (row,) = ask(f"select {', '.join(query for query, _ in RESULTS)}")
    wrong = [(query, got, expected) for (query, expected), got in zip(RESULTS, row, strict=True) if not is_same(got, expected)]
    assert wrong == []


def test_null_gives_null(ask: Ask) -> None:
    (row,) = ask(f"select {', '.join(NULLS)}")
    assert [query for query, value in zip(NULLS, row, strict=True) if value is not None] == []


def test_vectors_of_all_kinds_in_one_column(ask: Ask, spark: SparkSession) -> None:
    rows = [(vector, other) for vector in MIXED for other in (vector, None)]
    vector_table(spark, rows, "v w")
    for row in ask("select v, w, vec_wise_add(v, w), vec_mean(v), vec_inplace_add(v, 1), vec_mk_string(' ', v) from t"):
        v, w, added, mean, plus, text = row
        if v is None:
            assert row[2:] == (None, None, None, None)
            continue
        numbers = v.toArray()
        assert np.array_equal(plus.toArray(), numbers + 1, equal_nan=True)
        assert len(text.split()) == len(numbers)
        assert (added is None) == (w is None)
        if added is not None:
            assert type(added) is type(v)
            assert np.array_equal(added.toArray(), numbers * 2, equal_nan=True)
        if len(numbers):
            assert np.array_equal(mean, numbers.mean(), equal_nan=True)


def test_numbers_in_text_are_those_of_spark(ask: Ask) -> None:
    numbers = "1e7D, 12345678.5D, 0.001D, 0.0001D, -1.5e-10D, 1e300D, 123456789012D, 0D, -0.0D, double('NaN'), double('-inf')"
    (row,) = ask(f"select vec_mk_string(' ', vec_dense(array({numbers}))), array_join(array({numbers}), ' ')")
    assert row[0] == row[1]


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("vec_wise_add(vec_dense(array(1)), vec_dense(array(1, 2)))", "vec_wise_add(vector, other): expected vectors of one"),
        ("vec_slice(vec_dense(array(1)), array(1))", "vec_slice(vector, indices): expected indices from 0 to the width - 1, got"),
        ("vec_slice(vec_dense(array(1)), array(null))", "got null among them"),
        ("vec_range(vec_dense(array(1)), array(1))", "vec_range(vector, indices): expected the first place"),
        ("vec_norm(vec_dense(array(1)), 0.5)", "vec_norm(vector, degree): expected a degree of at least 1, got 0.5"),
        ("vec_mean(array(1))", "vec_mean(vector): expected a vector, got array<int>"),
        ("vec_inplace_add(vec_dense(array(1)), 'x')", "expected a vector and a number, got string"),
        ("matrix_dense(array(array(1), array(1, 2)))", "matrix_dense(arrays): expected arrays of one length as rows, got"),
        ("matrix_dense(array())", "expected arrays of one length as rows, got none"),
        ("matrix_sum(array_onehot(array(1), 2), 2)", "matrix_sum(matrix, axis): expected axis 0"),
        ("matrix_array(vec_dense(array(1)))", "matrix_array(matrix): expected a matrix, got vector"),
        ("array_onehot(array(-1), 2)", "array_onehot(indices, size): expected indices and a size of at least 0"),
    ],
)  # fmt: skip
def test_wrong_arguments(run_plan: RunPlan, sql: str, message: str) -> None:
    error = run_plan(Select(table="t", sql=f"select {sql}"), Show(table="t")).error
    assert error is not None
    assert (error["kind"], error["statement"]) == ("DataError", 1)
    assert message in error["message"]


def test_matrices_are_shown_as_rows(run_plan: RunPlan) -> None:
    result = run_plan(Select(table="t", sql="select matrix_dense(array(array(1, 2), array(3, 4))) as m"), Show(table="t"))
    result.raise_for_error()
    assert result.steps[-1].rows == (([[1.0, 2.0], [3.0, 4.0]],),)


def test_matrices_that_others_have_made() -> None:
    dense = {"type": 1, "numRows": 2, "numCols": 3, "colPtrs": None, "rowIndices": None, "isTransposed": True}
    sparse = {"type": 0, "numRows": 2, "numCols": 3, "colPtrs": [0, 1, 1, 2], "rowIndices": [1, 0], "isTransposed": False}
    given = pa.array([dense | {"values": [1, 2, 3, 4, 5, 6]}, sparse | {"values": [7, 8]}, None], MATRIX_TYPE)
    assert to_nested_arrays(given).to_pylist() == [[[1, 2, 3], [4, 5, 6]], [[0, 0, 8], [7, 0, 0]], None]
    assert to_nested_arrays(given.slice(1)).to_pylist() == [[[0, 0, 8], [7, 0, 0]], None]
    sums = sum_matrix(given, pa.array([0, 1, 1], pa.int32())).to_pylist()
    assert [row and row["values"] for row in sums] == [[5, 7, 9], [8, 7], None]
    assert sum_matrix(given, pa.array([None, 0, 0], pa.int32())).slice(0, 2).to_pylist()[1]["values"] == [7, 0, 8]


def test_matrices_are_computed_as_arrays() -> None:
    """The numbers of 200 matrices of 100 x 100 are 16 MB; as objects of Python they would be 64 MB."""
    made = make_matrix(pa.array([np.ones((100, 100)).tolist()] * 20))
    many = pa.concat_arrays([made] * 10)
    tracemalloc.start()
    try:
        rows = to_nested_arrays(many)
        sums = sum_matrix(many, pa.array(np.zeros(len(many), np.int32)))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert rows[199].as_py() == [[1.0] * 100] * 100
    assert sums[199].as_py()["values"] == [100.0] * 100
    assert peak < 3 * many.nbytes


def test_sparse_vectors_stay_small() -> None:
    wide = pa.array([{"type": 0, "size": 1 << 24, "indices": [5], "values": [1.0]}] * 100, SPARK_VECTOR_TYPE)
    for name in ("vec_wise_add", "vec_wise_mul", "vec_sqdist", "vec_cosine"):
        assert call(name, wide, wide).nbytes < 1 << 20
    assert call("vec_stddev", wide).nbytes < 1 << 20
    assert call("vec_slice", wide, pa.array([[5, 6]] * 100)).nbytes < 1 << 20


def test_big_results_come_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vector_functions, "_CELLS", 8)
    vectors = pa.array([{"type": 0, "size": 4, "indices": [1], "values": [2.5]}, None] * 4, SPARK_VECTOR_TYPE)
    places, size = pa.array([[0, 3], None] * 4, pa.list_(pa.int32())), pa.array([4] * 8, pa.int32())
    for name, columns in (("vec_mk_string", (pa.array([","] * 8), vectors)), ("array_onehot", (places, size))):
        assert FUNCTIONS[name].in_slices
        parts = list(call_in_slices(name, *columns))
        assert len(parts) >= 2
        assert [row for part in parts for row in part.to_pylist()] == call(name, *columns).to_pylist()


def test_numbers_overflow_as_in_java() -> None:
    vectors = pa.array([{"type": 1, "values": values} for values in ([math.inf, 1.0], [1e300, 1e300])], SPARK_VECTOR_TYPE)
    assert str(call("vec_stddev", vectors).to_pylist()) == "[nan, 0.0]"
    assert call("vec_norm", vectors, pa.array([2.0, 2.0])).to_pylist() == [math.inf, math.inf]
    assert str(call("vec_sqdist", vectors, vectors).to_pylist()) == "[nan, 0.0]"


def test_the_page_lists_all_functions() -> None:
    page = (TESTS.parent / "docs/how-to/functions.md").read_text()
    documented = {
        name for names in re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|", page, re.MULTILINE) for name in re.findall(r"\w+", names)
    }
    named = {each.name for each in array_functions.FUNCTIONS.values()} | FUNCTIONS.keys()
    assert named - documented == set()
