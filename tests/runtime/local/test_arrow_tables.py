"""Tables that are read without Spark, and split."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from mlsql_runtime.errors import DataError
from mlsql_runtime.feed.table_facts import ColumnRoles
from mlsql_runtime.local.arrow_tables import find_width, hold_out, measure, read_table
from mlsql_runtime.local.data_source import DataSource


def test_rows_of_many_files_have_one_width(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1 1:1\n")
    (tmp_path / "b").write_text("0\n2 7:0.5\n")
    table = read_table(DataSource("--data", "libsvm", str(tmp_path)))
    assert find_width(table, "features") == 7
    assert table.column("label").to_pylist() == [1.0, 0.0, 2.0]
    assert table.column("features").to_pylist() == [
        {"type": 0, "size": 7, "indices": [0], "values": [1.0]},
        {"type": 0, "size": 7, "indices": [], "values": []},
        {"type": 0, "size": 7, "indices": [6], "values": [0.5]},
    ]


def test_held_out_rows_and_the_others_are_all_rows(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("".join(f"{n} 1:1\n" for n in range(1000)))
    left, held = hold_out(read_table(DataSource("--data", "libsvm", str(tmp_path / "a"))), 0.25)
    assert 200 < held.num_rows < 300
    assert sorted(left.column("label").to_pylist() + held.column("label").to_pylist()) == list(map(float, range(1000)))


def test_libsvm_files_without_rows_are_an_empty_table(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("")
    (tmp_path / "b").write_text("# a comment\n\n")
    assert read_table(DataSource("--data", "libsvm", str(tmp_path))).num_rows == 0


@pytest.mark.parametrize(
    ("labels", "held"),
    [
        (["a"] * 80 + ["b"] * 20, {"a": 20, "b": 5}),
        ([True] * 3 + [False] * 97, {True: 1, False: 24}),
        ([1.0] * 99 + [2.0], {1.0: 25}),
    ],
)
def test_stratified_rows_are_the_same_share_of_each_class(labels: list[Any], held: dict[Any, int]) -> None:
    table = pa.table({"id": range(100), "y": labels}).take(pa.array(np.random.default_rng(0).permutation(100)))
    left, taken = hold_out(pa.concat_tables([table.slice(0, 30), table.slice(30)]), 0.25, "y")
    assert Counter(taken.column("y").to_pylist()) == held
    assert sorted(left.column("id").to_pylist() + taken.column("id").to_pylist()) == list(range(100))
    assert taken.column("id").to_pylist() != sorted(taken.column("id").to_pylist())


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["a", None], "column 'y' holds 1 nulls, and stratify needs classes"),
        ([1.0, float("nan")], "column 'y' holds 1 nulls"),
        (range(1001), "column 'y' has more than 1000 different labels"),
        ([[1], [2]], "column 'y' is of type array<bigint>; stratify is for labels of type int, double, string or boolean"),
    ],
)
def test_a_column_without_classes_cannot_be_stratified(labels: list[Any], message: str) -> None:
    with pytest.raises(DataError) as caught:
        hold_out(pa.table({"y": labels}), 0.5, "y")
    assert message in caught.value.message


@pytest.mark.parametrize(
    ("labels", "classes", "nulls"),
    [
        (["a" * 256, "b"], ("a" * 256, "b"), 0),
        (["a" * 257, "b"], None, 0),
        (["b", None, "a"], ("a", "b"), 1),
        ([2.0, 1.0, 2.0], (1.0, 2.0), 0),
        ([0.5, 1.0], None, 0),
        (range(1001), None, 0),
        ([[1]], None, 0),
    ],
)
def test_facts_are_those_that_a_job_observes(labels: list[Any], classes: tuple[Any, ...] | None, nulls: int) -> None:
    facts = measure(pa.table({"y": labels}), ColumnRoles(label="y"))
    assert (facts.rows, facts.label, facts.classes, facts.label_nulls) == (len(labels), "y", classes, nulls)
    assert measure(pa.table({"y": labels}), ColumnRoles()).label is None
