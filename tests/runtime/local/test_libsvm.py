"""libsvm text without Spark: what is refused, and where."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlsql_runtime.errors import DataError
from mlsql_runtime.local.arrow_tables import check_width, hold_out, read_table
from mlsql_runtime.local.data_source import DataSource

WRONG = {
    "zero": ("1 1:1\n1 0:1\n", ":2: indices should be one-based and in ascending order; found 0 after 0"),
    "descending": ("# c\n\n1 2:1 1:1\n", ":3: indices should be one-based and in ascending order; found 1 after 2"),
    "twice": ("1 1:2 1:3\n", ":1: indices should be one-based and in ascending order; found 1 after 1"),
    "fraction": ("1 1.5:2\n", ":1: indices should be"),
    "no number": ("1 1:1\n1 1:x\n", ":2: expected a number, got 'x'"),
    "label": ("yes 1:1\n", ":1: expected a number, got 'yes'"),
    "group": ("1 qid:3 1:1\n", ":1: expected a number, got 'qid'"),
    "comment at the end": ("1 1:2 # x\n", ":1: expected 'label index:value"),
    "two labels": ("1 2 1:2\n", ":1: expected 'label index:value"),
    "two colons": ("1 1:2:3\n", ":1: expected 'label index:value"),
    "label left out": ("1:2 3:4\n", ":1: expected 'label index:value"),
    "no value": ("1 1:\n", ":1: expected 'label index:value"),
    "tab": ("1\t1:1\n", ":1: expected 'label index:value"),
    "no text": (b"\x00\xff\n", ":1: expected a number"),
}


@pytest.mark.parametrize(("text", "message"), WRONG.values(), ids=WRONG)
def test_an_error_names_file_and_line(tmp_path: Path, text: str | bytes, message: str) -> None:
    place = tmp_path / "x.txt"
    place.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(DataError) as caught:
        read_table(DataSource("--data", "libsvm", str(place)))
    assert caught.value.message.startswith(f"{place}{message}")


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
