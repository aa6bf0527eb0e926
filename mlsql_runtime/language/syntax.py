"""Statements as they were written: the values of names and strings are not known yet. Leaves are tokens of the scanner."""

from __future__ import annotations

from dataclasses import dataclass

from lark import Token


@dataclass(frozen=True)
class Ref:
    """``format.`path```; a format may have dots."""

    format: tuple[Token, ...]
    path: Token


@dataclass(frozen=True)
class Option:
    """``key="value"``; the parts of a bare key stand apart."""

    key: tuple[Token, ...]
    value: Token


@dataclass(frozen=True)
class Load:
    """``load ref options as table``."""

    ref: Ref
    options: tuple[Option, ...]
    table: Token


@dataclass(frozen=True)
class Connect:
    """``connect format options as alias``."""

    format: Token
    options: tuple[Option, ...]
    alias: Token


@dataclass(frozen=True)
class Save:
    """``save mode table as ref options partitionBy …``."""

    mode: Token | None
    table: Token
    ref: Ref
    options: tuple[Option, ...]
    partition_by: tuple[Token, ...]


@dataclass(frozen=True)
class Train:
    """``train table as ref options as result``."""

    table: Token
    ref: Ref
    options: tuple[Option, ...]
    result: Token | None


@dataclass(frozen=True)
class Predict:
    """``predict table as ref options as result``."""

    table: Token
    ref: Ref
    options: tuple[Option, ...]
    result: Token


@dataclass(frozen=True)
class Register:
    """``register ref as function options``."""

    ref: Ref
    function: Token
    options: tuple[Option, ...]


@dataclass(frozen=True)
class SetVariable:
    """``set name=value options``; a bare value may have dots."""

    name: tuple[Token, ...]
    value: tuple[Token, ...]
    options: tuple[Option, ...]


@dataclass(frozen=True)
class Include:
    """``include ref``, or a path alone."""

    kind: Token | None
    path: Token


@dataclass(frozen=True)
class Select:
    """``query as table``: the query's tokens."""

    query: tuple[Token, ...]
    table: Token


Node = Load | Connect | Save | Train | Predict | Register | SetVariable | Include | Select
