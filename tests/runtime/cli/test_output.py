from __future__ import annotations

import os
import pty
import struct
import subprocess
import sys
import termios
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from fcntl import ioctl
from typing import Any

import pytest

from mlsql_runtime.cli.output import format_count, format_size, format_value, print_fields, print_heading, print_json, print_table
from mlsql_runtime.errors import FormatError
from mlsql_runtime.result import Best

Capture = pytest.CaptureFixture[str]


def on_terminal(columns: int, *table: Any) -> list[str]:
    """Return the lines that ``print_table(*table)`` prints on a terminal of that width, without bold type."""
    ours, theirs = pty.openpty()
    ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    code = f"from mlsql_runtime.cli.output import print_table; print_table(*{table!r})"
    environment = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    process = subprocess.Popen([sys.executable, "-c", code], stdout=theirs, stderr=theirs, stdin=theirs, env=environment)
    os.close(theirs)
    read = b""
    with open(ours, "rb", buffering=0) as stream:
        while True:
            try:
                piece = stream.read(1024)
            except OSError:  # Linux says so when the other side has closed it
                break
            if not piece:
                break
            read += piece
    assert process.wait(60) == 0, read
    lines = read.decode().replace("\x1b[1m", "").replace("\x1b[0m", "").splitlines()
    return [line.rstrip() for line in lines]


def test_a_table_is_aligned_and_ends_its_lines_with_text(capsys: Capture) -> None:
    print_table(("name", "rows", "note"), [("a", 1, None), ("long name", 1000, "x")], right=("rows",))
    assert capsys.readouterr().out == "name       rows  note\na             1\nlong name  1000  x\n"


def test_a_table_of_nothing_is_its_header(capsys: Capture) -> None:
    print_table(("name", "rows"), [])
    assert capsys.readouterr().out == "name  rows\n"


def test_wide_letters_count_twice(capsys: Capture) -> None:
    print_table(("a", "b"), [("日本", 1), ("x", 2)], indent=2)
    assert capsys.readouterr().out == "  a     b\n  日本  1\n  x     2\n"


def test_a_table_is_whole_where_no_terminal_is(capsys: Capture) -> None:
    print_table(("a", "b"), [("x" * 500, "y" * 500)])
    assert capsys.readouterr().out.splitlines()[1] == "x" * 500 + "  " + "y" * 500


@pytest.mark.parametrize(
    ("columns", "line"),
    [
        (200, "name of it  " + "n" * 40),
        (40, "name of it  " + "n" * 27 + "…"),
        (20, "name of it  " + "n" * 11 + "…"),  # no narrower than can be read
    ],
)
def test_a_table_is_cut_to_the_terminal(columns: int, line: str) -> None:
    rows: Sequence[Any] = [("name of it", "n" * 40), ("x", "short")]
    assert on_terminal(columns, ("name", "note"), rows) == ["name        note", line, "x           short"]


def test_a_sentence_for_which_the_terminal_is_too_narrow_is_below_its_row() -> None:
    table = (("name", "why", "rows"), [("a", "one two three four five six", 1), ("b", "", 22)], ("rows",), "why")
    wide = ["name  why                          rows", "a     one two three four five six     1"]
    assert on_terminal(60, *table)[:2] == wide
    assert on_terminal(24, *table) == ["name  rows", "a        1", "    one two three four", "    five six", "b       22"]


def test_no_column_vanishes_from_a_terminal() -> None:
    columns = tuple(f"column {number}" for number in range(9))
    line = on_terminal(40, columns, [tuple("x" * 36 for _ in columns)])[1]
    assert line == "  ".join(["x" * 11 + "…"] * 9)


def test_the_widest_column_gives_way_first() -> None:
    lines = on_terminal(50, ("a", "b", "c"), [("a" * 60, "b" * 20, "c" * 5)])
    assert lines[1] == "a" * 20 + "…  " + "b" * 20 + "  " + "c" * 5
    assert on_terminal(30, ("a", "b"), [("日" * 40, "b")])[1] == "日" * 13 + "…  b"


def test_a_pipe_gets_no_colours(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    print_table(("a", "b"), [("[red]x[/red]", ":smile:"), ("https://example.com/1", 2)])
    assert capsys.readouterr().out == "a                      b\n[red]x[/red]           :smile:\nhttps://example.com/1  2\n"


def test_wide_letters_are_cut_where_they_end() -> None:
    assert on_terminal(30, ("a",), [("日" * 1_000,)])[1] == "日" * 14 + " …"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (0.1 + 0.2, "0.3"),
        (1234567, "1234567"),
        (1e-9, "1e-09"),
        ("two\nlines\tand a tab", "two lines and a tab"),
        ("\x1b[31mred\x07\x9b", "[31mred"),
        (datetime(2024, 5, 1, 1, 30, tzinfo=timezone(timedelta(hours=2))), "2024-04-30 23:30"),
        (True, "True"),
    ],
)
def test_a_value_is_one_line_without_control_characters(value: Any, text: str) -> None:
    assert format_value(value) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (None, ""),
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (1048575, "1.0 MiB"),
        (5 << 30, "5.0 GiB"),
        (3 << 50, "3072.0 TiB"),
    ],
)
def test_sizes_are_for_people(size: int | None, text: str) -> None:
    assert format_size(size) == text


def test_one_thing_is_counted_in_the_singular() -> None:
    assert [format_count(count, "file") for count in (0, 1, 2)] == ["0 files", "1 file", "2 files"]


def test_fields_stand_below_each_other(capsys: Capture) -> None:
    print_heading("facts")
    print_fields({"a": 1, "long name": "x\ny", "none": None, "empty": ""}, indent=2)
    print_fields({})
    assert capsys.readouterr().out == "\nfacts\n  a          1\n  long name  x y\n  empty\n"


def test_json_is_of_dataclasses_and_plain_values(capsys: Capture) -> None:
    print_json({"best": Best(alg_index=1, score=None), "at": datetime(2024, 5, 1, tzinfo=timezone.utc), "text": "é"})
    out = capsys.readouterr().out
    assert '"best": {\n    "alg_index": 1,\n    "score": null\n  }' in out
    assert '"at": "2024-05-01T00:00:00+00:00"' in out
    assert '"text": "é"' in out


def test_json_has_no_nan(capsys: Capture) -> None:
    with pytest.raises(FormatError):
        print_json({"score": float("nan")})
    assert capsys.readouterr().out == ""
