"""JSON files give the same columns, rows and files by way of Spark and without it."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from support.both_ways import BothWays, assert_same, helper_rows, raw_rows, types_of

from mlsql_runtime.feed.files.export import ExportFeed
from mlsql_runtime.feed.table_facts import ColumnRoles
from mlsql_runtime.plan import FileFeed
from mlsql_runtime.storage.location import Location

JSON = {
    "numbers": '{"b":1,"a":"x"}\n{"a":null,"c":1.5,"b":2.5}\n',
    "nothing but nulls": '{"a":null,"b":[],"c":{},"d":[null],"e":[{}],"f":1}\n',
    "not finite": '{"a":NaN,"b":"NaN"}\n{"a":1,"b":"x"}\n',
    "texts like times": '{"a":"2024-05-01","b":"2024-05-01T12:00:00Z","c":["2024-05-01"]}\n',
    "nested": '{"a":{"z":1,"b":null},"l":[[1],[2.5]]}\n{"a":{"y":"q"}}\n',
    "lists of objects": '{"a":[{"z":1},{"b":"ü"}]}\n{"a":[]}\n{"a":null}\n{}\n',
    "lists": '{"a":[1,2],"b":["x",null]}\n{"a":[1.5],"b":[]}\n',
    "odd names": '{"a b":1,"c.d":2,"ü`":3,"日\\"本":"\\u00fc\\/\\n"}\n',
    "blank lines": '\n{"a":1}\n  \n\r\n{"a":2}\r\n',
    "byte order mark": '\ufeff{"a":1}\n',
    "escapes": '{"a":"\\u0000\\t\\\\ \\"q\\" \\ud83d\\ude00"}\n',
    "braces in texts": '{"a":"}{ \\n{"}\n  {"a":"{"}\n',
}


@pytest.mark.parametrize("text", JSON.values(), ids=JSON)
def test_json(both: BothWays, tmp_path: Path, text: str) -> None:
    (tmp_path / "x.json").write_bytes(text.encode())
    assert_same(both, "json", tmp_path / "x.json")


def test_json_files_some_empty(both: BothWays, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "a.json").write_text('{"a":1}')
    (folder / "b.json").write_text("")
    (folder / "c.json.gz").write_bytes(gzip.compress(b'{"b":"x"}\n'))
    assert_same(both, "json", folder)


@pytest.mark.parametrize(
    ("option", "value", "text"),
    [
        ("spark.sql.jsonGenerator.ignoreNullFields", "false", '{"x":null,"at":"1970-01-01T01:00:00.000+01:00"}'),
        ("spark.sql.session.timeZone", "GMT+03:00", '{"at":"1970-01-01T03:00:00.000+03:00"}'),  # unknown to Arrow
    ],
)
def test_spark_writes_the_json_itself_in_sessions_with_other_settings(both: BothWays, option: str, value: str, text: str) -> None:
    before = both.spark.conf.get(option)
    assert before is not None
    both.spark.conf.set(option, value)
    try:
        df = both.spark.sql("select cast(null as int) as x, timestamp_seconds(0) as at")
        exported = ExportFeed(FileFeed(), Location.of(str(both.folder / "exported"))).prepare(df, ColumnRoles())
        files = exported.open(both.folder / "data", is_kept=False)
    finally:
        both.spark.conf.set(option, before)
    assert (files.format, files.json_path) == ("json", None)
    assert raw_rows(files) == [json.dumps(json.loads(text), sort_keys=True)]


def test_vectors_in_json_are_vectors_where_spark_has_objects(both: BothWays, tmp_path: Path) -> None:
    rows = ['{"f":{"type":1,"values":[1.0,2]},"y":1}', '{"f":{"type":0,"size":2,"indices":[0],"values":[1]},"y":0}', '{"y":2}']
    (tmp_path / "x.json").write_text("\n".join(rows))
    by_spark = both.by_spark(both.load("json", str(tmp_path / "x.json")), "json")
    without = both.without("json", str(tmp_path / "x.json"), "json")
    assert helper_rows(without) == helper_rows(by_spark)
    assert raw_rows(without) == raw_rows(by_spark)
    assert "size: int32" in types_of(without)["f"]
    assert "size: int64" in types_of(by_spark)["f"]
