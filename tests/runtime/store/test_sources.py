"""The sources of a version: what is shown of them, and which facts say that the data have changed."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone

from mlsql_runtime import codec
from mlsql_runtime.store.sources import MAX_SQL, Source, SourceFiles, TableVersion, shorten_sql

TIME = datetime(2026, 1, 2, 3, 4, tzinfo=timezone.utc)
FILES = Source(
    table="data",
    kind="load",
    format="csv",
    path="/d",
    options={"sep": ";", "header": "true"},
    files=SourceFiles(count=3, size=1024, newest=TIME),
)
DELTA = Source(table="shop.orders", kind="table", format="delta", version=TableVersion(id="7", committed=TIME, since="5"))
TOPIC = Source(table="orders", kind="topic", path="b:9092", offsets={"1": (0, 5), "0": (3, 9)})
QUERY = Source(table="selected", kind="select", used_for=("training", "validation"), sql="select 1")


def test_facts_have_names_for_people() -> None:
    assert list(FILES.facts.items()) == [
        ("format", "csv"),
        ("path", "/d"),
        ("option header", "true"),
        ("option sep", ";"),
        ("files", 3),
        ("bytes", 1024),
        ("newest file", TIME),
    ]
    assert DELTA.facts == {"format": "delta", "version": "7", "version when the job began": "5", "version written": TIME}
    assert TOPIC.facts == {"path": "b:9092", "offsets": "0: 3 to 9, 1: 0 to 5"}
    assert QUERY.facts == {"sql": "select 1", "used for": "training and validation"}


def test_other_data_are_told_from_another_statement() -> None:
    assert FILES.data_facts == {"files": 3, "bytes": 1024, "newest file": TIME}
    assert DELTA.data_facts == {"version": "7"}
    assert QUERY.data_facts == {}
    assert replace(FILES, options={}).data_facts == FILES.data_facts


def test_sources_survive_being_stored() -> None:
    for source in (FILES, DELTA, TOPIC, QUERY):
        assert codec.loads(Source, codec.dumps(source), "a source") == source


def test_a_long_query_is_cut_and_told_from_others() -> None:
    assert shorten_sql("x" * MAX_SQL) == "x" * MAX_SQL
    one, other = shorten_sql("x" * MAX_SQL + "1"), shorten_sql("x" * MAX_SQL + "2")
    assert one != other
    assert one.startswith("x" * MAX_SQL + "… (cut; 10001 characters, SHA-256 ")
