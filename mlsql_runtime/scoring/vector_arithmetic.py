"""What MLSQL's functions compute with the numbers of vectors: whole Arrow columns in, one of the same length out, null for null.

A column of vectors is one long row of numbers here: the number at place i of vector k has the position ``begins[k] + i``. Only
stored numbers take memory. Two sparse vectors give a sparse one, any others a dense one. Overflows and divisions by zero give
infinity or NaN, as in Java; the caller turns off NumPy's warnings of them.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mlsql_runtime.errors import DataError
from mlsql_runtime.feed.decoding.vectors import VectorColumns, join_vectors, split_vectors
from mlsql_runtime.scoring.vector_operations import (
    Doubles,
    Flags,
    Integers,
    WrongType,
    find_nulls,
    require_vectors,
    split_lists,
    to_doubles,
    to_integers,
    to_starts,
)

Operation = Callable[[Any, Any], Any]


def combine(operation: Operation) -> Callable[[pa.Array, pa.Array], pa.Array]:
    """Return a function that combines two vectors of one width, number by number.

    Numbers that neither of two sparse vectors stores stay zero.
    """

    def compute(left: pa.Array, right: pa.Array) -> pa.Array:
        first, second, null = _require_pairs(left, right)
        positions, a, b = _align(first, second)
        values = operation(a, b)
        begins = to_starts(first.widths)
        starts = np.searchsorted(positions, begins)
        rows = np.repeat(np.arange(len(null)), np.diff(starts))
        return join_vectors(
            VectorColumns(first.sparse & second.sparse, null, first.widths, starts, positions - begins[rows], values)
        )

    return compute


def find_squared_distances(left: pa.Array, right: pa.Array) -> pa.Array:
    """Return the squared Euclidean distance of two vectors of one width."""
    first, second, null = _require_pairs(left, right)
    positions, a, b = _align(first, second)
    return pa.array(_sum(_rows_at(positions, first), (a - b) ** 2, len(null)), mask=null)


def find_cosines(left: pa.Array, right: pa.Array) -> pa.Array:
    """Return the cosine of the angle between two vectors; 0 if their widths differ, or are 0; NaN for a vector of zeros."""
    null = find_nulls(left) | find_nulls(right)
    first, second = (_drop(split_vectors(require_vectors(each)), null) for each in (left, right))
    differ = first.widths != second.widths
    first, second = _drop(first, differ), _drop(second, differ)
    positions, a, b = _align(first, second)
    rows = _rows_at(positions, first)
    lengths = np.sqrt(_sum(rows, a * a, len(null))) * np.sqrt(_sum(rows, b * b, len(null)))
    cosines = _sum(rows, a * b, len(null)) / lengths
    return pa.array(np.where(differ | (first.widths == 0), 0.0, cosines), mask=null)


def find_norms(vectors: pa.Array, degrees: pa.Array) -> pa.Array:
    """Return the norm of each vector: the sum of the numbers' powers, and its root; the greatest one for infinity.

    :raises DataError: for a degree below 1.
    """
    known, degree = split_vectors(require_vectors(vectors)), _to_numbers(degrees, "the degree")
    null = known.null | find_nulls(degrees)
    wrong = degree[~null & ~(degree >= 1)]
    if len(wrong):
        raise DataError(f"expected a degree of at least 1, got {wrong[0]}; write 2.0 for the length of a vector")
    rows, sizes = _rows_of(known), np.abs(known.values)
    finite = np.where(np.isfinite(degree) & ~null, degree, 1.0)
    sums = _sum(rows, sizes ** finite[rows], len(null))
    norms = np.where(finite == 2, np.sqrt(sums), sums ** (1 / finite))
    greatest = np.zeros(len(null))
    np.maximum.at(greatest, rows, sizes)
    return pa.array(np.where(np.isinf(degree), greatest, norms), mask=null)


def find_means(vectors: pa.Array) -> pa.Array:
    """Return the mean of each vector's numbers; NaN for width 0."""
    known = split_vectors(require_vectors(vectors))
    return pa.array(_find_means(known), mask=known.null)


def find_deviations(vectors: pa.Array) -> pa.Array:
    """Return the standard deviation of each vector's numbers as a sample (divided by n - 1); 0 for fewer than two."""
    known = split_vectors(require_vectors(vectors))
    mean, rows = np.where(known.widths == 0, 0.0, _find_means(known)), _rows_of(known)
    zeros = known.widths - known.counts  # that sparse vectors leave out
    squares = _sum(rows, (known.values - mean[rows]) ** 2, len(mean)) + np.where(zeros == 0, 0.0, zeros * mean**2)
    return pa.array(np.sqrt(squares / np.maximum(known.widths - 1, 1)), mask=known.null)


