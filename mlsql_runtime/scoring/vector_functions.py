"""MLSQL's functions in Spark SQL: those on vectors and matrices (:data:`FUNCTIONS`) as Arrow functions, those on arrays as SQL.

Arguments and results are those of MLSQL; null gives null. An argument that a function cannot use is a :class:`DataError` that
names the function, what it takes and what it got. A function is registered in a session when a query calls it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from mlsql_runtime.errors import DataError
from mlsql_runtime.feed.decoding.sql_types import is_list, name_type
from mlsql_runtime.feed.decoding.vectors import is_vector, vector_widths
from mlsql_runtime.scoring import array_functions, matrix_operations
from mlsql_runtime.scoring import vector_arithmetic as arithmetic
from mlsql_runtime.scoring import vector_operations as operations
from mlsql_runtime.scoring.arrow_batching import set_batch_sizes
from mlsql_runtime.spark_errors import errors_for_driver

if TYPE_CHECKING:
    from pyspark.sql import SparkSession
    from pyspark.sql.types import DataType

_CELLS = 1 << 22  # of one result, 32 MiB: a sparse vector may be a thousand times bigger as an array


def _vector() -> DataType:
    from pyspark.ml.linalg import VectorUDT

    return VectorUDT()


def _doubles() -> DataType:
    from pyspark.sql.types import ArrayType, DoubleType

    return ArrayType(DoubleType(), containsNull=False)


def _int() -> DataType:
    from pyspark.sql.types import IntegerType

    return IntegerType()


def _double() -> DataType:
    from pyspark.sql.types import DoubleType

    return DoubleType()


def _text() -> DataType:
    from pyspark.sql.types import StringType

    return StringType()


def _matrix() -> DataType:
    from pyspark.ml.linalg import MatrixUDT

    return MatrixUDT()


def _nested_doubles() -> DataType:
    from pyspark.sql.types import ArrayType

    return ArrayType(_doubles(), containsNull=False)


@dataclass(frozen=True)
class VectorFunction:
    """A function of SQL: the names of its arguments, what it takes for each, the Spark type of its result, an example."""

    name: str
    arguments: tuple[str, ...]
    takes: tuple[str, ...]
    result: Callable[[], DataType]
    compute: Callable[..., pa.Array]
    example: str
    in_slices: bool = False  # the result may be far bigger than the arguments

    @property
    def usage(self) -> str:
        """``vec_sparse(size, map)``."""
        return f"{self.name}({', '.join(self.arguments)})"


_ONE_VECTOR = (("vector",), ("a vector",))
_SIZE_AND_MAP = (("size", "map"), ("an int", "a map of int to number"))
_INDEX_AND_SIZE = (("index", "size"), ("an int", "an int"))
_VECTORS = (("array",), ("an array of vectors",))
_TWO_VECTORS = (("vector", "other"), ("a vector", "a vector"))
_VECTOR_AND_NUMBER = (("vector", "number"), ("a vector", "a number"))
_VECTOR_AND_INDICES = (("vector", "indices"), ("a vector", "an array of ints"))
FUNCTIONS = {
    function.name: function
    for function in (
        VectorFunction(
            "vec_dense", ("array",), ("an array of numbers",), _vector, operations.make_dense, "vec_dense(array(1.0, 2.0))"
        ),
        VectorFunction("vec_sparse", *_SIZE_AND_MAP, _vector, operations.make_sparse, "vec_sparse(4, map(0, 1.5))"),
        VectorFunction("vec_array", *_ONE_VECTOR, _doubles, operations.to_arrays, "vec_array(features)", in_slices=True),
        VectorFunction("vec_argmax", *_ONE_VECTOR, _int, operations.find_argmax, "vec_argmax(features)"),
        VectorFunction("vec_size", *_ONE_VECTOR, _int, operations.find_sizes, "vec_size(features)"),
        VectorFunction("vec_concat", *_VECTORS, _vector, operations.concatenate, "vec_concat(array(features, other))"),
        VectorFunction("onehot", *_INDEX_AND_SIZE, _vector, operations.make_one_hot, "onehot(2, 10)"),
        VectorFunction("vec_slice", *_VECTOR_AND_INDICES, _vector, arithmetic.take_numbers, "vec_slice(features, array(0, 2))"),
        VectorFunction("vec_range", *_VECTOR_AND_INDICES, _vector, arithmetic.cut_range, "vec_range(features, array(0, 2))"),
        VectorFunction("vec_wise_add", *_TWO_VECTORS, _vector, arithmetic.combine(np.add), "vec_wise_add(features, other)"),
        VectorFunction("vec_wise_dif", *_TWO_VECTORS, _vector, arithmetic.combine(np.subtract), "vec_wise_dif(features, other)"),
        VectorFunction("vec_wise_mul", *_TWO_VECTORS, _vector, arithmetic.combine(np.multiply), "vec_wise_mul(features, other)"),
        VectorFunction("vec_wise_mod", *_TWO_VECTORS, _vector, arithmetic.combine(np.fmod), "vec_wise_mod(features, other)"),
        VectorFunction(
            "vec_inplace_add",
            *_VECTOR_AND_NUMBER,
            _vector,
            arithmetic.add_number,
            "vec_inplace_add(features, 1.5)",
            in_slices=True,
        ),
        VectorFunction(
            "vec_inplace_ew_mul", *_VECTOR_AND_NUMBER, _vector, arithmetic.multiply_number, "vec_inplace_ew_mul(features, 1.5)"
        ),
        VectorFunction("vec_ceil", *_ONE_VECTOR, _vector, arithmetic.round_numbers(np.ceil), "vec_ceil(features)"),
        VectorFunction("vec_floor", *_ONE_VECTOR, _vector, arithmetic.round_numbers(np.floor), "vec_floor(features)"),
        VectorFunction("vec_cosine", *_TWO_VECTORS, _double, arithmetic.find_cosines, "vec_cosine(features, other)"),
        VectorFunction("vec_sqdist", *_TWO_VECTORS, _double, arithmetic.find_squared_distances, "vec_sqdist(features, other)"),
        VectorFunction(
            "vec_norm", ("vector", "degree"), ("a vector", "a number"), _double, arithmetic.find_norms, "vec_norm(features, 2.0)"
        ),
        VectorFunction("vec_mean", *_ONE_VECTOR, _double, arithmetic.find_means, "vec_mean(features)"),
        VectorFunction("vec_stddev", *_ONE_VECTOR, _double, arithmetic.find_deviations, "vec_stddev(features)"),
        VectorFunction(
            "vec_mk_string",
            ("separator", "vector"),
            ("a string", "a vector"),
            _text,
            arithmetic.join_numbers,
            "vec_mk_string(',', features)",
            in_slices=True,
        ),
        VectorFunction(
            "matrix_dense",
            ("arrays",),
            ("an array of arrays of numbers",),
            _matrix,
            matrix_operations.make_matrix,
            "matrix_dense(array(array(1.0, 2.0), array(3.0, 4.0)))",
        ),
        VectorFunction(
            "matrix_array", ("matrix",), ("a matrix",), _nested_doubles, matrix_operations.to_nested_arrays, "matrix_array(m)"
        ),
        VectorFunction(
            "matrix_sum", ("matrix", "axis"), ("a matrix", "an int"), _vector, matrix_operations.sum_matrix, "matrix_sum(m, 0)"
        ),
        VectorFunction(
            "array_onehot",
            ("indices", "size"),
            ("an array of ints", "an int"),
            _matrix,
            matrix_operations.encode_one_hot,
            "array_onehot(array(1, 2), 4)",
            in_slices=True,
        ),
    )
}
_COMMENTS = r"(?:\s|--[^\n]*(?:\n|$)|/\*.*?\*/)*"
_CALL = re.compile(rf"(?<!\w)({'|'.join((*FUNCTIONS, *array_functions.FUNCTIONS))})`?{_COMMENTS}\(", re.IGNORECASE | re.DOTALL)


def register_called(spark: SparkSession, sql: str, taken: Collection[str]) -> None:
    """Make the functions that ``sql`` calls callable.

    Functions that the session knows already are left alone, ours from an earlier query among them.

    :param taken: names of the user's own functions, which take precedence.
    """
    called = find_called(sql) - {name.lower() for name in taken}
    new = sorted(name for name in called if not spark.catalog.functionExists(name))
    if called & FUNCTIONS.keys():
        set_batch_sizes(spark)
    for name in new:
        if name in FUNCTIONS:
            spark.udf.register(name, make_udf(name))
        else:
            spark.sql(array_functions.FUNCTIONS[name].definition)


def find_called(sql: str) -> set[str]:
    """Return the functions of MLSQL that a query calls, in any case and quoting; it may name one too many."""
    return {match.lower() for match in _CALL.findall(sql)}


def make_udf(name: str) -> Any:
    """Return one of :data:`FUNCTIONS` as an Arrow function of Spark."""
    from pyspark.sql.pandas.functions import arrow_udf

    function = FUNCTIONS[name]

    def compute(*columns: pa.Array, **named: pa.Array) -> pa.Array:
        with errors_for_driver():
            if named:
                raise DataError(f"{function.usage}: expected arguments without names, got {', '.join(named)}")
            return call(name, *columns)

    def compute_in_slices(batches: Iterator[pa.Array]) -> Iterator[pa.Array]:
        with errors_for_driver():
            for columns in batches:
                yield from call_in_slices(name, *(columns if isinstance(columns, tuple) else (columns,)))

    # Spark reads the kind of function from real types, which ``from __future__ import annotations`` hides.
    compute.__annotations__ = {"columns": pa.Array, "named": pa.Array, "return": pa.Array}
    compute_in_slices.__annotations__ = {"batches": Iterator[pa.Array], "return": Iterator[pa.Array]}
    return arrow_udf(compute_in_slices if function.in_slices else compute, function.result())  # type: ignore[call-overload]


def call(name: str, *columns: pa.Array) -> pa.Array:
    """Return the result of a function for columns of n rows, n long.

    :raises DataError: when there are too few or too many columns, of wrong types, or with values that the function cannot use.
    """
    function = FUNCTIONS[name]
    if len(columns) != len(function.arguments):
        expected = "1 argument" if len(function.arguments) == 1 else f"{len(function.arguments)} arguments"
        raise DataError(f"{function.usage}: expected {expected}, got {len(columns)}; for example {function.example}")
    try:
        with np.errstate(all="ignore"):
            return function.compute(*columns)
    except operations.WrongType as error:
        expected, got = " and ".join(function.takes), name_type(error.kind)
        raise DataError(f"{function.usage}: expected {expected}, got {got}; for example {function.example}") from None
    except DataError as error:
        raise DataError(f"{function.usage}: {error.message}") from None


def call_in_slices(name: str, *columns: pa.Array) -> Iterator[pa.Array]:
    """Yield the result for a batch in parts of at most 32 MiB, unless that of a single row is bigger."""
    counts = _count_numbers(columns)
    if counts is None:
        yield call(name, *columns)  # raises the error, or returns nulls for an untyped null
        return
    cells = operations.to_starts(counts)
    start = 0
    while start < len(counts):
        end = max(start + 1, int(np.searchsorted(cells, cells[start] + _CELLS, side="right")) - 1)
        yield call(name, *(column.slice(start, end - start) for column in columns))
        start = end


def _count_numbers(columns: Sequence[pa.Array]) -> operations.Integers | None:
    """Return how many numbers the result of each row has: those of its vector, or of the matrix that ``array_onehot`` makes.

    None for arguments of other types.
    """
    counts: operations.Integers
    for column in columns:
        if is_vector(column.type):
            counts = vector_widths(column).clip(min=0)
            return counts
    if len(columns) == 2 and is_list(columns[0].type) and pa.types.is_integer(columns[1].type):
        counts = operations.split_lists(columns[0])[1] * operations.to_integers(columns[1], "the size").clip(min=0)
        return counts
    return None
