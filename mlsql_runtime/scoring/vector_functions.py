"""MLSQL's functions on vectors, callable in Spark SQL: ``vec_dense``, ``vec_argmax`` and their kin, and ``onehot``.

Arguments and results are those of MLSQL (:data:`FUNCTIONS`); null gives null. An argument that a function cannot use is a
:class:`DataError` that names the function, what it takes and what it got.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from mlsql_runtime.errors import DataError
from mlsql_runtime.feed.decoding.sql_types import name_type
from mlsql_runtime.feed.decoding.vectors import is_vector, vector_widths
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


@dataclass(frozen=True)
class VectorFunction:
    """A function of SQL: the names of its arguments, what it takes for each, the Spark type of its result, an example."""

    name: str
    arguments: tuple[str, ...]
    takes: tuple[str, ...]
    result: Callable[[], DataType]
    compute: Callable[..., pa.Array]
    example: str
    in_slices: bool = False  # the result may be far bigger than the argument

    @property
    def usage(self) -> str:
        """``vec_sparse(size, map)``."""
        return f"{self.name}({', '.join(self.arguments)})"


_ONE_VECTOR = (("vector",), ("a vector",))
_SIZE_AND_MAP = (("size", "map"), ("an int", "a map of int to number"))
_INDEX_AND_SIZE = (("index", "size"), ("an int", "an int"))
_VECTORS = (("array",), ("an array of vectors",))
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
    )
}
_COMMENTS = r"(?:\s|--[^\n]*(?:\n|$)|/\*.*?\*/)*"
_CALL = re.compile(rf"(?<!\w)({'|'.join(FUNCTIONS)})`?{_COMMENTS}\(", re.IGNORECASE | re.DOTALL)


def register_called(spark: SparkSession, sql: str, taken: Collection[str]) -> None:
    """Make the functions that ``sql`` calls callable.

    Functions that the session knows already are left alone, ours from an earlier query among them.

    :param taken: names of the user's own functions, which take precedence.
    """
    called = find_called(sql) - {name.lower() for name in taken}
    new = sorted(name for name in called if not spark.catalog.functionExists(name))
    if called:
        set_batch_sizes(spark)
    for name in new:
        spark.udf.register(name, make_udf(name))


def find_called(sql: str) -> set[str]:
    """Return the functions of :data:`FUNCTIONS` that a query calls, in any case and quoting; it may name one too many."""
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
        return function.compute(*columns)
    except operations.WrongType as error:
        expected, got = " and ".join(function.takes), name_type(error.kind)
        raise DataError(f"{function.usage}: expected {expected}, got {got}; for example {function.example}") from None
    except DataError as error:
        raise DataError(f"{function.usage}: {error.message}") from None


def call_in_slices(name: str, *columns: pa.Array) -> Iterator[pa.Array]:
    """Yield the result for a batch of vectors in parts of at most 32 MiB, unless that of a single vector is bigger."""
    if len(columns) != 1 or not is_vector(columns[0].type):
        yield call(name, *columns)  # raises the error, or returns nulls for an untyped null
        return
    vectors = columns[0]
    cells = np.concatenate(([0], np.cumsum(np.maximum(vector_widths(vectors), 0))))
    start = 0
    while start < len(vectors):
        end = max(start + 1, int(np.searchsorted(cells, cells[start] + _CELLS, side="right")) - 1)
        yield call(name, vectors.slice(start, end - start))
        start = end
