"""Operator arguments as people give them, rendered from templates perhaps, as the values that a plan takes."""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import conf

from mlsql_runtime.errors import InputError, OptionError, did_you_mean
from mlsql_runtime.plan import NO_ACCESS, FunctionRef, Load, Select, StorageAccess, TableRef, choose_script, parse_table_ref
from mlsql_runtime.plan.options import ArgumentReader
from mlsql_runtime.plan.parsers import Parser, is_nothing, parse_json, whole
from mlsql_runtime.storage.location import Location

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator


class OperatorArguments(ArgumentReader):
    """The rendered arguments of an operator, as the source of a statement's options.

    ``access`` are its connections to storage, ``loads`` are the statements that load the tables which arguments name.
    """

    def __init__(self, operator: BaseOperator, access: StorageAccess = NO_ACCESS) -> None:
        super().__init__(vars(operator), self)
        self._operator, self._access = operator, access
        self.loads: list[Load] = []

    def find_table(self, value: Any, name: str) -> str:
        """Return the name of the table that is loaded for an argument such as ``sample_data``: ``sample``."""
        table = parse_table(value, name)
        self.loads.append(Load(table=name.removesuffix("_data"), format=table.format, path=table.path, options=table.options))
        return self.loads[-1].table

    def resolve_path(self, path: str) -> str:
        """Return a path; a relative one starts at the DAG file's folder if it exists there, else at the working directory."""
        dag = self._operator.get_dag()
        if "://" in path or os.path.isabs(path) or dag is None:
            return path
        beside = os.path.join(os.path.dirname(dag.fileloc), path)
        return beside if os.path.exists(beside) else path

    def read_file(self, path: str) -> bytes | None:
        """Return the content of a file; None if there is no such file."""
        return Location.of(path, self._access).read_or_none()


def set_arguments(operator: BaseOperator, names: Iterable[str], given: Mapping[str, Any]) -> None:
    """Set arguments as attributes of the operator.

    :param given: the arguments of ``__init__`` (``locals()``).
    """
    for name in names:
        setattr(operator, name, given[name])


def is_deferrable(given: bool | None) -> bool:
    """Return whether a task waits in the triggerer; ``[operators] default_deferrable`` decides when nothing is given."""
    return conf.getboolean("operators", "default_deferrable", fallback=False) if given is None else given


def parse_optional(parser: Parser, value: Any, name: str) -> Any:
    """Return the value of an argument, or None for nothing, as a template may render it.

    :raises OptionError: for any other value.
    """
    return None if is_nothing(value) else parser.parse(value, name)


def read_model_path(value: Any) -> str:
    """Return a model path as text, empty for nothing, which statements refuse."""
    return "" if is_nothing(value) else str(value)


def parse_document(value: Any, name: str) -> Any:
    """Return JSON text as its value, and everything else as it is.

    :raises OptionError: for text that begins like JSON and is not.
    """
    try:
        return parse_json(value)
    except ValueError as error:
        raise OptionError(f"{name} is {value!r}, which is {error}", name=name) from None


def parse_table(value: Any, name: str, extra: tuple[str, ...] = ()) -> TableRef:
    """Return a table in storage, from ``format.`path```, a dict, or JSON text of one."""
    return parse_table_ref(parse_document(value, name), name, extra)


def load_selected(data: Any, sql: str | None, functions: tuple[FunctionRef, ...] = ()) -> tuple[Load | Select, ...]:
    """Return the statements that make a table: ``data``, or what a query selects from it, or from tables of catalogs.

    :raises InputError: when neither is given, or the query does not read the data that are given.
    """
    select = Select(table="selected", sql=sql, functions=functions) if sql is not None and not is_nothing(sql) else None
    if is_nothing(data):
        if select is None:
            raise InputError(
                "no data are given; name a table: data=\"libsvm.`/path`\" or data={'format': …, 'path': …}; "
                "or select from tables of a catalog: sql='select … from shop.orders'"
            )
        return (select,)
    table = parse_table(data, "data")
    load = Load(table="data", format=table.format, path=table.path, options=table.options)
    if select is None:
        return (load,)
    from mlsql_runtime.language.queries import has_table  # here, for DAG files to parse fast

    if not has_table(select.sql, load.table):
        raise InputError("data are given, and sql does not read them; select from data, or leave data out")
    return load, select


def parse_functions(value: Any) -> tuple[FunctionRef, ...]:
    """Return functions, from names to model paths (or to register results), one register result, or several, or JSON text.

    :raises InputError: for anything else, and for two functions with one name.
    """
    given = None if is_nothing(value) else parse_document(value, "functions")
    if not given:
        return ()
    if isinstance(given, Mapping) and "function" not in given:
        return tuple(_parse_function(value, name) for name, value in given.items())
    results = [given] if isinstance(given, Mapping) else given
    if not isinstance(results, Sequence) or not all(isinstance(result, Mapping) for result in results):
        raise InputError(f"functions is {given!r}; expected a dict of names to model paths, or the XCom of register tasks")
    found = tuple(_parse_function(result, None) for result in results)
    names = [ref.name for ref in found]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InputError(f"functions holds two functions called {twice}; give a dict with a different name for each")
    return found


def _parse_function(given: Any, name: str | None) -> FunctionRef:
    """Return one function, called ``name`` in SQL, or by its own name."""
    if not isinstance(given, Mapping):
        return FunctionRef(name=str(name), model_path=read_model_path(given), function=str(name))
    missing = next((key for key in ("function", "model_path") if key not in given), None)
    if missing:
        raise InputError(f"functions holds a dict without '{missing}'{did_you_mean(missing, map(str, given))}")
    return FunctionRef(
        name=name or given["function"],
        model_path=read_model_path(given["model_path"]),
        function=given["function"],
        function_version=parse_optional(whole(1), given.get("function_version"), "function_version"),
    )


def refuse_unknown(operator: type[BaseOperator], kwargs: Mapping[str, Any]) -> None:
    """Raise InputError for an argument that the operator does not have, with the nearest one that it has.

    Airflow would only say that the argument is invalid.
    """
    own = {name for cls in operator.__mro__[:-1] for name in inspect.signature(cls).parameters}
    for name in kwargs:
        if name not in own:
            raise InputError(
                f"{operator.__name__} has no argument '{name}'{did_you_mean(name, own - {'kwargs', 'args'})}", argument=name
            )


def check_script_arguments(path: str | None, builtin: str | None, is_required: bool = True) -> None:
    """Raise InputError if both a script and a built-in algorithm are given, or neither is, as far as templates show it."""
    if not _is_template(path) and not _is_template(builtin):
        choose_script(path, builtin, "python_script_path", is_required)


def _is_template(given: object) -> bool:
    """Return whether a value is known only when the task runs: text to render, or the XCom of another task."""
    return given is not None and (not isinstance(given, str) or "{{" in given or "{%" in given)
