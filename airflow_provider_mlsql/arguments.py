"""Operator arguments as people give them, rendered from templates perhaps, as the values a plan takes."""

from __future__ import annotations

import ast
import inspect
import json
import os
import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mlsql_runtime.errors import InputError, did_you_mean
from mlsql_runtime.plan import FunctionRef, TableRef, choose_script, format_option, get_builtin_name, parse_table_ref
from mlsql_runtime.store.requirements import read_requirements

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator

_NOTHING = (None, "", "None", "null")


def as_int(value: Any, what: str) -> int | None:
    """A whole number, or None for nothing; text as templates render it is fine."""
    if value in _NOTHING:
        return None
    try:
        return int(str(value))
    except ValueError:
        raise InputError(f"{what} is {value!r}; expected a whole number") from None


def as_float(value: Any, what: str) -> float | None:
    """A number, or None for nothing."""
    if value in _NOTHING:
        return None
    try:
        return float(str(value))
    except ValueError:
        raise InputError(f"{what} is {value!r}; expected a number") from None


def as_bool(value: Any, what: str) -> bool:
    """True or False, or the text of one."""
    word = str(value).strip().lower()
    if word not in ("true", "false"):
        raise InputError(f"{what} is {value!r}; expected true or false")
    return word == "true"


def as_choice(value: Any, what: str, choices: Sequence[str]) -> Any:
    """One of a few words."""
    if value not in choices:
        raise InputError(f"{what} is {value!r}; expected {', '.join(map(repr, choices[:-1]))} or {choices[-1]!r}")
    return value


def as_options(value: Any, what: str) -> dict[str, str]:
    """A dict of option texts, or JSON text of one; options that are None are left out."""
    value = as_value(value, what)
    if value in _NOTHING:
        return {}
    if not isinstance(value, Mapping):
        raise InputError(f"{what} is a {type(value).__name__}; expected a dict")
    return {str(key): format_option(item) for key, item in value.items() if item is not None}


def as_flags(value: Any) -> tuple[str, ...]:
    """Flags of an interpreter: a list, or text as on a command line."""
    return tuple(shlex.split(value)) if isinstance(value, str) else tuple(map(str, value or ()))


def as_groups(value: Any) -> tuple[dict[str, str], ...]:
    """``fit_params``: a list of dicts, one dict, or JSON text of either; nothing is one empty group."""
    value = as_value(value, "fit_params")
    if value in _NOTHING:
        return ({},)
    groups = [value] if isinstance(value, Mapping) else value
    if not isinstance(groups, Sequence) or isinstance(groups, str):
        raise InputError(f"fit_params is {value!r}; expected a list of dicts, one for each fit group")
    return tuple(as_options(group, f"fit_params[{index}]") for index, group in enumerate(groups))


def as_table(value: Any, what: str, extra: tuple[str, ...] = ()) -> TableRef:
    """A table in storage: ``format.`path```, a dict, or JSON text of one."""
    return parse_table_ref(as_value(value, what), what, extra)


def as_functions(value: Any) -> tuple[FunctionRef, ...]:
    """Names to model paths (or to register results), one register result, or several; or JSON text of either."""
    given = as_value(value, "functions")
    if not given:
        return ()
    if isinstance(given, Mapping) and "function" not in given:
        return tuple(_function(value, name) for name, value in given.items())
    results = [given] if isinstance(given, Mapping) else given
    if (
        not isinstance(results, Sequence)
        or isinstance(results, str)
        or not all(isinstance(result, Mapping) for result in results)
    ):
        raise InputError(f"functions is {given!r}; expected a dict of names to model paths, or the XCom of register tasks")
    made = tuple(_function(result, None) for result in results)
    names = [ref.name for ref in made]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InputError(f"functions holds two functions called {twice}; give a dict with a name of its own for each")
    return made


