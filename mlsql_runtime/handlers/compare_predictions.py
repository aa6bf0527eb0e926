"""Compare the predictions of a function for the same rows, computed in two ways.

Networks compute in single precision, and their libraries add in another order for another number of rows or threads. Where
large terms cancel, few of the seven digits remain to compare: the tolerance is relative to the largest prediction of a column.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from mlsql_runtime.feed.decoding.vectors import to_dense, vector_widths

Matrix = np.ndarray[tuple[int, int], np.dtype[np.float64]]
TOLERANCE = 1e-3  # of the largest number of a column; measured: up to 4e-5, by a network of eight layers on unscaled data
NOISE = 1e-8  # a smaller difference is rounding, as in columns of nothing but rounding errors
EXACT = 2.0**22  # whole numbers up to here are classes, counts or indices; single precision is not exact beyond


def first_difference(first: pa.StructArray, second: pa.StructArray) -> int | None:
    """Return the index of the first row whose predictions differ, or None.

    :param first: vectors of any widths and kinds, null for no prediction, shape (n,); ``second`` likewise.
    """
    widths, other_widths = vector_widths(first), vector_widths(second)
    differs = widths != other_widths
    for width in np.unique(widths[~differs & (widths >= 0)]).tolist():
        rows = np.flatnonzero(~differs & (widths == width))
        a, b = (to_dense(vectors.take(pa.array(rows)), width) for vectors in (first, second))
        differs[rows] = ~_is_same(a, b).all(axis=1)
    return int(differs.argmax()) if differs.any() else None


def _is_same(a: Matrix, b: Matrix) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Compare number by number, shape (n, width)."""
    is_whole = ((a == np.rint(a)) & (b == np.rint(b)) & (np.abs(a) <= EXACT)).all(axis=0)
    scale = np.where(np.isfinite(a), np.abs(a), 0.0).max(axis=0)
    return np.where(is_whole, a == b, np.isclose(a, b, rtol=0.0, atol=np.maximum(TOLERANCE * scale, NOISE), equal_nan=True))
