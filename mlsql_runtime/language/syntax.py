"""The syntax tree. Its leaves are tokens of the scanner: variables in names and strings are not replaced yet."""

from __future__ import annotations

from dataclasses import dataclass

from lark import Token


@dataclass(frozen=True)
class TableNode:
    """``format.`path```; a format may have dots."""

    format: tuple[Token, ...]
    path: Token


@dataclass(frozen=True)
class OptionNode:
    """``key="value"``; the parts of a bare key stand apart."""

    key: tuple[Token, ...]
    value: Token


@dataclass(frozen=True)
class LoadNode:
    """``load ref options as table``."""

    ref: TableNode
    options: tuple[OptionNode, ...]
    table: Token


@dataclass(frozen=True)
class ConnectNode:
    """``connect format options as alias``."""

    format: Token
    options: tuple[OptionNode, ...]
    alias: Token | None


@dataclass(frozen=True)
class SaveNode:
    """``save mode table as ref options partitionBy …``."""

    mode: Token | None
    table: Token
    ref: TableNode
    options: tuple[OptionNode, ...]
    partition_by: tuple[Token, ...]


@dataclass(frozen=True)
class TrainNode:
    """``train table as ref options as result``."""

    table: Token
    ref: TableNode
    options: tuple[OptionNode, ...]
    result: Token | None


@dataclass(frozen=True)
class PredictNode:
    """``predict table as ref options as result``."""

    table: Token
    ref: TableNode
    options: tuple[OptionNode, ...]
    result: Token | None


@dataclass(frozen=True)
class RegisterNode:
    """``register ref as function options``."""

    ref: TableNode
    function: Token
    options: tuple[OptionNode, ...]


@dataclass(frozen=True)
class SetVariableNode:
    """``set name=value options``; a bare value may have dots."""

    name: tuple[Token, ...]
    value: tuple[Token, ...]
    options: tuple[OptionNode, ...]


@dataclass(frozen=True)
class IncludeNode:
    """``include ref``, or a path alone."""

    kind: Token | None
    path: Token


@dataclass(frozen=True)
class SelectNode:
    """``query as table``: the query's tokens."""

    query: tuple[Token, ...]
    table: Token


Node = LoadNode | ConnectNode | SaveNode | TrainNode | PredictNode | RegisterNode | SetVariableNode | IncludeNode | SelectNode
