"""Facts about the rows of Parquet files that nobody has written for this training: labels, and the width of feature vectors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial, reduce
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mlsql_runtime.feed.decoding.vectors import vector_widths
from mlsql_runtime.feed.originals.held_out import mark_rows
from mlsql_runtime.feed.originals.table import RowPart
from mlsql_runtime.feed.table_facts import one_width, order_classes
from mlsql_runtime.parquet_queries.row_groups import BATCH_ROWS, Piece, read_piece
from mlsql_runtime.spark_errors import errors_for_driver
from mlsql_runtime.store.signature import MAX_CLASS_LENGTH, MAX_CLASSES, Class

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from mlsql_runtime.storage.location import Location

SMALL = 32 << 20  # bytes of columns, before compression, that the driver reads itself rather than start tasks
_PIECES = 4  # tasks of each core, about
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Measured:
    """The columns to look at, by their numbers: the label, whether its values may be classes, and feature columns of vectors."""

    label: int | None
    has_classes: bool
    vectors: tuple[int, ...]
    kinds: Mapping[int, pa.DataType]

    @property
    def columns(self) -> frozenset[int]:
        return frozenset(self.vectors) | (frozenset() if self.label is None else {self.label})


@dataclass(frozen=True)
class LabelFacts:
    """Labels of some rows: ``nulls`` is their number. ``values`` has up to one more than there can be classes, or is None."""

    nulls: int = 0
    values: frozenset[Class] | None = frozenset()

    def __add__(self, other: LabelFacts) -> LabelFacts:
        both = None if self.values is None or other.values is None else self.values | other.values
        return LabelFacts(self.nulls + other.nulls, both if both is None or len(both) <= MAX_CLASSES else None)

    @property
    def classes(self) -> tuple[Class, ...] | None:
        """All labels in ascending order, as a signature has them; None if they are no classes."""
        return order_classes(self.values) if self.values is not None else None


@dataclass(frozen=True)
class PartFacts:
    """Facts about the rows of a part. ``widths`` are the least and the greatest width of the vectors of each feature column."""

    label: LabelFacts = field(default_factory=LabelFacts)
    widths: Mapping[int, tuple[int, int]] = field(default_factory=dict)

    def __add__(self, other: PartFacts) -> PartFacts:
        widths = dict(self.widths)
        for number, (low, high) in other.widths.items():
            known = widths.get(number, (low, high))
            widths[number] = min(low, known[0]), max(high, known[1])
        return PartFacts(self.label + other.label, widths)

    def find_width(self, names: Mapping[int, str]) -> int | None:
        """Return the width of the vectors if there is one feature column of them.

        :param names: of the feature columns.
        :raises DataError: when vectors of a column differ in width.
        """
        found = [one_width(name, *self.widths[number]) for number, name in names.items() if number in self.widths]
        return found[0] if len(found) == 1 else None


@dataclass(frozen=True)
class NumberedPiece:
    """A row group, where it is, and the number of its first row in the table."""

    piece: Piece
    place: Location
    first: int


def measure_parts(
    pieces: Sequence[NumberedPiece], measured: Measured, parts: Sequence[RowPart], spark: SparkSession
) -> list[PartFacts]:
    """Return the facts about each part of the rows.

    :raises DataError: when a file is damaged, or is not the one whose footer was read.
    """
    if not measured.columns:
        return [PartFacts() for _ in parts]
    found = map_pieces(select_columns(pieces, measured.columns), partial(_measure, measured=measured, parts=parts), spark)
    return [reduce(PartFacts.__add__, each) for each in zip(*found, strict=True)]


def map_pieces(pieces: Sequence[NumberedPiece], look: Callable[[NumberedPiece], T], spark: SparkSession) -> list[T]:
    """Return what ``look`` returns for each piece. Small columns are read here, others by tasks."""
    if sum(each.piece.uncompressed for each in pieces) <= SMALL:
        return [look(each) for each in pieces]
    context = spark.sparkContext
    tasks = context.parallelize(pieces, min(len(pieces), _PIECES * context.defaultParallelism))

    def run(each: NumberedPiece) -> T:
        with errors_for_driver():
            return look(each)

    return list(tasks.map(run).collect())


def select_columns(pieces: Sequence[NumberedPiece], columns: frozenset[int]) -> list[NumberedPiece]:
    """Return the pieces with these columns only."""
    selected = []
    for numbered in pieces:
        piece = numbered.piece
        names = {number: name for number, name in piece.names.items() if number in columns}
        size = sum(piece.column_bytes.get(name, 0) for name in set(names.values()))
        selected.append(replace(numbered, piece=replace(piece, names=names, uncompressed=size)))
    return selected


def _measure(numbered: NumberedPiece, measured: Measured, parts: Sequence[RowPart]) -> list[PartFacts]:
    """Return the facts about the rows of a piece that are in each part."""
    found = [PartFacts() for _ in parts]
    kinds = {number: measured.kinds[number] for number in measured.columns}
    first = numbered.first
    for rows in read_piece(numbered.piece, numbered.place, kinds, BATCH_ROWS):
        for place, part in enumerate(parts):
            labels = None if measured.label is None else rows.columns[measured.label]
            chosen = rows if part.is_whole else rows.filter(pa.array(mark_rows(part, first, rows.count, labels)))
            if chosen.count:
                label = LabelFacts() if measured.label is None else _look_at(chosen.columns[measured.label], measured.has_classes)
                widths = {number: _find_widths(chosen.columns[number]) for number in measured.vectors}
                found[place] += PartFacts(label, {number: each for number, each in widths.items() if each is not None})
        first += rows.count
    return found


def _look_at(labels: pa.Array, has_classes: bool) -> LabelFacts:
    is_text = pa.types.is_string(labels.type)
    if not has_classes or (is_text and (pc.max(pc.utf8_length(labels)).as_py() or 0) > MAX_CLASS_LENGTH):
        return LabelFacts(labels.null_count, None)
    values = pc.unique(labels).drop_null()
    return LabelFacts(labels.null_count, frozenset(values.to_pylist()) if len(values) <= MAX_CLASSES else None)


def _find_widths(vectors: pa.StructArray) -> tuple[int, int] | None:
    widths = vector_widths(vectors)
    known = widths[widths >= 0]
    return (int(np.min(known)), int(np.max(known))) if len(known) else None
