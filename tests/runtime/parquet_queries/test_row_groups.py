"""Parquet files in pieces: row groups, read a few megabytes at a time."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mlsql_runtime.errors import DataError
from mlsql_runtime.parquet_queries.row_groups import BATCH_BYTES, DataFile, Piece, find_pieces, pack_tasks, read_piece
from mlsql_runtime.storage.location import Location


def test_a_file_that_changes_in_between_is_named(tmp_path: Path) -> None:
    target = tmp_path / "a.parquet"
    pq.write_table(pa.table({"x": [1.0, 2.0]}), target)
    place = Location.of(str(target))
    columns = {1: ("x", pa.float64())}
    found = find_pieces([(DataFile(str(target), {}), place)], columns, is_case_sensitive=False, reads_ancient_times=True)
    assert [rows.columns[1].to_pylist() for rows in read_piece(found[0], place, {1: pa.float64()}, 1000)] == [[1.0, 2.0]]
    pq.write_table(pa.table({"x": [1.0, 2.0, 3.0]}), target)
    with pytest.raises(DataError, match=r"a\.parquet was changed while it was read: its row group 0 had 2 rows, now 3"):
        list(read_piece(found[0], place, {1: pa.float64()}, 1000))
    target.write_bytes(target.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"a\.parquet cannot be read: "):
        list(read_piece(found[0], place, {1: pa.float64()}, 1000))


def test_what_is_big_in_memory_comes_in_parts(tmp_path: Path) -> None:
    target = tmp_path / "a.parquet"
    pq.write_table(pa.table({"x": ["x" * 100_000] * 1000}), target)
    place = Location.of(str(target))
    [piece] = find_pieces(
        [(DataFile(str(target), {}), place)], {1: ("x", pa.string())}, is_case_sensitive=False, reads_ancient_times=True
    )
    parts = list(read_piece(piece, place, {1: pa.string()}, 10_000))
    assert sum(rows.count for rows in parts) == 1000
    assert max(rows.columns[1].nbytes for rows in parts) < 2 * BATCH_BYTES
    assert [rows.count for rows in read_piece(piece, place, {1: pa.string()}, 300)] == [300, 300, 300, 100]


@pytest.mark.parametrize(
    ("sizes", "cores", "expected"), [((100,) * 4, 2, 2), ((100,), 8, 1), ((101, 100, 100), 2, 2), ((1 << 30,) * 3, 2, 3)]
)
def test_row_groups_are_shared_among_tasks(sizes: tuple[int, ...], cores: int, expected: int) -> None:
    pieces = [Piece(DataFile("f", {}), number, 1, size, size, {}) for number, size in enumerate(sizes)]
    tasks = pack_tasks(pieces, cores, 128 << 20, 4 << 20)
    assert len(tasks) == expected
    assert sorted(piece.group for task in tasks for piece in task) == list(range(len(sizes)))


def test_row_groups_of_which_no_bytes_are_read_get_a_task_too() -> None:
    pieces = [Piece(DataFile("f", {}), number, 1, 0, 0, {}) for number in range(3)]
    assert sorted(map(len, pack_tasks(pieces, 2, 128 << 20, 0))) == [1, 2]
    assert pack_tasks([], 2, 128 << 20, 0) == []


def test_cores_are_done_with_their_row_groups_at_the_same_time() -> None:
    pieces = [Piece(DataFile("f", {}), number, 1, 30 << 20, 30 << 20, {}) for number in range(20)]
    assert sorted(map(len, pack_tasks(pieces, 2, 128 << 20, 4 << 20))) == [3, 3, 3, 3, 4, 4]
    one_is_big = [*pieces[:4], dataclasses.replace(pieces[4], size=100 << 20)]
    assert sorted(map(len, pack_tasks(one_is_big, 2, 128 << 20, 4 << 20))) == [1, 4]
