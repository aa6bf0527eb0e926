"""Lists and objects in JSON that are nested too deep for Arrow, which would end the process."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlsql_runtime.errors import DataError
from mlsql_runtime.feed.decoding.json_depth import LEVELS, find_deep_line
from mlsql_runtime.feed.decoding.json_facts import JsonFacts
from mlsql_runtime.feed.table_facts import ColumnRoles
from mlsql_runtime.local.arrow_tables import read_table
from mlsql_runtime.local.data_source import DataSource


def nested(levels: int) -> bytes:
    """Return a line with an object and lists in it."""
    return b'{"x": ' + b"[" * (levels - 1) + b"]" * (levels - 1) + b"}\n"


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        (nested(LEVELS), None),
        (nested(LEVELS + 1), 1),
        (nested(2) + nested(LEVELS + 1) + nested(LEVELS + 1), 2),
        (b'{"a": ' * 5000 + b"1" + b"}" * 5000, 1),
        (b"[[], " * 5000, 1),  # also where it is not complete
        (b'{"a": "' + b"[{" * 5000 + b'"}\n', None),  # text
        (b'{"a": "\\"' + b"[{" * 5000 + b'"}\n', None),
        (b'{"a": [' + b"[1, 2], " * 5000 + b"[]]}\n", None),  # wide
        (b'{"a": 1}\n' * 5000, None),
        (b'{"a": [1\n' * 5000, None),  # damaged, line by line
    ],
    ids=["at most", "one more", "the second", "objects", "cut", "text", "quoted quote", "wide", "short lines", "open lines"],
)
def test_a_line_that_is_nested_too_deep_is_found(lines: bytes, found: int | None) -> None:
    assert find_deep_line(lines) == found


def test_readers_refuse_what_arrow_would_end_the_process_for(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_bytes(nested(2) + nested(50_000))
    with pytest.raises(DataError, match=r"x\.json:2: lists and objects are nested deeper than 1000 levels$"):
        read_table(DataSource("--data", "json", str(tmp_path / "x.json")))
    with pytest.raises(DataError, match=r"^topic t: lists and objects of a record are nested deeper than 1000 levels$"):
        JsonFacts(ColumnRoles()).add([nested(2), nested(50_000)], "topic t")


def test_a_column_that_arrow_cannot_describe_is_refused() -> None:
    facts = JsonFacts(ColumnRoles())
    facts.add([nested(500)], "topic t")
    with pytest.raises(DataError, match=r"^a column of the table is nested deeper than the hundred levels that Arrow describes$"):
        facts.facts()
