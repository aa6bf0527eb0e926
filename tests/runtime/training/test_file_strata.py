"""Of a stored table's rows the same fraction of each class is held out, whatever is read at a time."""

from __future__ import annotations

from collections import Counter
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mlsql_runtime.errors import DataError
from mlsql_runtime.feed.originals.held_out import mark_rows
from mlsql_runtime.feed.originals.table import RowPart, Strata
from mlsql_runtime.parquet_queries.row_groups import DataFile, find_pieces
from mlsql_runtime.storage.location import Location
from mlsql_runtime.training.file_facts import NumberedPiece
from mlsql_runtime.training.file_strata import find_strata
from mlsql_runtime.training.stratified import count_held_out

ROWS = 5000
LABELS: dict[str, tuple[Any, pa.DataType]] = {
    "text": (["rare", "some", "often é"], pa.string()),
    "numbers": ([0.0, -0.0, 2.0], pa.float64()),
    "whole": ([-1, 0, 7], pa.int8()),
    "flags": ([True, False, True], pa.bool_()),
}


def draw_labels(kind: str) -> pa.Array:
    values, arrow_type = LABELS[kind]
    places = np.random.default_rng(3).choice(3, ROWS, p=[0.003, 0.3, 0.697])
    return pa.array([values[place] for place in places], arrow_type)


def find(folder: Path, labels: pa.Array, fraction: float) -> tuple[Strata, int]:
    """Return the strata of labels that are in two files of several row groups."""
    files = []
    for name, part in (("a", labels.slice(0, 1700)), ("b", labels.slice(1700))):
        pq.write_table(pa.table({"x": np.zeros(len(part)), "label": part}), folder / f"{name}.parquet", row_group_size=600)
        place = Location.of(str(folder / f"{name}.parquet"))
        files.append((DataFile(place.uri, {}), place))
    places = {file.uri: place for file, place in files}
    columns = {4: ("x", pa.float64()), 9: ("label", labels.type)}
    pieces = find_pieces(files, columns, is_case_sensitive=False, reads_ancient_times=True)
    firsts = accumulate((piece.rows for piece in pieces), initial=0)
    numbered = [NumberedPiece(piece, places[piece.file.uri], first) for piece, first in zip(pieces, firsts, strict=False)]
    no_session: Any = None  # small columns are read without tasks
    return find_strata(numbered, (9, labels.type), "label", 1, fraction, no_session)


@pytest.mark.parametrize("kind", LABELS)
@pytest.mark.parametrize("fraction", [0.0001, 0.1, 0.5, 0.999])
def test_each_class_has_its_share(tmp_path: Path, kind: str, fraction: float) -> None:
    labels = draw_labels(kind)
    strata, held = find(tmp_path, labels, fraction)
    part = RowPart(fraction=fraction, is_held_out=True, strata=strata)
    mask = mark_rows(part, 0, ROWS, labels)
    assert mask.sum() == held
    sizes = Counter(labels.to_pylist())
    found = Counter(label for label, is_held in zip(labels.to_pylist(), mask, strict=True) if is_held)
    assert found == Counter({label: count_held_out(size, fraction) for label, size in sizes.items()})
    assert (mask != mark_rows(RowPart(fraction=fraction, strata=strata), 0, ROWS, labels)).all()
    pieces = [mark_rows(part, start, 500, labels.slice(start, 500)) for start in range(0, ROWS, 500)]
    assert (np.concatenate(pieces) == mask).all()


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (pa.array([1.0, None, 2.0, None] * 600), "holds 1200 nulls"),
        (pa.array([1.0, float("nan")] * 1200), "holds 1200 nulls"),
        (pa.array(range(2400)), "has more than 1000 different labels"),
    ],
)
def test_labels_that_are_no_classes_are_refused(tmp_path: Path, labels: pa.Array, message: str) -> None:
    with pytest.raises(DataError, match=message):
        find(tmp_path, labels, 0.1)


def test_a_label_that_was_not_there_is_an_error(tmp_path: Path) -> None:
    labels = draw_labels("text")
    part = RowPart(fraction=0.1, is_held_out=True, strata=find(tmp_path, labels, 0.1)[0])
    with pytest.raises(DataError, match="a label of the table is new"):
        mark_rows(part, 0, 2, pa.array(["rare", "other"]))
