"""The scanner: text to tokens, and tokens to statements. No other module knows where strings and comments end.

Statements of MLSQL have triple-quoted strings; a query is Spark SQL, in which ``''''`` is a string of one quote and
``r'\\'`` one of one backslash. The first word of a statement decides between the two. Every pattern here takes time
linear in the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from lark import Token

#: Words that begin the statements we have, and the terminals of the grammar that they are.
STATEMENTS = ("load", "connect", "save", "train", "run", "predict", "register", "set", "include")
QUERIES = ("select", "with")
_KEYWORDS = {
    word: word.upper()
    for word in (
        *STATEMENTS,
        *("as", "into", "where", "options", "and", "partitionby", "overwrite", "append", "errorifexists", "ignore"),
    )
}
_STRING = r""" '[^'\\]*(?:\\.[^'\\]*)*' | "[^"\\]*(?:\\.[^"\\]*)*" """
_OWN = rf"""(?P<BLOCK> '''.*?''' | \"\"\".*?\"\"\" ) | (?P<STRING> (?! ''' | \"\"\" ) (?: {_STRING} ) )"""
_SQL = rf"""(?P<RAW> [rR] (?: '[^']*' | "[^"]*" ) ) | (?P<STRING> {_STRING} )"""
_PATTERN = r"""
    (?P<SPACE> \s+ | --[^\n]* | /\*.*?\*/ )
  | %s
  | (?P<BACKQUOTED> `[^`]*(?:``[^`]*)*` )
  | (?P<UNCLOSED> ''' | \"\"\" | ' | " | ` | /\* )
  | (?P<NAME> (?: \w+ | \$\{[^${}\n]*\} )+ )
  | (?P<SEMICOLON> ; ) | (?P<DOT> \. ) | (?P<COMMA> , ) | (?P<EQUAL> = )
  | (?P<OTHER> . )
"""
_IN_OWN = re.compile(_PATTERN % _OWN, re.VERBOSE | re.DOTALL)
_IN_SQL = re.compile(_PATTERN % _SQL, re.VERBOSE | re.DOTALL)


@dataclass(frozen=True)
class Piece:
    """One statement: ``tokens`` without the semicolon, and the text from ``start`` to ``end``, comments and semicolon included.

    The pieces of a text follow each other without a gap. ``unclosed`` is the quote or comment that the text ends in.
    """

    start: int
    end: int
    tokens: tuple[Token, ...]
    unclosed: Token | None = None

    @property
    def word(self) -> str:
        """The first word, in lower case."""
        return str(self.tokens[0]).lower() if self.tokens else ""


def split(text: str) -> Iterator[Piece]:
    """Yield the statements of a script."""
    start = 0
    while start < len(text):
        piece = _next_piece(text, start)
        yield piece
        start = piece.end


def _next_piece(text: str, start: int) -> Piece:
    tokens: list[Token] = []
    position, pattern = start, _IN_OWN
    while position < len(text):
        token = _token(pattern, text, position)
        position = end_of(token)
        if token.type == "SEMICOLON":
            break
        if token.type == "UNCLOSED":
            return Piece(start, len(text), tuple(tokens), token)
        if token.type == "SPACE":
            continue
        if not tokens and token.lower() not in STATEMENTS:
            pattern = _IN_SQL
        tokens.append(token)
    return Piece(start, position, tuple(tokens))


def sql_tokens(text: str) -> Iterator[Token]:
    """Yield the tokens of Spark SQL, with space and comments; an unclosed quote is the last."""
    position = 0
    while position < len(text):
        token = _token(_IN_SQL, text, position)
        yield token
        if token.type == "UNCLOSED":
            return
        position = end_of(token)


def _token(pattern: re.Pattern[str], text: str, position: int) -> Token:
    match = pattern.match(text, position)
    assert match is not None  # the last alternative is any character
    value, kind = match[0], str(match.lastgroup)
    if kind == "NAME":
        kind = _KEYWORDS.get(value.lower(), kind)
    return Token(kind, value, start_pos=position, end_pos=match.end())


def start_of(token: Token) -> int:
    """Return the offset at which a token begins."""
    assert token.start_pos is not None
    return token.start_pos


def end_of(token: Token) -> int:
    """Return the offset after a token."""
    assert token.end_pos is not None
    return token.end_pos
