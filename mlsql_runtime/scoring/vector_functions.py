"""MLSQL's functions on vectors, callable in Spark SQL: ``vec_dense``, ``vec_argmax`` and their kin, and ``onehot``.

Arguments and results are those of MLSQL (:data:`FUNCTIONS`); null gives null. Each works on whole Arrow columns. What it
cannot use is a :class:`DataError` that names the function, what it takes and what it got.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mlsql_runtime.errors import DataError
from mlsql_runtime.feed.decoding.vectors import (
    SPARK_VECTOR_TYPE,
    VectorColumns,
    is_vector,
    join_vectors,
    positions_in_rows,
    split_vectors,
    to_lists,
    vector_widths,
)
from mlsql_runtime.scoring import arrow_batching as transport
from mlsql_runtime.spark_errors import errors_for_driver

if TYPE_CHECKING:
    from pyspark.sql import SparkSession
    from pyspark.sql.types import DataType

_MAX_SIZE = 2**31 - 1  # Spark keeps the size of a vector in 32 bits
_CELLS = 1 << 22  # of an answer that is made at a time, 32 MiB: a sparse vector may be a thousand times its size as an array
Numbers = np.ndarray[Any, np.dtype[np.float64]]
Whole = np.ndarray[Any, np.dtype[np.int64]]
Flags = np.ndarray[Any, np.dtype[np.bool_]]


# ---- which of them a query calls ---------------------------------------------------------------------------------------


def register_called(spark: SparkSession, sql: str, taken: Collection[str]) -> None:
    """Make those of the functions callable that ``sql`` calls. ``taken``: names of users' own functions, which win.

    So do functions that the session knows already under such a name, ours from an earlier query among them.
    """
    called = called_in(sql) - {name.lower() for name in taken}
    wanted = sorted(name for name in called if not spark.catalog.functionExists(name))
    if called:
        transport.prepare(spark)
    for name in wanted:
        spark.udf.register(name, make_udf(name))


def called_in(sql: str) -> set[str]:
    """The functions of :data:`FUNCTIONS` that a query calls, in any case, back-quoted or not; one too many does no harm."""
    return {match.lower() for match in _CALL.findall(sql)}


def make_udf(name: str) -> Any:
    """One of :data:`FUNCTIONS` as an Arrow function of Spark."""
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
                given = columns if isinstance(columns, tuple) else (columns,)
                for start, end in slices(name, *given):
                    yield call(name, *(column.slice(start, end - start) for column in given))

    # Spark reads the kind of function from real types, which ``from __future__ import annotations`` hides.
    compute.__annotations__ = {"columns": pa.Array, "named": pa.Array, "return": pa.Array}
    compute_in_slices.__annotations__ = {"batches": Iterator[pa.Array], "return": Iterator[pa.Array]}
    return arrow_udf(compute_in_slices if function.in_slices else compute, function.result())  # type: ignore[call-overload]


def call(name: str, *columns: pa.Array) -> pa.Array:
    """The answer of a function to columns of n rows, n long.

    :raises DataError: when they are too few or too many, of the wrong types, or hold what the function cannot use.
    """
    function = FUNCTIONS[name]
    if len(columns) != len(function.arguments):
        wanted = "1 argument" if len(function.arguments) == 1 else f"{len(function.arguments)} arguments"
        raise DataError(f"{function.usage}: expected {wanted}, got {len(columns)}; for example {function.example}")
    return function.compute(function, *columns)


def slices(name: str, *columns: pa.Array) -> Iterator[tuple[int, int]]:
    """Cuts of a batch of vectors such that no answer is bigger than 32 MiB, unless a single vector is."""
    count = len(columns[0]) if columns else 0
    if len(columns) != 1 or not is_vector(columns[0].type):
        call(name, *(column.slice(0, 0) for column in columns))
        yield 0, count
        return
    cells = np.concatenate(([0], np.cumsum(np.maximum(vector_widths(columns[0]), 0))))
    start = 0
    while start < count:
        end = max(start + 1, int(np.searchsorted(cells, cells[start] + _CELLS, side="right")) - 1)
        yield start, end
        start = end


# ---- what they do ------------------------------------------------------------------------------------------------------


def _vec_dense(function: Function, lists: pa.Array) -> pa.Array:
    """A dense vector of the numbers of each array."""
    elements, counts = _elements(function, lists)
    null = _nulls(lists)
    values = _numbers(function, elements, lists.type)
    starts = np.concatenate(([0], np.cumsum(counts)))
    return join_vectors(VectorColumns(np.zeros(len(lists), bool), null, counts, starts, starts[:0], values))


def _vec_sparse(function: Function, sizes: pa.Array, maps: pa.Array) -> pa.Array:
    """A sparse vector of each size, from each map of index to number; zeros in the map are kept."""
    if not (pa.types.is_map(maps.type) or pa.types.is_null(maps.type)):
        raise _wrong_type(function, maps.type)
    null = _nulls(sizes) | _nulls(maps)
    size = _sizes(function, sizes, null)
    if null.all():
        return _all_null(len(maps), SPARK_VECTOR_TYPE)
    kept = pc.if_else(pa.array(null), pa.scalar(None, maps.type), maps)
    counts = pc.fill_null(pc.list_value_length(_as_list(kept)), 0).to_numpy(zero_copy_only=False).astype(np.int64)
    entries = _as_list(kept).flatten()
    values = _numbers(function, pc.struct_field(entries, [1]), maps.type)
    indices = _integers(function, pc.struct_field(entries, [0]), "indices")
    rows = np.repeat(np.arange(len(maps)), counts)
    _check_range(function, indices, size[rows], "give a size above all indices, which count from 0")
    order = np.lexsort((indices, rows))
    indices, values = indices[order], values[order]
    again = np.flatnonzero((np.diff(indices) == 0) & (np.diff(rows) == 0))
    if len(again):
        raise DataError(f"{function.usage}: index {indices[again[0]]} occurs twice in a map; give every index once")
    starts = np.concatenate(([0], np.cumsum(counts)))
    return join_vectors(VectorColumns(~null, null, size, starts, indices, values))


def _onehot(function: Function, indices: pa.Array, sizes: pa.Array) -> pa.Array:
    """A sparse vector of each size with 1.0 at the index."""
    null = _nulls(indices) | _nulls(sizes)
    size = _sizes(function, sizes, null)
    index = np.where(null, 0, _integers(function, indices, "the index"))
    _check_range(function, index[~null], size[~null], "give a bigger size, or null as the index for a null vector")
    starts = np.concatenate(([0], np.cumsum(~null)))
    return join_vectors(VectorColumns(~null, null, size, starts, index[~null], np.ones(starts[-1])))


def _vec_array(function: Function, vectors: pa.Array) -> pa.Array:
    """All numbers of each vector, zeros of sparse vectors included."""
    return to_lists(_vectors(function, vectors))


def _vec_size(function: Function, vectors: pa.Array) -> pa.Array:
    """The width of each vector."""
    width = vector_widths(_vectors(function, vectors))
    return pa.array(width.astype(np.int32), mask=width < 0)


def _vec_argmax(function: Function, vectors: pa.Array) -> pa.Array:
    """Where the first of the greatest numbers of each vector is, zeros that sparse vectors leave out among them.

    As Spark's ``DenseVector.argmax``, whatever the kind: -1 for width 0; NaN is passed over but in the first place.
    """
    known = split_vectors(_vectors(function, vectors))
    stored = np.flatnonzero(known.counts)
    first_gap = _first_gap(known)
    answer = np.where(known.widths == 0, -1, first_gap)
    if len(stored):
        values = np.where(np.isnan(known.values), -np.inf, known.values)
        starts = known.starts[:-1][stored]
        greatest = np.maximum.reduceat(values, starts)
        hits = np.flatnonzero(values == np.repeat(greatest, known.counts[stored]))
        place = known.columns[hits[np.searchsorted(hits, starts)]]
        gap, width = first_gap[stored], known.widths[stored]
        by_gap = (gap < width) & ((greatest < 0) | ((greatest == 0) & (gap < place)))
        place = np.where(by_gap, gap, place)
        nan_first = np.isnan(known.values[starts]) & (known.columns[starts] == 0)
        answer[stored] = np.where(nan_first, 0, place)
    return pa.array(answer.astype(np.int32), mask=known.null)


def _first_gap(known: VectorColumns) -> Whole:
    """The first place of each vector for which no number is stored, shape (n,); its width when there is none."""
    moved = np.concatenate((np.flatnonzero(known.columns != positions_in_rows(known.starts)), known.starts[-1:]))
    nearest = moved[np.searchsorted(moved, known.starts[:-1])]
    gap: Whole = np.minimum(nearest - known.starts[:-1], known.counts)
    return gap


def _vec_concat(function: Function, lists: pa.Array) -> pa.Array:
    """The vectors of each array, one after the other; null when one of them is.

    Zeros are dropped where that makes the vector smaller, as ``VectorAssembler`` does: sparse if 1.5 * nonzero + 2 is
    less than the width, else dense, of whatever kind the parts are.
    """
    vectors, counts = _elements(function, lists)
    if pa.types.is_null(vectors.type):
        vectors = _all_null(len(vectors), SPARK_VECTOR_TYPE)
    elif not is_vector(vectors.type):
        raise _wrong_type(function, lists.type)
    rows = np.repeat(np.arange(len(lists)), counts)
    null = _nulls(lists)
    null[rows[_nulls(vectors)]] = True
    if null[rows].any():
        vectors, counts = vectors.filter(pa.array(~null[rows])), np.where(null, 0, counts)
    return _joined(function, split_vectors(vectors), np.concatenate(([0], np.cumsum(counts))), null)


def _joined(function: Function, known: VectorColumns, bounds: Whole, null: Flags) -> pa.Array:
    """n vectors, the i-th of the vectors ``bounds[i]`` to ``bounds[i + 1]`` of ``known``, which has no nulls."""
    begins = np.concatenate(([0], np.cumsum(known.widths)))
    width = np.diff(begins[bounds])
    if len(width) and width.max() > _MAX_SIZE:
        raise DataError(f"{function.usage}: expected a vector of at most {_MAX_SIZE} numbers, got {width.max()} together")
    starts = known.starts[bounds]
    nonzero = known.values != 0
    before = np.concatenate(([0], np.cumsum(nonzero)))
    counted = np.diff(before[starts])
    sparse = (1.5 * counted + 2 < width) & ~null
    if not sparse.any() and not known.sparse.any():
        return join_vectors(VectorColumns(sparse, null, width, starts, known.columns, known.values))
    out_starts = np.concatenate(([0], np.cumsum(np.where(sparse, counted, width))))
    rows = np.repeat(np.arange(len(width)), np.diff(starts))[nonzero]
    shift = begins[:-1] - np.repeat(begins[bounds[:-1]], np.diff(bounds))
    columns = (known.columns + np.repeat(shift, known.counts))[nonzero]
    place = np.where(sparse[rows], np.arange(len(rows)) - before[starts][rows], columns) + out_starts[rows]
    values, indices = np.zeros(out_starts[-1]), np.zeros(out_starts[-1], np.int64)
    values[place], indices[place] = known.values[nonzero], columns
    return join_vectors(VectorColumns(sparse, null, width, out_starts, indices, values))


# ---- arguments ---------------------------------------------------------------------------------------------------------


def _nulls(column: pa.Array) -> Flags:
    """Which rows are null, shape (n,)."""
    flags: Flags = np.array(column.is_null(), dtype=bool)
    return flags


def _all_null(count: int, kind: pa.DataType) -> pa.Array:
    return pa.nulls(count, kind)


def _as_list(maps: pa.Array) -> pa.ListArray:
    """A map column as the list of entries that it is."""
    return maps.cast(pa.list_(pa.struct([maps.type.key_field, maps.type.item_field])))


def _vectors(function: Function, column: pa.Array) -> pa.StructArray:
    """The column, which must hold vectors; an untyped ``null`` is a null vector."""
    if pa.types.is_null(column.type):
        return _all_null(len(column), SPARK_VECTOR_TYPE)
    if not is_vector(column.type):
        raise _wrong_type(function, column.type)
    return column


def _elements(function: Function, lists: pa.Array) -> tuple[pa.Array, Whole]:
    """All elements of an array column in one piece, and how many each row has, shape (n,); a null array has none."""
    if pa.types.is_null(lists.type):
        return lists.slice(0, 0), np.zeros(len(lists), np.int64)
    if not (pa.types.is_list(lists.type) or pa.types.is_large_list(lists.type)):
        raise _wrong_type(function, lists.type)
    counts = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False).astype(np.int64)
    return lists.flatten(), counts


def _numbers(function: Function, column: pa.Array, given: pa.DataType) -> Numbers:
    """Numbers of any type as doubles, shape (n,), rounded as Spark's own cast rounds."""
    kind = column.type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind) or pa.types.is_null(kind)):
        raise _wrong_type(function, given)
    if column.null_count:
        raise DataError(
            f"{function.usage}: expected numbers, got null among them; give each a value, for example coalesce(x, 0.0), "
            "or leave these rows out"
        )
    if pa.types.is_decimal(kind):
        column = pc.cast(column, pa.string())  # Arrow's own cast from decimal to double is off in the last bit
    return np.asarray(pc.cast(column, pa.float64(), safe=False).to_numpy(zero_copy_only=False))


