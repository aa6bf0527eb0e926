"""What MLSQL's vector functions compute: whole Arrow columns in, one Arrow column of the same length out, null for null.

Errors leave the function's name to :func:`mlsql_runtime.scoring.vector_functions.call`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mlsql_runtime.errors import DataError
from mlsql_runtime.feed.decoding.sql_types import name_type
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

_MAX_SIZE = 2**31 - 1  # Spark keeps the size of a vector in 32 bits
Doubles = np.ndarray[Any, np.dtype[np.float64]]
Integers = np.ndarray[Any, np.dtype[np.int64]]
Flags = np.ndarray[Any, np.dtype[np.bool_]]


class WrongType(Exception):
    """An argument of a type that the function does not take."""

    def __init__(self, kind: pa.DataType) -> None:
        super().__init__(str(kind))
        self.kind = kind


def make_dense(lists: pa.Array) -> pa.Array:
    """Return a dense vector of the numbers of each array."""
    elements, counts = split_lists(lists)
    values = to_doubles(elements, lists.type)
    starts = to_starts(counts)
    return join_vectors(VectorColumns(np.zeros(len(lists), bool), find_nulls(lists), counts, starts, starts[:0], values))


def make_sparse(sizes: pa.Array, maps: pa.Array) -> pa.Array:
    """Return a sparse vector of each size, from each map of index to number. Zeros in the map are kept."""
    if not (pa.types.is_map(maps.type) or pa.types.is_null(maps.type)):
        raise WrongType(maps.type)
    null = find_nulls(sizes) | find_nulls(maps)
    size = _to_sizes(sizes, null)
    if null.all():
        return pa.nulls(len(maps), SPARK_VECTOR_TYPE)
    kept = pc.if_else(pa.array(null), pa.scalar(None, maps.type), maps)
    entries, counts = split_lists(kept.cast(pa.list_(pa.struct([maps.type.key_field, maps.type.item_field]))))
    values = to_doubles(pc.struct_field(entries, [1]), maps.type)
    indices = to_integers(pc.struct_field(entries, [0]), "indices")
    rows = np.repeat(np.arange(len(maps)), counts)
    _check_range(indices, size[rows], "give a size above all indices, which count from 0")
    order = np.lexsort((indices, rows))
    indices, values = indices[order], values[order]
    repeated = np.flatnonzero((np.diff(indices) == 0) & (np.diff(rows) == 0))
    if len(repeated):
        raise DataError(f"index {indices[repeated[0]]} occurs twice in a map; give every index once")
    return join_vectors(VectorColumns(~null, null, size, to_starts(counts), indices, values))


def make_one_hot(indices: pa.Array, sizes: pa.Array) -> pa.Array:
    """Return a sparse vector of each size with 1.0 at the index."""
    null = find_nulls(indices) | find_nulls(sizes)
    size = _to_sizes(sizes, null)
    index = np.where(null, 0, to_integers(indices, "the index"))
    _check_range(index[~null], size[~null], "give a bigger size, or null as the index for a null vector")
    starts = to_starts(~null)
    return join_vectors(VectorColumns(~null, null, size, starts, index[~null], np.ones(starts[-1])))


def to_arrays(vectors: pa.Array) -> pa.Array:
    """Return all numbers of each vector, with the zeros that sparse vectors leave out."""
    return to_lists(require_vectors(vectors))


def find_sizes(vectors: pa.Array) -> pa.Array:
    """Return the width of each vector."""
    width = vector_widths(require_vectors(vectors))
    return pa.array(width.astype(np.int32), mask=width < 0)


def find_argmax(vectors: pa.Array) -> pa.Array:
    """Return the position of the first greatest number of each vector, counting the zeros that sparse vectors leave out.

    The result is that of Spark's ``DenseVector.argmax`` for both kinds: -1 for width 0; NaN counts only in the first position.
    """
    known = split_vectors(require_vectors(vectors))
    stored = np.flatnonzero(known.counts)
    first_gap = _find_first_gaps(known)
    result = np.where(known.widths == 0, -1, first_gap)
    if len(stored):
        values = np.where(np.isnan(known.values), -np.inf, known.values)
        starts = known.starts[:-1][stored]
        greatest = np.maximum.reduceat(values, starts)
        hits = np.flatnonzero(values == np.repeat(greatest, known.counts[stored]))
        position = known.columns[hits[np.searchsorted(hits, starts)]]
        gap, width = first_gap[stored], known.widths[stored]
        is_gap = (gap < width) & ((greatest < 0) | ((greatest == 0) & (gap < position)))
        position = np.where(is_gap, gap, position)
        nan_first = np.isnan(known.values[starts]) & (known.columns[starts] == 0)
        result[stored] = np.where(nan_first, 0, position)
    return pa.array(result.astype(np.int32), mask=known.null)


def concatenate(lists: pa.Array) -> pa.Array:
    """Return the vectors of each array, one after the other; null when one of them is null.

    As ``VectorAssembler`` does, whatever the kinds of the parts: the result is sparse if ``1.5 * nonzero + 2`` is less than
    its width, else dense.
    """
    vectors, counts = split_lists(lists)
    if pa.types.is_null(vectors.type):
        vectors = pa.nulls(len(vectors), SPARK_VECTOR_TYPE)
    elif not is_vector(vectors.type):
        raise WrongType(lists.type)
    rows = np.repeat(np.arange(len(lists)), counts)
    null = find_nulls(lists)
    null[rows[find_nulls(vectors)]] = True
    if null[rows].any():
        vectors, counts = vectors.filter(pa.array(~null[rows])), np.where(null, 0, counts)
    return _concatenate(split_vectors(vectors), to_starts(counts), null)


def _concatenate(known: VectorColumns, bounds: Integers, null: Flags) -> pa.Array:
    """Return n vectors; the i-th one is made of the vectors ``bounds[i]`` to ``bounds[i + 1]``, which must not be null."""
    begins = to_starts(known.widths)
    width = np.diff(begins[bounds])
    if len(width) and width.max() > _MAX_SIZE:
        raise DataError(f"expected a vector of at most {_MAX_SIZE} numbers, got {width.max()} together")
    starts = known.starts[bounds]
    nonzero = known.values != 0
    before = to_starts(nonzero)
    counts = np.diff(before[starts])
    sparse = (1.5 * counts + 2 < width) & ~null
    if not sparse.any() and not known.sparse.any():
        return join_vectors(VectorColumns(sparse, null, width, starts, known.columns, known.values))
    out_starts = to_starts(np.where(sparse, counts, width))
    rows = np.repeat(np.arange(len(width)), np.diff(starts))[nonzero]
    shift = begins[:-1] - np.repeat(begins[bounds[:-1]], np.diff(bounds))
    columns = (known.columns + np.repeat(shift, known.counts))[nonzero]
    position = np.where(sparse[rows], np.arange(len(rows)) - before[starts][rows], columns) + out_starts[rows]
    values, indices = np.zeros(out_starts[-1]), np.zeros(out_starts[-1], np.int64)
    values[position], indices[position] = known.values[nonzero], columns
    return join_vectors(VectorColumns(sparse, null, width, out_starts, indices, values))


def _find_first_gaps(known: VectorColumns) -> Integers:
    """Return the first position of each vector at which no number is stored, shape (n,); the width for vectors without gap."""
    moved = np.concatenate((np.flatnonzero(known.columns != positions_in_rows(known.starts)), known.starts[-1:]))
    nearest = moved[np.searchsorted(moved, known.starts[:-1])]
    gap: Integers = np.minimum(nearest - known.starts[:-1], known.counts)
    return gap


def to_starts(counts: np.ndarray[Any, Any]) -> Integers:
    """Return where each row begins and the last one ends, shape (n + 1,), given the number of values of each row."""
    return np.concatenate(([0], np.cumsum(counts)))


def find_nulls(column: pa.Array) -> Flags:
    """Return which rows are null, shape (n,)."""
    flags: Flags = np.array(column.is_null(), dtype=bool)
    return flags


def require_vectors(column: pa.Array) -> pa.StructArray:
    """Return the column, which must contain vectors; an untyped ``null`` is a null vector."""
    if pa.types.is_null(column.type):
        return pa.nulls(len(column), SPARK_VECTOR_TYPE)
    if not is_vector(column.type):
        raise WrongType(column.type)
    return column


def split_lists(lists: pa.Array) -> tuple[pa.Array, Integers]:
    """Return all elements of an array column, and the number of elements of each row, shape (n,); a null array has none."""
    if pa.types.is_null(lists.type):
        return lists.slice(0, 0), np.zeros(len(lists), np.int64)
    if not (pa.types.is_list(lists.type) or pa.types.is_large_list(lists.type)):
        raise WrongType(lists.type)
    counts = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False).astype(np.int64)
    return lists.flatten(), counts


def to_doubles(column: pa.Array, argument: pa.DataType) -> Doubles:
    """Return numbers of any type as doubles, shape (n,), rounded as Spark's own cast rounds; ``argument`` is for the error."""
    kind = column.type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind) or pa.types.is_null(kind)):
        raise WrongType(argument)
    if column.null_count:
        raise DataError(
            "expected numbers, got null among them; give each a value, for example coalesce(x, 0.0), or leave these rows out"
        )
    if pa.types.is_decimal(kind):
        column = pc.cast(column, pa.string())  # Arrow's own cast from decimal to double errs in the last bit
    return np.asarray(pc.cast(column, pa.float64(), safe=False).to_numpy(zero_copy_only=False))


def to_integers(column: pa.Array, argument: str) -> Integers:
    """Return integers of any type, shape (n,), 0 for null."""
    if not (pa.types.is_integer(column.type) or pa.types.is_null(column.type)):
        got = name_type(column.type)
        raise DataError(f"expected int for {argument}, got {got}; write cast(... as int) if it is whole")
    return np.asarray(pc.fill_null(pc.cast(column, pa.int64()), 0).to_numpy(zero_copy_only=False))


def _to_sizes(column: pa.Array, null: Flags) -> Integers:
    """Return sizes of vectors, shape (n,), 0 where ``null``."""
    size: Integers = np.where(null, 0, to_integers(column, "the size"))
    wrong = size[(size < 0) | (size > _MAX_SIZE)]
    if len(wrong):
        raise DataError(f"expected a size from 0 to {_MAX_SIZE}, got {wrong[0]}")
    return size


def _check_range(indices: Integers, sizes: Integers, advice: str) -> None:
    wrong = np.flatnonzero((indices < 0) | (indices >= sizes))
    if len(wrong):
        index, size = indices[wrong[0]], sizes[wrong[0]]
        raise DataError(f"expected an index from 0 to size - 1, got {index} for size {size}; {advice}")
