"""Warnings that a model repeats for every batch or row, such as scikit-learn's about names of features: each is shown once.

Python's own filter for this forgets what it has shown whenever a library changes the filters for a moment.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_MOST = 1000  # of a process: texts may differ in numbers
_shown: set[tuple[type[Warning], str]] = set()


@contextmanager
def show_once() -> Iterator[None]:
    """Do as :func:`show_once_from_here` while the block runs."""
    before = warnings.showwarning
    show_once_from_here()
    try:
        yield
    finally:
        warnings.showwarning = before


def show_once_from_here() -> None:
    """From here on, show a warning only if this process has not shown it yet; if flags choose what to show, change nothing."""
    if sys.warnoptions:
        return
    before = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *where: Any) -> None:
        key = (category, str(message))
        if key not in _shown and len(_shown) < _MOST:
            _shown.add(key)
            before(message, category, *where)

    warnings.showwarning = show  # type: ignore[assignment]  # its stubs name every parameter