def _integers(function: Function, column: pa.Array, what: str) -> Whole:
    """Integers of any type, shape (n,), 0 for null."""
    if not (pa.types.is_integer(column.type) or pa.types.is_null(column.type)):
        raise DataError(
            f"{function.usage}: expected int for {what}, got {_sql_name(column.type)}; write cast(... as int) if it is whole"
        )
    return np.asarray(pc.fill_null(pc.cast(column, pa.int64()), 0).to_numpy(zero_copy_only=False))


def _sizes(function: Function, column: pa.Array, null: Flags) -> Whole:
    """Sizes of vectors, shape (n,), 0 where ``null``."""
    size: Whole = np.where(null, 0, _integers(function, column, "the size"))
    wrong = size[(size < 0) | (size > _MAX_SIZE)]
    if len(wrong):
        raise DataError(f"{function.usage}: expected a size from 0 to {_MAX_SIZE}, got {wrong[0]}")
    return size


def _check_range(function: Function, indices: Whole, sizes: Whole, advice: str) -> None:
    wrong = np.flatnonzero((indices < 0) | (indices >= sizes))
    if len(wrong):
        index, size = indices[wrong[0]], sizes[wrong[0]]
        raise DataError(f"{function.usage}: expected an index from 0 to size - 1, got {index} for size {size}; {advice}")


