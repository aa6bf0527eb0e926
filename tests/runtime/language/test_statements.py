"""Statements about data, as text and as plan: load, connect, select, save."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mlsql_runtime.language import compile_script
from mlsql_runtime.plan import Load, Save, Select

DATA = "load json.`/d` as data;"


def one(text: str, **arguments: Any) -> Any:
    """The last statement of a script."""
    return compile_script(text, **arguments).statements[-1]


@pytest.mark.parametrize(
    "text",
    [
        "load csv.`/d` as t",
        "LOAD csv.`/d` AS t;",
        "load csv . `/d`\n-- remark\nas /* x */ `t`;",
        ";; load csv.`/d` where as t;",
    ],
)
def test_load(text: str) -> None:
    assert one(text) == Load(table="t", format="csv", path="/d")


@pytest.mark.parametrize("word", ["where", "options", "WHERE", "Options", ""])
def test_options(word: str) -> None:
    loaded = one(f"load csv.`/d` {word} header='true' AND `sep`=';' and a . b = '''x''' as t;")
    assert loaded == Load(table="t", format="csv", path="/d", options={"header": "true", "sep": ";", "a.b": "x"})


def test_load_without_path() -> None:
    assert one('load rate.`` where rowsPerSecond="1" as t;') == Load(table="t", format="rate", options={"rowsPerSecond": "1"})


def test_tables_of_catalogs() -> None:
    text = (
        "load table.`shop.orders` where versionAsOf='3' as t; load iceberg.`lake.shop.orders` as u;"
        "save append t as table.`shop.scores` where using='delta' and mergeSchema='true' partitionBy day;"
        "save t as Table.`shop.scores`;"
    )
    scores = Save(table="t", format="table", path="shop.scores")
    assert compile_script(text).statements == (
        Load(table="t", format="table", path="shop.orders", options={"versionAsOf": "3"}),
        Load(table="u", format="iceberg", path="lake.shop.orders"),
        replace(scores, mode="append", using="delta", options={"mergeSchema": "true"}, partition_by=("day",)),
        replace(scores, format="Table"),
    )


def test_words_of_the_language_are_names_too() -> None:
    text = "load load.train as options; save overwrite options as append.`/x` where where='1' and set.load='2';"
    assert compile_script(text).statements == (
        Load(table="options", format="load", path="train"),
        Save(table="options", format="append", path="/x", mode="overwrite", options={"where": "1", "set.load": "2"}),
    )


@pytest.mark.parametrize("table_format", ["json", "csv"])
def test_load_what_a_variable_holds(table_format: str) -> None:
    text = f"set rows='''\na\n1\n'''; load {table_format}Str.`rows` where header='true' as t;"
    assert one(text) == Load(table="t", format=table_format, text="a\n1", options={"header": "true"})
    assert one(f"load {table_format.upper()}STR.`${{which}}` as t;", variables={"which": "x.y", "x.y": "1"}).text == "1"


def test_relative_data_are_beside_the_script_if_they_are_there(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d/a1.csv").touch()
    found = [one(f"load csv.`{path}` as t;", folder=tmp_path).path for path in ("d", "d/*.csv", "e", "/d", "s3://b/d", "d/\0")]
    assert found == [f"{tmp_path}/d", f"{tmp_path}/d/*.csv", "e", "/d", "s3://b/d", "d/\0"]
    assert one("load delta.`d` as t;", folder=tmp_path).path == f"{tmp_path}/d"
    assert one("load table.`d` as t;", folder=tmp_path).path == "d"


def test_tables_have_one_name_in_any_case() -> None:
    train = "train DATA as PythonAlg.`/m` where pythonScriptPath='/t.py' and validateTable='data'"
    text = f"load csv.`/d` as Data; {train}; save data as orc.`/o`;"
    _, trained, saved = compile_script(text).statements
    assert (trained.table, trained.validate_table, saved.table) == ("Data", "Data", "Data")  # type: ignore[union-attr]


def test_what_a_script_saves_is_what_it_loads(tmp_path: Path) -> None:
    (tmp_path / "o").mkdir()  # of an earlier run
    text = "load csv.`/d` as t; save overwrite t as orc.`o`; load orc.`o/` as u; load orc.`~/x` as v;"
    statements = compile_script(text, folder=tmp_path).statements
    assert [getattr(statement, "path", None) for statement in statements] == ["/d", "o", "o/", str(Path.home() / "x")]


def test_relative_paths_of_what_stays_are_warned_of() -> None:
    text = (
        "load csv.`d` as t; train t as PythonAlg.`m` where pythonScriptPath='t.py'; save t as orc.`o`; save t as orc.`s3://b/o`;"
    )
    assert [warning.partition(" is relative")[0] for warning in compile_script(text).warnings] == [
        "script.mlsql:1:41: path 'm'",
        "script.mlsql:1:90: path 'o'",
    ]


def test_the_number_of_files_saved() -> None:
    assert one(f"{DATA} save data as orc.`/o` where fileNum='3' and a='b';").file_num == 3


@pytest.mark.parametrize(
    ("text", "mode"),
    [
        ("", "errorIfExists"),
        ("overwrite", "overwrite"),
        ("APPEND", "append"),
        ("errorifexists", "errorIfExists"),
        ("Ignore", "ignore"),
    ],
)
def test_save(text: str, mode: Any) -> None:
    saved = one(f'{DATA} save {text} data as parquet.`/o` options compression="zstd" partitionBy a, `b c`;')
    options = {"compression": "zstd"}
    assert saved == Save(table="data", format="parquet", path="/o", mode=mode, options=options, partition_by=("a", "b c"))


CONNECT = 'connect jdbc where url="jdbc:x" and user="me" as db;'


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("load jdbc.`db.s.t` as x", {"url": "jdbc:x", "user": "me", "dbtable": "s.t"}),
        ('load jdbc.`db.t` where user="you" as x', {"url": "jdbc:x", "user": "you", "dbtable": "t"}),
        ('load jdbc.`db.` where query="select 1" as x', {"url": "jdbc:x", "user": "me", "query": "select 1"}),
        ('load jdbc.`s.t` where url="jdbc:y" as x', {"url": "jdbc:y", "dbtable": "s.t"}),
    ],
)
def test_jdbc(text: str, options: dict[str, str]) -> None:
    assert one(CONNECT + text) == Load(table="x", format="jdbc", options=options)


def test_save_to_a_connection() -> None:
    saved = one(f"{CONNECT} {DATA} save append data as jdbc.`db.t`;")
    assert saved == Save(table="data", format="jdbc", mode="append", options={"url": "jdbc:x", "user": "me", "dbtable": "t"})


@pytest.mark.parametrize(
    ("text", "sql", "table"),
    [
        ("select 1 as t;", "select 1", "t"),
        ("SELECT a AS b, c FROM d AS e\nAS t", "SELECT a AS b, c FROM d AS e", "t"),
        ("with x as (select 1)\nselect * from x as `t`;", "with x as (select 1)\nselect * from x", "t"),
        ("select 'a as b;' -- as c;\n from d as t -- bye\n;", "select 'a as b;' -- as c;\n from d", "t"),
        ("select /*+ BROADCAST(a) */ * from a as load;", "select /*+ BROADCAST(a) */ * from a", "load"),
        ("select cast(a as\nselect) as t;", "select cast(a as\nselect)", "t"),
        ("select '''a' as t;", "select '''a'", "t"),
    ],
)
def test_select(text: str, sql: str, table: str) -> None:
    assert one(text) == Select(table=table, sql=sql)


def test_origins() -> None:
    made = compile_script("-- one\n  load a.`b` as t;\n\nset x='1'; select 1\nas u;", name="x.mlsql")
    assert [str(origin) for origin in made.origins] == ["x.mlsql:2:3", "x.mlsql:4:12"]


def test_an_empty_script_has_no_statements() -> None:
    assert compile_script(" -- nothing\n;").statements == ()
