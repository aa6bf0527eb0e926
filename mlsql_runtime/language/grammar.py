"""The parser of statements, with the grammar ``mlsql.lark``, and its errors."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Sequence
from importlib import resources
from typing import Any, cast

from lark import Lark, Token, Transformer, UnexpectedToken, v_args
from lark.lexer import Lexer

from mlsql_runtime.language import syntax
from mlsql_runtime.language.scanner import QUERIES, STATEMENTS, Piece, end_of, start_of
from mlsql_runtime.language.source import CompileError, Diagnostic, shorten

_SPOKEN = {
    "NAME": "a name",
    "BACKQUOTED": "a name",
    "STRING": "a value in quotes",
    "BLOCK": "a value in quotes",
    "DOT": "'.'",
    "COMMA": "','",
    "EQUAL": "'='",
    "PARTITIONBY": "'partitionBy'",
    "$END": "';'",
}
_MODES = ("overwrite", "append", "errorIfExists", "ignore")


class _Tokens(Lexer):
    """Passes on the tokens of the scanner."""

    def __init__(self, lexer_conf: object) -> None:
        del lexer_conf

    def lex(self, lexer_state: Any, parser_state: Any = None) -> Iterator[Token]:
        yield from lexer_state


@v_args(inline=True)
class _Nodes(Transformer[Token, Any]):
    """Makes nodes while the parser runs; each method gets the matches of the rule with its name."""

    def load(self, _: Token, ref: syntax.TableNode, *rest: Any) -> syntax.LoadNode:
        return syntax.LoadNode(ref, _options(rest), rest[-1])

    def connect(self, _: Token, kind: Token, *rest: Any) -> syntax.ConnectNode:
        return syntax.ConnectNode(kind, _options(rest), _last_name(rest))

    def save(self, _: Token, *rest: Any) -> syntax.SaveNode:
        mode = rest[0] if rest[1].type != "AS" else None
        table, _as, ref, *more = rest if mode is None else rest[1:]
        names = [item for item in more if isinstance(item, Token) and item.type not in ("PARTITIONBY", "COMMA")]
        return syntax.SaveNode(mode, table, ref, _options(more), tuple(names))

    def train(self, _: Token, table: Token, _as: Token, ref: syntax.TableNode, *rest: Any) -> syntax.TrainNode:
        return syntax.TrainNode(table, ref, _options(rest), _last_name(rest))

    def predict(self, _: Token, table: Token, _as: Token, ref: syntax.TableNode, *rest: Any) -> syntax.PredictNode:
        return syntax.PredictNode(table, ref, _options(rest), _last_name(rest))

    def register(self, _: Token, ref: syntax.TableNode, _as: Token, function: Token, *rest: Any) -> syntax.RegisterNode:
        return syntax.RegisterNode(ref, function, _options(rest))

    def set_variable(self, _: Token, key: tuple[Token, ...], _equal: Token, value: Any, *rest: Any) -> syntax.SetVariableNode:
        return syntax.SetVariableNode(key, value if isinstance(value, tuple) else (value,), _options(rest))

    def include(self, _: Token, what: syntax.TableNode | Token) -> syntax.IncludeNode:
        if isinstance(what, syntax.TableNode):
            return syntax.IncludeNode(what.format[0], what.path)
        return syntax.IncludeNode(None, what)

    def ref(self, *parts: Token) -> syntax.TableNode:
        names = [part for part in parts if part.type != "DOT"]
        return syntax.TableNode(tuple(names[:-1]), names[-1])

    def options(self, *parts: Any) -> tuple[syntax.OptionNode, ...]:
        return tuple(part for part in parts if isinstance(part, syntax.OptionNode))

    def option(self, key: tuple[Token, ...], _equal: Token, value: Token) -> syntax.OptionNode:
        return syntax.OptionNode(key, value)

    def key(self, *parts: Token) -> tuple[Token, ...]:
        return tuple(part for part in parts if part.type != "DOT")

    def bare(self, *parts: Token) -> tuple[Token, ...]:
        return tuple(part for part in parts if part.type != "DOT")

    def value(self, token: Token) -> Token:
        return token

    name = plain = mode = value


def _options(rest: Iterable[Any]) -> tuple[syntax.OptionNode, ...]:
    return next((item for item in rest if isinstance(item, tuple)), ())


def _last_name(rest: Sequence[Any]) -> Token | None:
    """Return the name at the end of a statement, which may have none."""
    return rest[-1] if rest and isinstance(rest[-1], Token) else None


@functools.cache
def _parser() -> Lark:
    text = resources.files(__package__).joinpath("mlsql.lark").read_text(encoding="utf-8")
    return Lark(text, parser="lalr", lexer=_Tokens, transformer=_Nodes(), maybe_placeholders=False)


def parse(piece: Piece) -> syntax.Node:
    """Return the node of a statement of :data:`~mlsql_runtime.language.scanner.STATEMENTS`.

    :raises CompileError: at the token that does not fit.
    """
    try:
        return cast(syntax.Node, _parser().parse(piece.tokens))
    except UnexpectedToken as error:
        raise CompileError(_unexpected(piece, error)) from None


def _unexpected(piece: Piece, error: UnexpectedToken) -> Diagnostic:
    last = end_of(piece.tokens[-1])
    at_end = error.token.type == "$END"
    start, end = (last, last) if at_end else (start_of(error.token), end_of(error.token))
    before = next((token for token in reversed(piece.tokens) if end_of(token) <= start), piece.tokens[0])
    got = "the end of the statement" if at_end else _shown(error.token)
    expected = " or ".join(sorted(_spoken(set(error.accepts))))
    advice = _advice(before, error.token, set(error.accepts))
    return Diagnostic(f"{piece.word}: expected {expected} after {_shown(before)}, got {got}{advice}", start, end)


def _shown(token: Token) -> str:
    """Return a token for a message, without values, which may be secret."""
    return "a value in quotes" if token.type in ("STRING", "BLOCK", "RAW") else shorten(str(token))


def _spoken(accepted: set[str]) -> set[str]:
    """Return the names of terminals for a message. Where any word is a name, keywords are not listed."""
    if "LOAD" in accepted and "NAME" in accepted:
        accepted = accepted - {word.upper() for word in (*STATEMENTS, "and", "where", "options", "into", *_MODES)}
    if "WHERE" in accepted:
        accepted = accepted - {"AND"}
    return {_SPOKEN.get(kind, f"'{kind.lower()}'") for kind in accepted}


def _advice(before: Token, got: Token, accepted: set[str]) -> str:
    if got.lower() in (*STATEMENTS, *QUERIES) and "$END" in accepted:
        return "; a statement ends with ';'"
    if "STRING" in accepted and before.type == "EQUAL":
        return f"; values stand in quotes, such as {shorten(str(got))}" if got.type == "NAME" else "; values stand in quotes"
    if got.type == "COMMA" and "AND" in accepted:
        return "; options are joined by 'and'"
    if "AND" in accepted and got.type in ("NAME", "BACKQUOTED"):
        return "; 'and' is missing between options"
    if got.type in ("STRING", "BLOCK") and "BACKQUOTED" in accepted:
        return "; names and paths stand in back-quotes, as in parquet.`/data/x`"
    if got.type == "OTHER" and str(got) in "/-:~" and accepted & {"DOT", "AS", "BACKQUOTED"}:
        return "; a path or name with such characters stands in back-quotes"
    return ""
