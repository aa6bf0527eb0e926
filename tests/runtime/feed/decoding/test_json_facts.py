"""What a scan of another producer's JSON records tells of them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mlsql_runtime.errors import DataError
from mlsql_runtime.feed.decoding.json_facts import JsonFacts
from mlsql_runtime.feed.table_facts import ColumnRoles, TableFacts


def facts_of(*chunks: list[dict[str, Any]], label: str | None = "LABEL") -> TableFacts:
    facts = JsonFacts(ColumnRoles(features=("Features",), label=label))
    for chunk in chunks:
        facts.add([json.dumps(row).encode() for row in chunk], "the test")
    return facts.facts()


def test_columns_have_the_types_of_spark_and_are_found_in_either_case() -> None:
    vector = {"type": 1, "values": [1.0, 2.0]}
    rows = [{"features": vector, "label": 1, "n": 1.5, "words": ["a"], "o": {"a": True}}, {"label": 0}]
    facts = facts_of(rows, [{"label": 1}])
    assert facts.columns == {
        "features": "vector",
        "label": "bigint",
        "n": "double",
        "words": "array<string>",
        "o": "struct<a:boolean>",
    }
    assert (facts.rows, facts.width, facts.label, facts.classes, facts.label_nulls) == (3, 2, "label", (0, 1), 0)


@pytest.mark.parametrize(
    ("labels", "classes", "nulls"),
    [
        (["b", None, "a"], ("a", "b"), 1),
        ([True, False], (False, True), 0),
        ([0.5], None, 0),
        (list(range(1001)), None, 0),
        (["2024-02-29", "x"], None, 0),
        ([[1]], None, 0),
    ],
)
def test_labels_are_counted(labels: list[Any], classes: tuple[Any, ...] | None, nulls: int) -> None:
    facts = facts_of([{"label": label} for label in labels[:1]], [{"label": label} for label in labels[1:]] or [{"label": None}])
    expected = nulls + (len(labels) == 1)
    assert (facts.label, facts.classes, facts.label_nulls) == ("label", classes, expected)


@pytest.mark.parametrize("text", [b'{"a\x80": 1}', b'{"a": "\x80"}', b'{"a": {"b\xff": {"c": 1}}}'])
def test_text_that_is_not_utf_8_is_an_error_of_ours(text: bytes) -> None:
    with pytest.raises(DataError, match=r"^the test: expected one JSON object for each record: .*utf-8"):
        JsonFacts(ColumnRoles()).add([text], "the test")


def test_records_without_the_label_count_as_nulls() -> None:
    assert facts_of([{"label": 1}, {"x": 1}], [{"x": 2}]).label_nulls == 2
    assert facts_of([{"x": 1}]).label is None
    assert facts_of([{"label": None}], label=None).label_nulls == 0


@pytest.mark.parametrize("vector", [{"type": 0, "size": 1 << 31, "values": [1.0]}, {"type": 1, "values": {"a": 1}}])
def test_objects_that_only_look_like_vectors_are_an_error_of_ours(vector: dict[str, Any]) -> None:
    with pytest.raises(DataError, match=r"^the test: column 'features' has objects that are not vectors"):
        facts_of([{"features": vector}])
