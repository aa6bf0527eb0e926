"""Queries: any Spark SQL, up to its last ``as name``."""

from __future__ import annotations

from lark import Token

from mlsql_runtime.language import syntax, unsupported
from mlsql_runtime.language.scanner import QUERIES, STATEMENTS, Piece, end_of, sql_tokens, start_of
from mlsql_runtime.language.scope import Scope, refuse
from mlsql_runtime.language.source import CompileError, Diagnostic
from mlsql_runtime.language.variables import refuse_halves
from mlsql_runtime.plan import FunctionRef, Select

_LITERALS = ("STRING", "RAW", "OTHER", "DOT", "COMMA", "EQUAL")


def parse_query(piece: Piece, text: str) -> syntax.SelectNode:
    """Return the query and the table's name.

    :raises CompileError: without a name, and when another statement begins inside.
    """
    _refuse_two_statements(piece.tokens, text)
    *query, before, last = (Token("OTHER", ""), Token("OTHER", ""), *piece.tokens)
    if before.type != "AS" or last.type in _LITERALS:
        message = "a query ends with the name of its table: select … as name"
        raise CompileError(Diagnostic(message, end_of(piece.tokens[-1]), end_of(piece.tokens[-1])))
    return syntax.SelectNode(tuple(query[2:]), last)


def _refuse_two_statements(tokens: tuple[Token, ...], text: str) -> None:
    """Raise CompileError for a line that begins like a statement, after ``as name`` and outside of parentheses."""
    depth = 0
    for before, name, word in zip(tokens, tokens[1:], tokens[2:], strict=False):
        depth += (before == "(") - (before == ")")
        if (
            depth == 0
            and before.type == "AS"
            and name.type not in _LITERALS
            and word.lower() in (*STATEMENTS, *QUERIES)
            and "\n" in text[end_of(name) : start_of(word)]
        ):
            refuse(word, f"a ';' is missing before '{word}'; a statement ends with ';'")


def compile_select(node: syntax.SelectNode, scope: Scope) -> Select:
    """Return the query with its variables replaced, and with the registered functions that it calls."""
    table = scope.name(node.table, "the name of the table")
    begin, end = start_of(node.query[0]), end_of(node.query[-1])
    text = scope.source.text
    sql = text[begin:end]
    if "${" in sql:
        parts, position = [], begin
        for token in node.query:
            parts += [text[position : start_of(token)], scope.variables.sql(token)]
            position = end_of(token)
        sql = "".join(parts)
    refuse_halves(sql, begin, end)
    _check_functions(node.query, scope)
    scope.define(table)
    return Select(table=table, sql=sql, functions=_called(sql, scope))


def _check_functions(tokens: tuple[Token, ...], scope: Scope) -> None:
    """Refuse calls of functions that only MLSQL has, and warn of those that Spark has with another meaning."""
    for before, word, behind in zip(("", *tokens), tokens, tokens[1:], strict=False):
        name = word.strip("`").lower()
        if behind != "(" or before == "." or name in scope.functions or word.type in _LITERALS:
            continue
        if name in unsupported.FUNCTIONS:
            refuse(word, unsupported.FUNCTIONS[name])
        if name in unsupported.OTHER_FUNCTIONS:
            scope.warn(word, unsupported.OTHER_FUNCTIONS[name])


def has_table(sql: str, table: str) -> bool:
    """Return whether a query names a table: False only if it does not read it."""
    before = ""
    for token in sql_tokens(sql):
        if token.type == "SPACE":
            continue
        if before != "." and token.strip("`").lower() == table.lower() and token.type not in _LITERALS:
            return True
        before = str(token)
    return False


def _called(sql: str, scope: Scope) -> tuple[FunctionRef, ...]:
    if not scope.functions:
        return ()
    found: dict[str, FunctionRef] = {}
    before = word = Token("OTHER", "")
    for behind in sql_tokens(sql):  # one at a time: variables may have made many megabytes of it
        if behind.type == "SPACE":
            continue
        if behind == "(" and before != ".":
            name = word.strip("`").lower() if word.type == "BACKQUOTED" else word.lower()
            if name in scope.functions:
                found[name] = scope.functions[name]
        before, word = word, behind
    return tuple(found.values())
