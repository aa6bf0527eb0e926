"""Tables that are read without Spark, and split."""

from __future__ import annotations

from pathlib import Path

from mlsql_runtime.local.arrow_tables import check_width, hold_out, read_table
from mlsql_runtime.local.data_source import DataSource


def test_rows_of_many_files_have_one_width(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1 1:1\n")
    (tmp_path / "b").write_text("0\n2 7:0.5\n")
    table = read_table(DataSource("--data", "libsvm", str(tmp_path)))
    check_width(table, "features")
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