def round_numbers(operation: Callable[[Any], Any]) -> Callable[[pa.Array], pa.Array]:
    """Return a function that changes each number of a vector, and zero to zero."""

    def compute(vectors: pa.Array) -> pa.Array:
        known = split_vectors(require_vectors(vectors))
        return join_vectors(known._replace(values=operation(known.values)))

    return compute


def add_number(vectors: pa.Array, numbers: pa.Array) -> pa.Array:
    """Return dense vectors with a number added to each of theirs."""
    known, number = split_vectors(require_vectors(vectors)), _to_numbers(numbers, "the number to add")
    starts = to_starts(known.widths)
    values = np.repeat(number, known.widths)
    values[np.repeat(starts[:-1], known.counts) + known.columns] += known.values
    null = known.null | find_nulls(numbers)
    dense = VectorColumns(np.zeros(len(null), bool), known.null, known.widths, starts, starts[:0], values)
    return join_vectors(_drop(dense, null))


def multiply_number(vectors: pa.Array, numbers: pa.Array) -> pa.Array:
    """Return vectors with each of their numbers multiplied by one."""
    known, number = split_vectors(require_vectors(vectors)), _to_numbers(numbers, "the factor")
    scaled = known._replace(values=known.values * number[_rows_of(known)])
    return join_vectors(_drop(scaled, known.null | find_nulls(numbers)))


def take_numbers(vectors: pa.Array, places: pa.Array) -> pa.Array:
    """Return vectors of the numbers at the places that an array lists, which count from 0; sparse vectors stay sparse."""
    null = find_nulls(vectors) | find_nulls(places)
    known = _drop(split_vectors(require_vectors(vectors)), null)
    wanted, counts = _to_places(places, null)
    rows = np.repeat(np.arange(len(null)), counts)
    outside = np.flatnonzero((wanted < 0) | (wanted >= known.widths[rows]))
    if len(outside):
        got, width = wanted[outside[0]], known.widths[rows][outside[0]]
        raise DataError(f"expected indices from 0 to the width - 1, got {got} for a vector of width {width}")
    begins = to_starts(known.widths)
    positions = begins[:-1][_rows_of(known)] + known.columns
    asked = begins[:-1][rows] + wanted
    at = np.minimum(np.searchsorted(positions, asked), max(len(positions) - 1, 0))
    is_stored = positions[at] == asked if len(positions) else np.zeros(len(asked), bool)
    values = np.where(is_stored, known.values[at] if len(positions) else 0.0, 0.0)
    kept = is_stored | ~known.sparse[rows]
    places_in_result = np.arange(len(rows)) - np.repeat(to_starts(counts)[:-1], counts)
    starts = to_starts(np.bincount(rows[kept], minlength=len(null)))
    return join_vectors(VectorColumns(known.sparse, null, counts, starts, places_in_result[kept], values[kept]))


def cut_range(vectors: pa.Array, bounds: pa.Array) -> pa.Array:
    """Return vectors of the numbers from one place up to another, which is left out; places beyond a vector mean its ends."""
    null = find_nulls(vectors) | find_nulls(bounds)
    known = _drop(split_vectors(require_vectors(vectors)), null)
    places, counts = _to_places(bounds, null)
    wrong = counts[~null & (counts != 2)]
    if len(wrong):
        raise DataError(f"expected the first place and the one behind the last, such as array(0, 2), got {wrong[0]} numbers")
    pairs = np.zeros((len(null), 2), np.int64)
    pairs[~null] = places.reshape(-1, 2)
    first = np.clip(pairs[:, 0], 0, known.widths)
    behind = np.maximum(np.clip(pairs[:, 1], 0, known.widths), first)
    rows = _rows_of(known)
    kept = (known.columns >= first[rows]) & (known.columns < behind[rows])
    starts = to_starts(np.bincount(rows[kept], minlength=len(null)))
    columns = (known.columns - first[rows])[kept]
    return join_vectors(VectorColumns(known.sparse, null, behind - first, starts, columns, known.values[kept]))