def _wrong_type(function: Function, got: pa.DataType) -> DataError:
    return DataError(
        f"{function.usage}: expected {' and '.join(function.takes)}, got {_sql_name(got)}; for example {function.example}"
    )


def _sql_name(kind: pa.DataType) -> str:
    """What users call an Arrow type in SQL."""
    from pyspark.sql.pandas.types import from_arrow_type

    if is_vector(kind):
        return "vector"
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return f"array<{_sql_name(kind.value_type)}>"
    if pa.types.is_map(kind):
        return f"map<{_sql_name(kind.key_type)},{_sql_name(kind.item_type)}>"
    return from_arrow_type(kind).simpleString()


# ---- the list of them --------------------------------------------------------------------------------------------------


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
class Function:
    """A function of SQL: ``arguments`` by name, what it ``takes`` for each, and the Spark type of its result."""

    name: str
    arguments: tuple[str, ...]
    takes: tuple[str, ...]
    result: Callable[[], DataType]
    compute: Callable[..., pa.Array]
    example: str
    in_slices: bool = False  # its answer may be far bigger than its argument

    @property
    def usage(self) -> str:
        """``vec_sparse(size, map)``."""
        return f"{self.name}({', '.join(self.arguments)})"


_ONE_VECTOR = (("vector",), ("a vector",))
_ALL = (
    Function("vec_dense", ("array",), ("an array of numbers",), _vector, _vec_dense, "vec_dense(array(1.0, 2.0))"),
    Function(
        "vec_sparse", ("size", "map"), ("an int", "a map of int to number"), _vector, _vec_sparse, "vec_sparse(4, map(0, 1.5))"
    ),
    Function("vec_array", *_ONE_VECTOR, _doubles, _vec_array, "vec_array(features)", in_slices=True),
    Function("vec_argmax", *_ONE_VECTOR, _int, _vec_argmax, "vec_argmax(features)"),
    Function("vec_size", *_ONE_VECTOR, _int, _vec_size, "vec_size(features)"),
    Function("vec_concat", ("array",), ("an array of vectors",), _vector, _vec_concat, "vec_concat(array(features, other))"),
    Function("onehot", ("index", "size"), ("an int", "an int"), _vector, _onehot, "onehot(2, 10)"),
)
FUNCTIONS = {function.name: function for function in _ALL}
_COMMENTS = r"(?:\s|--[^\n]*(?:\n|$)|/\*.*?\*/)*"
_CALL = re.compile(rf"(?<!\w)({'|'.join(FUNCTIONS)})`?{_COMMENTS}\(", re.IGNORECASE | re.DOTALL)
