"""Where strings, comments and statements begin and end."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlsql_runtime.language.scanner import split, sql_tokens

_PARTS = [*"ab;'\"`\\-/*\n ${}r.=!", "'''", '"""', "select ", "load ", "set ", " as "]
_TEXT = st.lists(st.sampled_from(_PARTS), max_size=60).map("".join)


def statements(text: str) -> list[str]:
    return [text[piece.start : piece.end] for piece in split(text)]


@pytest.mark.parametrize(
    "text",
    [
        "load a.`x;y` as t;",
        'set a="x;y";',
        "set a='x;\\';y';",
        "set a='''it's; \"so\"''';",
        'set a="""x;\n";y""";',
        "-- x; it's\nload a.`b` as t;",
        "/* x; it's */load a.`b` as t;",
        "select ';' as t;",
        "select '''' as q, 1 as t;",
        "select 'a''''; b' as t;",
        "select r'\\', ';' as t;",
        "select 1 -- x; y\n as t;",
        "select 1 /* x; y */ as t;",
        "select `a;b` from t as u;",
        'select "a;\\"b" as t;',
    ],
)
def test_a_semicolon_inside_ends_nothing(text: str) -> None:
    assert statements(text + text) == [text, text]


@pytest.mark.parametrize(
    ("text", "opened"),
    [
        ("set a='b;", "'"),
        ('set a="b;', '"'),
        ("load a.`b;", "`"),
        ("set a='''b'';", "'''"),
        ("load /* x;", "/*"),
        ("select 'x;", "'"),
    ],
)
def test_what_is_never_closed_is_named(text: str, opened: str) -> None:
    (piece,) = split(text)
    assert piece.unclosed == opened
    assert piece.unclosed.start_pos == text.index(opened)


@given(_TEXT)
def test_splitting_loses_no_text(text: str) -> None:
    assert "".join(statements(text)) == text


@given(_TEXT)
def test_tokens_of_a_query_are_its_text(text: str) -> None:
    tokens = list(sql_tokens(text))
    joined = "".join(tokens)
    assert text.startswith(joined)
    assert joined == text or tokens[-1].type == "UNCLOSED"


@given(_TEXT)
def test_tokens_stand_where_they_say(text: str) -> None:
    for piece in split(text):
        for token in piece.tokens:
            assert text[token.start_pos : token.end_pos] == token
