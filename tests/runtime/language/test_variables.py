"""set, and what ${name} becomes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlsql_runtime.errors import InputError
from mlsql_runtime.language import compile_script
from mlsql_runtime.plan import Load, Select


def value_of(script: str, **variables: Any) -> str:
    """What the variable v is after a script."""
    (loaded,) = compile_script(f"{script}; load x.`p` where v='${{v}}' as t;", variables=variables).statements
    assert isinstance(loaded, Load)
    return loaded.options["v"]


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ('"a"', "a"),
        ("'a'", "a"),
        ("'''a'b\"c'''", "a'b\"c"),
        ('"""a"b"""', 'a"b'),
        ("'''\n a\n b\n'''", " a\n b"),
        ("`a b`", "a b"),
        ("`a``b`", "a`b"),
        ("12", "12"),
        ("a.b", "a.b"),
        ('""', ""),
        (r'"a\"b\\c\td\'e"', "a\"b\\c\\td\\'e"),
        (r"'a\'b\"'", "a'b\\\""),
        (r"'''\\ \n'''", r"\\ \n"),
        (r'"\${x}"', "${x}"),
        (r"'''\${x}'''", "${x}"),
        (r'"C:\\${one}"', r"C:\1"),
        ('"${one}${ one }"', "11"),
        ("`${one}`", "1"),
        ("a${one}b", "a1b"),
        ('"$one {one} $$"', "$one {one} $$"),
    ],
)
def test_values(written: str, value: str) -> None:
    assert value_of(f"set v={written}", one=1) == value


def quoted(text: str, quote: str) -> str:
    escaped = text.replace("\\", "\\\\").replace(quote, "\\" + quote).replace("${", "\\${")
    return f"{quote}{escaped}{quote}"


@given(st.text(), st.sampled_from(["'", '"']))
def test_any_text_can_be_quoted(text: str, quote: str) -> None:
    assert value_of(f"set v={quoted(text, quote)}") == text


@given(st.text())
def test_a_given_value_is_taken_as_it_is(text: str) -> None:
    assert value_of("", v=text) == text


@given(st.text(min_size=1).filter(lambda text: text.strip()))
def test_any_path_can_be_back_quoted(text: str) -> None:
    written = text.replace("`", "``").replace("${", "\\${")
    assert compile_script(f"load x.`{written}` as t;").statements == (Load(table="t", format="x", path=text),)


def test_variables_are_replaced_everywhere() -> None:
    text = """
    set folder="/data"; set `day`='${folder}/1'; set n=t;
    load ${f}.`${day}/x` where `k${n}`="${day}" as ${n}1;
    select '${day}', ${n}.a -- ${unknown}
    from ${n}1 as ${n}2;
    """
    assert compile_script(text, variables={"f": "csv"}).statements == (
        Load(table="t1", format="csv", path="/data/1/x", options={"kt": "/data/1"}),
        Select(table="t2", sql="select '/data/1', t.a -- ${unknown}\n    from t1"),
    )


def test_values_cannot_break_out_of_their_place() -> None:
    value = "'; save overwrite t as json.`/etc`; --"
    (loaded,) = compile_script("load x.`p` where a='${v}' as t;", variables={"v": value}).statements
    assert loaded == Load(table="t", format="x", path="p", options={"a": value})


def test_a_variable_may_be_set_from_itself() -> None:
    assert value_of("set v='a'; set v='${v}b'") == "ab"


def test_set_replaces_a_given_value_and_a_default_does_not() -> None:
    assert value_of("set v='script'", v="given") == "script"
    assert value_of("set v='script' where type='defaultParam'", v="given") == "given"
    assert value_of("set v='script' where type='defaultParam'") == "script"


@pytest.mark.parametrize(("value", "text"), [(True, "true"), (1.5, "1.5"), (3, "3")])
def test_given_values_of_other_types(value: object, text: str) -> None:
    assert value_of("", v=value) == text


def test_properties_of_spark_are_for_the_job() -> None:
    made = compile_script('set spark.sql.shuffle.partitions="4" where type="conf";')
    assert made.conf == {"spark.sql.shuffle.partitions": "4"}
    assert made.statements == ()


def test_a_property_without_type_is_a_variable_and_warns() -> None:
    made = compile_script('set spark.x="4";')
    assert made.conf == {}
    assert made.warnings == ('script.mlsql:1:5: spark.x is set as a variable only; for Spark write … where type="conf"',)


@pytest.mark.parametrize("name", ["", "a-b", "1a", "a b"])
def test_given_names_have_to_be_names(name: str) -> None:
    with pytest.raises(InputError, match="expected a name"):
        compile_script("", variables={name: "x"})
