"""Whether a function answered the same rows with the same vectors, asked in two ways.

Networks compute in single precision, and their libraries add up in another order for another number of rows or threads. Where
large terms cancel, few of the seven digits are left to compare. How large the terms are, the greatest answer of a column tells.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from mlsql_runtime.feed.decoding.vectors import to_dense, vector_widths

Matrix = np.ndarray[Any, np.dtype[np.float64]]
TOLERANCE = 1e-3  # of the greatest number of a column; measured: up to 4e-5, by a network of eight layers on unscaled data
NOISE = 1e-8  # differences that are none, as of columns that hold only what rounding left
EXACT = 2.0**22  # a column of whole numbers up to here is of classes, counts, places; beyond, single precision knows no others


def first_difference(here: pa.StructArray, there: pa.StructArray) -> int | None:
    """The first row that is answered differently, or None. Both of shape (n,), vectors of any widths and kinds, null for null."""
    widths_here, widths_there = vector_widths(here), vector_widths(there)
    differs = widths_here != widths_there
    for width in np.unique(widths_here[~differs & (widths_here >= 0)]).tolist():
        rows = np.flatnonzero(~differs & (widths_here == width))
        a, b = (to_dense(answers.take(pa.array(rows)), width) for answers in (here, there))
        differs[rows] = ~_same(a, b).all(axis=1)
    return int(differs.argmax()) if differs.any() else None


def _same(
    a: np.ndarray[tuple[int, int], np.dtype[np.float64]], b: np.ndarray[tuple[int, int], np.dtype[np.float64]]
) -> np.ndarray:
    """Number by number, shape (n, width)."""
    whole = ((a == np.rint(a)) & (b == np.rint(b)) & (np.abs(a) <= EXACT)).all(axis=0)
    scale = np.where(np.isfinite(a), np.abs(a), 0.0).max(axis=0)
    return np.where(whole, a == b, np.isclose(a, b, rtol=0.0, atol=np.maximum(TOLERANCE * scale, NOISE), equal_nan=True))