def _function(given: Any, name: str | None) -> FunctionRef:
    """One function, called ``name`` in SQL, or by its own name."""
    if not isinstance(given, Mapping):
        return FunctionRef(name=str(name), model_path=str(given), function=str(name))
    missing = next((key for key in ("function", "model_path") if key not in given), None)
    if missing:
        raise InputError(f"functions holds a dict without '{missing}'{did_you_mean(missing, map(str, given))}")
    return FunctionRef(
        name=name or given["function"],
        model_path=str(given["model_path"]),
        function=given["function"],
        function_version=given.get("function_version"),
    )


def as_value(value: Any, what: str) -> Any:
    """JSON text as its value; everything else as it is."""
    return _json(value, what) if isinstance(value, str) and value.lstrip()[:1] in ("{", "[") else value


def _json(text: str, what: str) -> Any:
    """JSON; or what Jinja makes of a list or dict when it renders text, which is Python's notation."""
    try:
        return json.loads(text)
    except ValueError as error:
        try:
            return ast.literal_eval(text)
        except (ValueError, SyntaxError):
            raise InputError(f"{what} is {text!r}, which is not JSON ({error})") from None


def refuse_unknown(operator: type[BaseOperator], kwargs: Mapping[str, Any]) -> None:
    """Name the nearest argument for one that the operator does not have, before Airflow only says that there is none."""
    own = {name for cls in operator.__mro__[:-1] for name in inspect.signature(cls).parameters}
    for name in kwargs:
        if name not in own:
            raise InputError(
                f"{operator.__name__} has no argument '{name}'{did_you_mean(name, own - {'kwargs', 'args'})}", argument=name
            )


def check_script_arguments(path: str | None, builtin: str | None) -> None:
    """When a DAG is read, as far as templates let it be known: exactly one of a script and a built-in algorithm is given.

    :raises InputError: otherwise.
    """
    if not _is_template(path) and not _is_template(builtin):
        choose_script(path, builtin, "python_script_path")


def _is_template(given: object) -> bool:
    """Whether it is not known before the task runs: text to render, or another task's answer."""
    return given is not None and (not isinstance(given, str) or "{{" in given or "{%" in given)


def script_or_builtin(operator: BaseOperator, path: str | None, builtin: str | None) -> str:
    """The script of a statement: ``python_script_path``, or what ``builtin`` names."""
    given = [None if value in _NOTHING else value for value in (path, builtin)]
    script = choose_script(given[0], given[1], "python_script_path")
    return script if get_builtin_name(script) is not None else script_path(operator, script)


def as_requirements(operator: BaseOperator, value: Any) -> str | None:
    """The text of a requirements file: of the file at a path, which may be relative as a script's, or of a list of packages."""
    given = as_value(value, "requirements")
    if given in _NOTHING:
        return None
    if isinstance(given, str):
        return read_requirements(script_path(operator, given))
    if not isinstance(given, Sequence):
        raise InputError(
            f"requirements is a {type(given).__name__}; expected the path of a requirements file, or a list of packages"
        )
    return "\n".join(map(str, given))


def as_archives(operator: BaseOperator, value: Any) -> tuple[str, ...]:
    """Packed environments, ``<path>#<name>``: a list, or text with commas between them; paths may be relative as a script's."""
    given = as_value(value, "archives")
    if given in _NOTHING:
        return ()
    parts = given.split(",") if isinstance(given, str) else given
    if not isinstance(parts, Sequence):
        raise InputError(f"archives is a {type(given).__name__}; expected text such as 'env.tar.gz#env', or a list of such")
    split = [str(part).strip().partition("#") for part in parts]
    return tuple(f"{script_path(operator, path)}{mark}{name}" for path, mark, name in split)


def script_path(operator: BaseOperator, path: str) -> str:
    """A relative script path, from the DAG file's folder if there is such a script, else from the working directory."""
    dag = operator.get_dag()
    if "://" in path or os.path.isabs(path) or dag is None:
        return path
    beside = os.path.join(os.path.dirname(dag.fileloc), path)
    return beside if os.path.exists(beside) else path
