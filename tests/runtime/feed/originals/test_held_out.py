from __future__ import annotations

import numpy as np
import pytest

from mlsql_runtime.feed.originals.held_out import count_held_out, mark_rows
from mlsql_runtime.feed.originals.table import RowPart


@pytest.mark.parametrize("fraction", [0.001, 0.2, 0.5, 0.999])
def test_each_row_is_in_one_part_whatever_is_read_at_a_time(fraction: float) -> None:
    rows = 100_000
    held = mark_rows(RowPart(fraction=fraction, is_held_out=True), 0, rows)
    assert (held != mark_rows(RowPart(fraction=fraction), 0, rows)).all()
    pieces = [mark_rows(RowPart(fraction=fraction, is_held_out=True), start, 7919) for start in range(0, rows, 7919)]
    assert (np.concatenate(pieces)[:rows] == held).all()
    assert count_held_out(fraction, rows) == held.sum()
    assert abs(held.mean() - fraction) < 5 * (fraction * (1 - fraction) / rows) ** 0.5


def test_rows_beyond_a_chunk_are_counted_once() -> None:
    rows = (1 << 20) + 17
    assert count_held_out(0.3, rows) == mark_rows(RowPart(fraction=0.3, is_held_out=True), 0, rows).sum()


def test_draws_do_not_follow_the_numbers() -> None:
    held = mark_rows(RowPart(fraction=0.5, is_held_out=True), 0, 1 << 16)
    for step in (1, 2, 7, 8, 1000):
        assert abs(np.corrcoef(held[:-step], held[step:])[0, 1]) < 0.02
