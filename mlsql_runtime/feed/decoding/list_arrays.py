"""Arrays that scripts of MLSQL can use as the lists that its functions returned."""

from __future__ import annotations

from typing import Any

import numpy as np


class ListArray(np.ndarray[Any, Any]):
    """A view of an ndarray that is true when it has rows. Its rows have ``toArray()``, which labels of vectors had.

    What is calculated from it, and its pickle, is a plain ndarray.
    """

    def __bool__(self) -> bool:
        return self.size > 0 if self.ndim else bool(self.item())

    def toArray(self) -> np.ndarray[Any, Any]:  # noqa: N802 - PySpark's name
        """Return the plain ndarray."""
        return np.asarray(self)

    def __array_wrap__(self, array: Any, context: Any = None, return_scalar: bool = False) -> Any:
        return np.asarray(array)[()]

    def __reduce__(self) -> Any:
        return np.asarray, (np.asarray(self),)
