"""load, connect, save and set."""

from __future__ import annotations

import os
from typing import Any

from lark import Token

from mlsql_runtime.errors import InputError
from mlsql_runtime.language import syntax, unsupported
from mlsql_runtime.language.options import Options
from mlsql_runtime.language.scope import Scope, refuse
from mlsql_runtime.language.source import shorten, suggest
from mlsql_runtime.language.variables import is_variable_name
from mlsql_runtime.plan import CATALOG_TABLE, PATH_FORMATS, Load, Save, check_property
from mlsql_runtime.plan.options import own_options

_TEXTS = {"jsonstr": "json", "csvstr": "csv"}
_MODES: dict[str, Any] = {"overwrite": "overwrite", "append": "append", "errorifexists": "errorIfExists", "ignore": "ignore"}
_SET_TYPES = ("", "conf", "defaultparam")


def compile_load(node: syntax.LoadNode, scope: Scope) -> Load:
    """Return the statement, and make its table known."""
    table_format = scope.format(node.ref)
    problem = unsupported.explain_format(table_format)
    if problem:
        refuse(node.ref.format[0], problem)
    options = scope.options(node.options)
    table = ""
    with options.collect_errors():
        table = scope.name(node.table, "the name of the table")
    if table_format.lower() in _TEXTS:
        return _load_text(node, table, options, scope)
    path, given = _stored(table_format, node.ref, options, scope, unsupported.LOAD_OPTIONS)
    scope.define(table)
    if path is not None and table_format.lower() in PATH_FORMATS:
        path = scope.resolve_data(os.path.expanduser(path))
    return Load(table=table, format=table_format, path=path, options=given)


def _load_text(node: syntax.LoadNode, table: str, options: Options, scope: Scope) -> Load:
    """Return the statement for data that a variable holds, which the path names."""
    table_format = _TEXTS[scope.format(node.ref).lower()]
    if table_format == "csv":
        options.refuse(
            ["multiLine"], "csvStr reads line by line; write text with line ends in quotes to a file, and load csv.`path`"
        )
    given, name = options.take_all(), ""
    with options.collect_errors():
        name = scope.variables.text(node.ref.path).strip()
        if name not in scope.variables.values and not options.is_incomplete:
            advice = suggest(name, scope.variables.values) or f"; set {name if is_variable_name(name) else 'name'}='…' before"
            refuse(
                node.ref.path,
                f"{'.'.join(node.ref.format)} loads what a variable holds, and no variable is called {shorten(name)}{advice}",
            )
    options.finish("load")
    scope.define(table)
    return Load(table=table, format=table_format, options=given, text=scope.variables.values[name])


def compile_save(node: syntax.SaveNode, scope: Scope) -> Save:
    """Return the statement."""
    options = scope.options(node.options)
    table_format = scope.format(node.ref)
    if table_format.lower() == "hive":
        refuse(node.ref.format[0], unsupported.HIVE)
    table = ""
    with options.collect_errors():
        table = scope.table(node.table)
    own = own_options(Save)
    file_num, using = options.read(own["file_num"]), options.read(own["using"]) if table_format.lower() == CATALOG_TABLE else None
    path, given = _stored(table_format, node.ref, options, scope, unsupported.SAVE_OPTIONS)
    if path is not None and table_format.lower() in PATH_FORMATS:
        path = scope.check_output_path(node.ref.path, os.path.expanduser(path))
        scope.saved.add(path.rstrip("/"))
    return Save(
        table=table,
        format=table_format,
        path=path,
        mode=_MODES[node.mode.lower()] if node.mode is not None else "errorIfExists",
        options=given,
        partition_by=tuple(scope.variables.text(column) for column in node.partition_by),
        file_num=file_num,
        using=using,
    )


def _stored(
    table_format: str, ref: syntax.TableNode, options: Options, scope: Scope, refused: dict[str, str]
) -> tuple[str | None, dict[str, str]]:
    """Return path and options of a stored table; a table of a connection has no path."""
    for name, message in refused.items():
        options.refuse([name], message)
    given = options.take_all()
    path = ""
    with options.collect_errors():
        path = scope.variables.text(ref.path)
        if table_format.lower() == "jdbc" and not options.is_incomplete:
            given, path = _of_connection(path, ref.path, given, scope), ""
        elif not path.strip() and table_format.lower() in PATH_FORMATS:
            refuse(ref.path, f"the path of the {table_format} data is empty; give it")
        elif not path.strip() and table_format.lower() == CATALOG_TABLE:
            refuse(ref.path, "the name of the table is empty; give it, such as table.`shop.orders`")
    options.finish("this statement")
    return path or None, given


def _of_connection(path: str, token: Token, given: dict[str, str], scope: Scope) -> dict[str, str]:
    """Return Spark's jdbc options for ``alias.table``, or for a table with its ``url``."""
    alias, dot, table = path.partition(".")
    names = {name.lower() for name in given}
    if dot and alias in scope.connections:
        given = {**scope.connections[alias], **given}
    elif "url" in names:
        table = path
    else:
        advice = suggest(alias, scope.connections) if dot else ""
        refuse(
            token,
            f"jdbc: {scope.variables.shown(token)} is not an `alias.table` of a connect before this{advice or '; connect first'}",
        )
    if table and not names & {"dbtable", "query"}:
        given = {**given, "dbtable": table}
    return given


def define_connection(node: syntax.ConnectNode, scope: Scope) -> None:
    """Make an alias for the options known."""
    kind = scope.variables.text(node.format)
    if kind.lower() != "jdbc":
        refuse(node.format, f"connect supports jdbc only, not {shorten(kind)}; write the options in load and save")
    options = scope.options(node.options)
    given = options.take_all()
    options.finish("connect")
    if "url" not in {name.lower() for name in given}:
        refuse(node.alias or node.format, 'connect needs the url of the database: url="jdbc:…"')
    if node.alias is None:
        scope.warn(node.format, "connect without an alias has no effect; end it with as <alias>, which load and save name")
    else:
        scope.connections[scope.variables.text(node.alias)] = given


def set_variable(node: syntax.SetVariableNode, scope: Scope) -> None:
    """Set a variable, or a Spark property with ``type="conf"``."""
    name = ".".join(scope.variables.text(part) for part in node.name)
    options = scope.options(node.options)
    value = ""
    with options.collect_errors():
        value = ".".join(scope.variables.text(part) for part in node.value)
    if options.take_text("scope") is not None:
        scope.warn(node.name[0], "the scope of a variable is the script; scope is ignored")
    kind = (options.take_text("type") or "").lower()
    if kind not in _SET_TYPES:
        expected = f"type is {shorten(kind)}; expected conf or defaultParam, or none for a variable"
        options.report_value("type", unsupported.SET_TYPES.get(kind, expected))
    options.finish("set", known=("type",))
    if kind == "conf":
        _set_property(name, value, node, scope)
        return
    if not is_variable_name(name):
        refuse(node.name[0], f"{shorten(name)} cannot be a variable; expected letters, digits, dots and underscores")
    if name.startswith("spark.") and not kind:
        scope.warn(node.name[0], f'{name} is set as a variable only; for Spark write … where type="conf"')
    if not (kind == "defaultparam" and name in scope.variables.values):
        scope.variables.values[name] = value


def _set_property(name: str, value: str, node: syntax.SetVariableNode, scope: Scope) -> None:
    if scope.conf.get(name, value) != value:
        refuse(
            node.name[0], f"{shorten(name)} was set to another value before; a property holds for the whole job, so set it once"
        )
    try:
        check_property(name, value)
    except InputError as error:
        refuse(node.name[0], error.message)
    scope.conf[name] = value
