"""Mistakes in data, queries and options that Spark finds: whose they are, what the error says, and which statement it names."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest
from support.workbench import RunPlan

from mlsql_runtime.plan import Load, Save, Select, Show, Statement

# An expression over ``text``, a row with x = 'abc', n = 0, d = '2024-13-01'; Spark's condition; the class; a part of the message.
QUERIES = [
    ("cast(x as int)", "CAST_INVALID_INPUT", "DataError", 'The value \'abc\' of the type "STRING" cannot be cast to "INT"'),
    ("cast(x as date)", "CAST_INVALID_INPUT", "DataError", "try_cast"),
    ("cast(x as boolean)", "CAST_INVALID_INPUT", "DataError", "'abc'"),
    ("x + 1", "CAST_INVALID_INPUT", "DataError", "'abc'"),
    ("cast(300 + n as tinyint)", "CAST_OVERFLOW", "DataError", "try_cast"),
    ("cast(1000 + n as decimal(3, 1))", "NUMERIC_VALUE_OUT_OF_RANGE.WITH_SUGGESTION", "DataError", "Decimal(3, 1)"),
    ("10 / n", "DIVIDE_BY_ZERO", "DataError", "try_divide"),
    ("10 div n", "DIVIDE_BY_ZERO", "DataError", "try_divide"),
    ("10 % n", "REMAINDER_BY_ZERO", "DataError", "try_mod"),
    ("interval 1 day / n", "INTERVAL_DIVIDED_BY_ZERO", "DataError", "try_divide"),
    ("cast(2147483647 as int) + cast(n + 1 as int)", "ARITHMETIC_OVERFLOW", "DataError", "try_add"),
    ("cast(100 + n as tinyint) + cast(100 + n as tinyint)", "BINARY_ARITHMETIC_OVERFLOW", "DataError", "try_add"),
    ("array(1, 2)[n + 5]", "INVALID_ARRAY_INDEX", "DataError", "get()"),
    ("element_at(array(1, 2), cast(5 + n as int))", "INVALID_ARRAY_INDEX_IN_ELEMENT_AT", "DataError", "try_element_at"),
    ("element_at(array(1, 2), cast(n as int))", "INVALID_INDEX_OF_ZERO", "DataError", "index 0"),
    ("to_date(d, 'yyyy-MM-dd')", "CANNOT_PARSE_TIMESTAMP", "DataError", "try_to_date"),
    ("to_timestamp(x)", "CAST_INVALID_INPUT", "DataError", "'abc'"),
    ("to_timestamp(d, 'yyyy-MM-dd')", "CANNOT_PARSE_TIMESTAMP", "DataError", "try_to_timestamp"),
    ("date_format(timestamp'2024-01-01', x)", "INCONSISTENT_BEHAVIOR_CROSS_VERSION", "InputError", "week-based"),
    ("make_date(2024, 13 + n, 1)", "DATETIME_FIELD_OUT_OF_BOUNDS", "DataError", "13"),
    ("map(x, 1, x, 2)", "DUPLICATED_MAP_KEY", "DataError", "abc"),
    ("map(if(n = 0, null, x), 1)", "NULL_MAP_KEY", "DataError", "null as map key"),
    ("(select id from range(2))", "SCALAR_SUBQUERY_TOO_MANY_ROWS", "DataError", "More than one row"),
    ("raise_error(concat('wrong: ', x))", "USER_RAISED_EXCEPTION", "DataError", "wrong: abc"),
    ("assert_true(n > 0)", "USER_RAISED_EXCEPTION", "DataError", "is not true"),
    ("to_number(x, '999')", "INVALID_FORMAT.MISMATCH_INPUT", "InputError", "abc"),
    ("parse_url(concat('http://', x, ' b'), 'HOST')", "INVALID_URL", "DataError", "try_parse_url"),
    ("url_decode('%x')", "CANNOT_DECODE_URL", "DataError", "%x"),
    ("from_json(x, 'a int', map('mode', 'FAILFAST'))", "MALFORMED_RECORD_IN_PARSING", "DataError", "PERMISSIVE"),
    ("parse_json(x)", "MALFORMED_RECORD_IN_PARSING", "DataError", "abc"),
    ("regexp_extract(x, '(a)', 5 + n)", "INVALID_PARAMETER_VALUE.REGEX_GROUP_INDEX", "DataError", "group"),
    ("regexp_replace(x, concat('(', x), '')", "INVALID_PARAMETER_VALUE.PATTERN", "DataError", "(abc"),
    ("sequence(1, 5 + n, -1 + n)", None, "InputError", "Illegal sequence boundaries: 1 to 5 by -1"),
    ("array_repeat(x, 2147483647 + n)", None, "InputError", ""),
    ("from_utc_timestamp(timestamp'2024-01-01', x)", None, "DataError", "abc"),
    ("to_binary(concat(x, 'z'), 'hex')", "CONVERSION_INVALID_INPUT", "DataError", "abc"),
    ("aes_decrypt(unhex('00'), x)", None, "DataError", ""),
    ("map_from_arrays(array(1, 2), array(n))", None, "DataError", "must have the same length"),
    ("format_string('%d', x)", None, "DataError", "d != "),
    ("printf('%q', n)", None, "DataError", "Conversion = 'q'"),
    ("xpath(x, '/a')", None, "DataError", "Error loading expression '/a'"),
    ("x rlike '('", None, "DataError", "Unclosed group"),
    ("split(x, '[')", None, "DataError", "Unclosed character class"),
    ("interval 1 year * 99999999999", None, "DataError", "overflow"),
    ("next_day(date'2024-01-01', x)", "ILLEGAL_DAY_OF_WEEK", "DataError", "abc"),
    ("elt(5 + n, 'a', 'b')", "INVALID_ARRAY_INDEX", "DataError", "index 5"),
    ("convert_timezone(x, timestamp_ntz'2024-01-01')", "INVALID_TIMEZONE", "DataError", "abc"),
    ("encode(x, 'nosuch')", "INVALID_PARAMETER_VALUE.CHARSET", "DataError", "nosuch"),
    ("parse_json('[')", "MALFORMED_RECORD_IN_PARSING", "DataError", "["),
    ("window(d, x)", None, "InputError", "window"),
    ("x like '%a' escape 'ab'", "INVALID_ESC", "InputError", "escape"),
    ("nosuch", "UNRESOLVED_COLUMN.WITH_SUGGESTION", "InputError", "`nosuch`"),
    ("nosuch(x)", "UNRESOLVED_ROUTINE", "InputError", "`nosuch`"),
    ("abs(x, x)", "WRONG_NUM_ARGS.WITHOUT_SUGGESTION", "InputError", "abs"),
    ("array(1) + 1", "DATATYPE_MISMATCH.BINARY_OP_DIFF_TYPES", "InputError", "ARRAY<INT>"),
    ("sum(n), x", "MISSING_GROUP_BY", "InputError", "GROUP BY"),
    ("x x x", "PARSE_SYNTAX_ERROR", "InputError", "Syntax error"),
    ("rank()", None, "InputError", ""),
]


def text() -> Load:
    return Load(table="text", format="json", text='{"x": "abc", "n": 0, "d": "2024-13-01"}')


def fail(run_plan: RunPlan, *statements: Statement) -> dict[str, Any]:
    error = run_plan(*statements).error
    assert error is not None
    return dict(error)


def check(error: dict[str, Any], kind: str, message: str, statement: int) -> None:
    assert (error["kind"], error["statement"]) == (kind, statement), error
    assert message in error["message"]
    for machinery in ("\n", "Traceback", "Exception", "at org.apache", "Py4J", "stage failure", "retry"):
        assert machinery not in error["message"], error["message"]


@pytest.mark.parametrize(("expression", "condition", "kind", "message"), QUERIES, ids=[query for query, *_ in QUERIES])
def test_a_query(run_plan: RunPlan, expression: str, condition: str | None, kind: str, message: str) -> None:
    error = fail(run_plan, text(), Select(table="t", sql=f"select {expression} from text"), Show(table="t"))
    check(error, kind, message, 2)
    if condition is not None:
        assert f"[{condition}" in error["message"]


def test_the_error_names_the_line_of_the_query_that_made_the_table(
    run_plan: RunPlan, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    error = fail(
        run_plan,
        text(),
        Select(table="first", sql="select n,\n  x,\n  cast(x as int) as number from text"),
        Select(table="second", sql="select number, n from first"),
        Select(table="third", sql="select *, 1 / (n + 1) as y from second"),
        Save(table="third", format="parquet", path=str(tmp_path / "out")),
    )
    check(error, "DataError", "; line 3 of the query: cast(x as int)", 2)
    printed = "".join(capsys.readouterr())
    assert "[mlsql] select: DataError: Spark: The value 'abc'" in printed
    assert "Traceback" not in printed


def test_the_same_text_in_two_queries_is_not_guessed(run_plan: RunPlan) -> None:
    queries = [Select(table=name, sql=f"select cast({column} as int) as n, 'a' as x from {source}") for name, column, source in (
        ("a", "n", "text"), ("b", "x", "a"),
    )]  # fmt: skip
    check(fail(run_plan, text(), *queries, Show(table="b")), "DataError", "'a'", 3)
    same = [Select(table=name, sql="select cast(n as string) as n, cast(x as int) as x from text") for name in ("c", "d")]
    both = Select(table="e", sql="select c.x from c join d on c.n = d.n")
    check(fail(run_plan, text(), *same, both, Show(table="e")), "DataError", "'abc'", 5)


WRONG_FILES = {
    "libsvm with indices from 0": ("libsvm", "0 0:1.5\n", {}, "indices should be one-based"),
    "libsvm with text": ("libsvm", "0 1:abc\n", {}, "abc"),
    "libsvm with descending indices": ("libsvm", "0 2:1 1:1\n", {"numFeatures": "3"}, "ascending order"),
    "text as Parquet": ("parquet", "abc", {}, "file"),
    "text as ORC": ("orc", "abc", {}, "file"),
    "JSON that fails fast": ("json", '{"a": 1}\n{"a"', {"mode": "FAILFAST"}, "Malformed records"),
    "libsvm with a wider vector": ("libsvm", "0 5:1\n", {"numFeatures": "2"}, "out of bounds for vector of size 2"),
    "libsvm without rows": ("libsvm", "", {}, "there are no rows"),
    "CSV with more columns": ("csv", "a,b,c\n", {"maxColumns": "2"}, "raise maxColumns"),
    "CSV with longer values": ("csv", "a" * 100, {"maxCharsPerColumn": "10"}, "raise maxColumns or maxCharsPerColumn"),
    "an option that is neither true nor false": ("csv", "a\n", {"header": "maybe"}, "header flag can be true or false"),
    "a separator that is none": ("csv", "a\n", {"sep": "\\"}, ""),
    "an option that is not a number": ("csv", "a\n", {"samplingRatio": "x"}, '"x"'),
    "a pattern that is none": ("csv", "a\n", {"pathGlobFilter": "["}, "Unclosed character class"),
}


@pytest.mark.parametrize("name", WRONG_FILES)
def test_a_file_that_is_not_what_the_load_says(run_plan: RunPlan, tmp_path: Path, name: str) -> None:
    format, content, options, message = WRONG_FILES[name]
    path = tmp_path / "wrong.data"
    path.write_text(content)
    load = Load(table="t", format=format, path=str(path), options=options)
    error = fail(run_plan, load, Select(table="u", sql="select * from t"), Show(table="u"))
    assert error["kind"] in ("DataError", "InputError"), error
    check(error, error["kind"], message, 1)


def test_a_file_that_is_not_compressed(run_plan: RunPlan, tmp_path: Path) -> None:
    (tmp_path / "x.json.gz").write_bytes(gzip.compress(b'{"a": 1}' * 9999)[:60])
    error = fail(run_plan, Load(table="t", format="json", path=str(tmp_path / "x.json.gz")), Show(table="t"))
    assert error["kind"] == "DataError"
    assert error["statement"] == 1


@pytest.mark.parametrize(
    ("format", "sql", "options", "message"),
    [
        ("csv", "select n from text", {"maxRecordsPerFile": "x"}, '"x"'),
        ("csv", "select n from text", {"sep": ""}, "Delimiter cannot be empty"),
        ("csv", "select n from text", {"encoding": "nosuch"}, "nosuch"),
        ("parquet", "select n from text", {"parquet.block.size": "x"}, '"x"'),
        ("libsvm", "select x, n from text", {}, "Illegal schema for libsvm data"),
        ("xml", "select n from text", {"rowTag": "<"}, "angle brackets"),
    ],
)
def test_options_of_a_save(
    run_plan: RunPlan, tmp_path: Path, format: str, sql: str, options: dict[str, str], message: str
) -> None:
    """They are wrong when the rows are written, which is not the mistake of the statements that make them."""
    save = Save(table="t", format=format, path=str(tmp_path / "o"), options=options)
    error = fail(run_plan, text(), Select(table="t", sql=sql), save)
    assert error["kind"] in ("DataError", "InputError")
    check(error, error["kind"], message, 3)


def test_what_a_query_runs_and_where_a_save_writes(run_plan: RunPlan, tmp_path: Path) -> None:
    command = Select(table="t", sql="select transform(n) using 'nosuchcommand' as (a) from text")
    error = fail(run_plan, text(), command, Show(table="t"))
    assert error["kind"] == "InputError"
    assert "Subprocess exited with status 127" in error["message"]
    (tmp_path / "file").touch()
    error = fail(run_plan, text(), Save(table="text", format="json", path=str(tmp_path / "file/o"), mode="append"))
    check(error, "InputError", "Parent path is not a directory", 2)


def test_a_name_service_that_does_not_know_a_host_is_worth_another_try(run_plan: RunPlan) -> None:
    error = fail(run_plan, Load(table="t", format="csv", path="hdfs://nosuchhost.invalid/x"))
    assert error["kind"] == "JobFailed"


def test_options_that_spark_refuses(run_plan: RunPlan, tmp_path: Path) -> None:
    save = Save(table="text", format="parquet", path=str(tmp_path / "o"))
    for statement, message in (
        (Load(table="t", format="nosuch", path="/x"), "nosuch"),
        (Load(table="t", format="jdbc", options={"url": "jdbc:nosuch:x", "dbtable": "t"}), "No suitable driver"),
        (
            Load(table="t", format="jdbc", options={"url": "jdbc:x", "driver": "x.Y", "dbtable": "t"}),
            "x.Y: Spark lacks this class",
        ),
        (Select(table="t", sql=f"select {'(' * 4000}1{')' * 4000}"), "nested too deep"),
        (Load(table="t", format="json", path="nosuch://x/y"), "nosuch"),
        (Save(table="text", format="parquet", path="/tmp", mode="errorIfExists"), "/tmp"),
        (Save(table="text", format="parquet", path=save.path, options={"compression": "nosuch"}), "nosuch"),
        (Save(table="text", format="text", path=save.path), ""),
        (Save(table="text", format="parquet", path=save.path, partition_by=("nosuch",)), "nosuch"),
    ):
        error = fail(run_plan, text(), statement)
        assert error["kind"] in ("InputError", "DataError"), error
        check(error, error["kind"], message, 2)
