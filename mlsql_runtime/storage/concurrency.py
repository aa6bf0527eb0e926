"""Read many small documents of a storage, several at a time if each costs a request."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from mlsql_runtime.storage.location import Location

REQUESTS = 16  # at the same time
T = TypeVar("T")
R = TypeVar("R")


def map_reads(root: Location, read: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """Return ``read`` of each item, in their order; each call sends requests to the storage of ``root``."""
    if root.is_local or len(items) < 2:
        return [read(item) for item in items]
    with ThreadPoolExecutor(min(REQUESTS, len(items))) as pool:
        return list(pool.map(read, items))
