"""Which rows of a stored table are held out: chosen by their numbers, so that every process that counts them chooses the same.

A row's draw is the 64-bit mix of its number, as in SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number
generators, OOPSLA 2014), as a fraction of 2^64. A row is held out if its draw is below the fraction to hold out, or, if
that is to be the fraction of each class, if its draw is one of the smallest of its class.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mlsql_runtime.errors import DataError
from mlsql_runtime.feed.table_facts import HOLD_OUT_SEED

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlsql_runtime.feed.originals.table import RowPart

_CHUNK = 1 << 20  # rows that are counted at a time


def mark_rows(part: RowPart, first: int, count: int, labels: pa.Array | None = None) -> NDArray[np.bool_]:
    """Return which rows are in a part of a table, shape (count,).

    :param first: the number of the first row.
    :param labels: of the rows; only needed if the part has strata.
    :raises DataError: when a label is none of the classes.
    """
    draws = draw_rows(first, count)
    held: NDArray[np.bool_] = draws < part.fraction
    if part.strata is not None:
        assert labels is not None
        classes = pc.index_in(with_one_zero(labels), with_one_zero(pa.array(part.strata.classes, labels.type)))
        if classes.null_count:
            raise DataError("a label of the table is new: the table was changed while it was trained from; run the task again")
        held = draws <= np.array(part.strata.lasts)[classes.to_numpy()]
    return held if part.is_held_out else ~held


def with_one_zero(labels: pa.Array) -> pa.Array:
    """Return labels with 0.0 for -0.0, which Arrow takes for another value, and Spark and Python do not."""
    return pc.add(labels, pa.scalar(0.0, labels.type)) if pa.types.is_floating(labels.type) else labels


def count_held_out(fraction: float, rows: int) -> int:
    """Return how many rows of a table are held out."""
    starts = range(0, rows, _CHUNK)
    return sum(int(np.count_nonzero(draw_rows(first, min(_CHUNK, rows - first)) < fraction)) for first in starts)


def draw_rows(first: int, count: int) -> NDArray[np.float64]:
    """Return the draw of each row, shape (count,), at least 0 and below 1."""
    mixed = np.arange(first, first + count, dtype=np.uint64) + np.uint64(HOLD_OUT_SEED)
    mixed *= np.uint64(0x9E3779B97F4A7C15)
    mixed ^= mixed >> np.uint64(30)
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> np.uint64(27)
    mixed *= np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return np.asarray((mixed >> np.uint64(11)) * 2.0**-53, np.float64)
