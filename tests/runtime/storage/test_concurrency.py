"""Reads of many documents: at the same time from remote storage, one after the other from the disk."""

from __future__ import annotations

import threading
from pathlib import Path

from mlsql_runtime.storage.concurrency import map_reads
from mlsql_runtime.storage.location import Location


def test_remote_reads_are_under_way_at_the_same_time_and_keep_their_order() -> None:
    both = threading.Barrier(2, timeout=60)

    def read(number: int) -> int:
        both.wait()
        return 2 * number

    assert map_reads(Location.of("memory://bucket/m"), read, [1, 2]) == [2, 4]


def test_local_reads_start_no_threads(tmp_path: Path) -> None:
    here = threading.get_ident()
    assert map_reads(Location.of(str(tmp_path)), lambda _: threading.get_ident(), [1, 2]) == [here, here]
