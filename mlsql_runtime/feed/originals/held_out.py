"""Which rows of a stored table are held out: chosen by their numbers, so that every process that counts them chooses the same.

A row's draw is the 64-bit mix of its number, as in SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number
generators, OOPSLA 2014), as a fraction of 2^64. A row is held out if its draw is below the fraction to hold out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mlsql_runtime.feed.table_facts import HOLD_OUT_SEED

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlsql_runtime.feed.originals.table import RowPart

_CHUNK = 1 << 20  # rows that are counted at a time


def mark_rows(part: RowPart, first: int, count: int) -> NDArray[np.bool_]:
    """Return which rows are in a part of a table, shape (count,).

    :param first: the number of the first row.
    """
    held: NDArray[np.bool_] = _draw(first, count) < part.fraction
    return held if part.is_held_out else ~held


def count_held_out(fraction: float, rows: int) -> int:
    """Return how many rows of a table are held out."""
    starts = range(0, rows, _CHUNK)
    return sum(int(np.count_nonzero(_draw(first, min(_CHUNK, rows - first)) < fraction)) for first in starts)


def _draw(first: int, count: int) -> NDArray[np.float64]:
    """Return the draw of each row, shape (count,), at least 0 and below 1."""
    mixed = np.arange(first, first + count, dtype=np.uint64) + np.uint64(HOLD_OUT_SEED)
    mixed *= np.uint64(0x9E3779B97F4A7C15)
    mixed ^= mixed >> np.uint64(30)
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> np.uint64(27)
    mixed *= np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return np.asarray((mixed >> np.uint64(11)) * 2.0**-53, np.float64)
