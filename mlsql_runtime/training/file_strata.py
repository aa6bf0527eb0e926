"""Hold out the same fraction of each class of a stored table's rows, which nobody copies: exactly, in two looks at the labels.

As in :mod:`mlsql_runtime.training.stratified`, of a class with n rows those with the k smallest draws are held out; here the
draw of a row follows from its number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from mlsql_runtime.feed.originals.held_out import draw_rows, with_one_zero
from mlsql_runtime.feed.originals.table import Strata
from mlsql_runtime.parquet_queries.row_groups import BATCH_ROWS, read_piece
from mlsql_runtime.store.signature import MAX_CLASSES, Class
from mlsql_runtime.training.file_facts import NumberedPiece, map_pieces, select_columns
from mlsql_runtime.training.stratified import RANGES, check_classes, count_held_out, find_range

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray
    from pyspark.sql import SparkSession

_Counts = dict[Class | None, "NDArray[np.int64]"]
_Draws = dict[Class | None, "NDArray[np.float64]"]


def find_strata(
    pieces: Sequence[NumberedPiece],
    column: tuple[int, pa.DataType],
    name: str,
    place: int,
    fraction: float,
    spark: SparkSession,
) -> tuple[Strata, int]:
    """Return which draws of each class are held out, and the number of rows that they are.

    :param column: the number and the type of the label column.
    :param name: of the label column, for errors.
    :param place: of the label column in the table.
    :raises DataError: when the label column holds nulls or NaN, or has too many classes.
    """
    wanted = select_columns(pieces, frozenset({column[0]}))
    counts: _Counts = {}
    for found in map_pieces(wanted, partial(_count, column=column), spark):
        for label, ranges in found.items():
            counts[label] = counts[label] + ranges if label in counts else ranges
        check_classes(name, len(counts), nulls=0)
    check_classes(name, len(counts), nulls=sum(int(each.sum()) for label, each in counts.items() if _is_missing(label)))
    ranks: dict[Class, tuple[int, int]] = {}
    held = 0
    for label, ranges in counts.items():
        assert label is not None
        rank = count_held_out(int(ranges.sum()), fraction)
        held += rank
        ranks[label] = find_range({at: int(count) for at, count in enumerate(ranges) if count}, rank)
    draws: dict[Class, list[NDArray[np.float64]]] = {label: [] for label in ranks}
    for candidates in map_pieces(wanted, partial(_choose, column=column, ranks=ranks), spark):
        for label, each in candidates.items():
            assert label is not None
            draws[label].append(each)
    lasts = [float(np.sort(np.concatenate(draws[label]))[rank - 1]) if rank else -1.0 for label, (_, rank) in ranks.items()]
    return Strata(label=place, classes=tuple(ranks), lasts=tuple(lasts)), held


def _is_missing(label: Class | None) -> bool:
    return label is None or label != label


def _read(numbered: NumberedPiece, column: tuple[int, pa.DataType]) -> Iterator[tuple[list[Any], NDArray[Any], NDArray[Any]]]:
    """Yield the classes of a batch, the index of the class of each row, and the draw of each row."""
    first = numbered.first
    for rows in read_piece(numbered.piece, numbered.place, {column[0]: column[1]}, BATCH_ROWS):
        encoded = with_one_zero(rows.columns[column[0]]).dictionary_encode(null_encoding="encode")
        yield encoded.dictionary.to_pylist(), encoded.indices.to_numpy(), draw_rows(first, rows.count)
        first += rows.count


def _count(numbered: NumberedPiece, column: tuple[int, pa.DataType]) -> _Counts:
    """Return for each class how many of its draws are in each range; for too many classes, some of them."""
    counts: _Counts = {}
    for labels, indices, draws in _read(numbered, column):
        ranges = (draws * RANGES).astype(np.int64)
        for at, label in enumerate(labels):
            key = None if _is_missing(label) else label
            found = np.bincount(ranges[indices == at], minlength=RANGES)
            counts[key] = counts[key] + found if key in counts else found
            if len(counts) > MAX_CLASSES + 1:
                return counts
    return counts


def _choose(numbered: NumberedPiece, column: tuple[int, pa.DataType], ranks: Mapping[Class, tuple[int, int]]) -> _Draws:
    """Return the draws of each class that are in its range."""
    chosen: dict[Class | None, list[NDArray[np.float64]]] = {}
    for labels, indices, draws in _read(numbered, column):
        ranges = (draws * RANGES).astype(np.int64)
        for at, label in enumerate(labels):
            is_candidate = (indices == at) & (ranges == ranks[label][0])
            chosen.setdefault(label, []).append(draws[is_candidate])
    return {label: np.concatenate(each) for label, each in chosen.items()}