def join_numbers(separators: pa.Array, vectors: pa.Array) -> pa.Array:
    """Return the numbers of each vector as text, as Java writes them, with a separator between them."""
    kind = separators.type
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_null(kind)):
        raise WrongType(kind)
    known = split_vectors(require_vectors(vectors))
    starts = to_starts(known.widths)
    positions, begins = starts[:-1][_rows_of(known)] + known.columns, starts.tolist()
    texts = ["0.0"] * begins[-1]
    for position, value in zip(positions.tolist(), known.values.tolist(), strict=True):
        texts[position] = _write_number(value)
    null = known.null.tolist()
    return pa.array(
        [
            None if separator is None or null[row] else separator.join(texts[begins[row] : begins[row + 1]])
            for row, separator in enumerate(separators.to_pylist())
        ],
        pa.string(),
    )


def _write_number(value: float) -> str:
    """Return the text that Java's ``Double.toString`` gives, and so Spark's ``cast``."""
    if not np.isfinite(value):
        return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"
    if value == 0 or 1e-3 <= abs(value) < 1e7:
        return repr(value)
    sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    rest = "".join(map(str, digits[1:])) or "0"
    return f"{'-' if sign else ''}{digits[0]}.{rest}E{len(digits) - 1 + int(exponent)}"


def _require_pairs(left: pa.Array, right: pa.Array) -> tuple[VectorColumns, VectorColumns, Flags]:
    """Return two columns of vectors, empty where one of both is null, and where that is.

    :raises DataError: when two vectors are not of one width.
    """
    null = find_nulls(left) | find_nulls(right)
    first, second = (_drop(split_vectors(require_vectors(each)), null) for each in (left, right))
    wrong = np.flatnonzero(first.widths != second.widths)
    if len(wrong):
        raise DataError(f"expected vectors of one width, got widths {first.widths[wrong[0]]} and {second.widths[wrong[0]]}")
    return first, second, null


def _align(first: VectorColumns, second: VectorColumns) -> tuple[Integers, Doubles, Doubles]:
    """Return the positions that one of both stores, ascending, and the numbers of each there; widths are equal."""
    begins = to_starts(first.widths)
    at, other = (begins[:-1][_rows_of(each)] + each.columns for each in (first, second))
    if np.array_equal(at, other):
        return at, first.values, second.values
    positions = np.union1d(at, other)
    a, b = np.zeros(len(positions)), np.zeros(len(positions))
    a[np.searchsorted(positions, at)] = first.values
    b[np.searchsorted(positions, other)] = second.values
    return positions, a, b


def _rows_at(positions: Integers, known: VectorColumns) -> Integers:
    begins = to_starts(known.widths)
    return np.repeat(np.arange(len(known.widths)), np.diff(np.searchsorted(positions, begins)))


def _rows_of(known: VectorColumns) -> Integers:
    """Return the row of each stored number."""
    return np.repeat(np.arange(len(known.widths)), known.counts)


def _sum(rows: Integers, values: Doubles, count: int) -> Doubles:
    return np.bincount(rows, weights=values, minlength=count).astype(np.float64, copy=False)


def _find_means(known: VectorColumns) -> Doubles:
    mean: Doubles = _sum(_rows_of(known), known.values, len(known.widths)) / known.widths
    return mean


def _drop(known: VectorColumns, dropped: Flags) -> VectorColumns:
    """Return the vectors with some of them null, which store nothing."""
    if not dropped.any():
        return known
    rows = _rows_of(known)
    kept = ~dropped[rows]
    starts = to_starts(np.where(dropped, 0, known.counts))
    columns = known.columns[kept] if len(known.columns) else known.columns
    widths = np.where(dropped, 0, known.widths)
    return VectorColumns(known.sparse & ~dropped, known.null | dropped, widths, starts, columns, known.values[kept])


def _to_numbers(column: pa.Array, what: str) -> Doubles:
    """Return one number for each row, NaN for null."""
    if pa.types.is_null(column.type):
        return np.full(len(column), np.nan)
    if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type) or pa.types.is_decimal(column.type)):
        raise WrongType(column.type)
    known = np.full(len(column), np.nan)
    known[~find_nulls(column)] = to_doubles(column.drop_null(), column.type)
    return known


def _to_places(column: pa.Array, null: Flags) -> tuple[Integers, Integers]:
    """Return the integers of each array, and how many it has; none for a row that is null."""
    lists = pc.if_else(pa.array(null), pa.scalar(None, column.type), column)
    places, counts = split_lists(lists)
    if places.null_count:
        raise DataError("expected indices, got null among them; leave it out")
    return to_integers(places, "indices"), counts
