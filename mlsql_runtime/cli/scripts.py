"""A script of MLSQL on the command line, and the variables and functions that options pass to it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from mlsql_runtime.cli.options import FILE, KeyValue, to_dict
from mlsql_runtime.errors import InputError
from mlsql_runtime.plan import FunctionRef

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Script:
    """The text of a script, its name in errors, and the folder where its relative paths begin."""

    text: str
    name: str
    folder: Path


def read_script(path: str) -> Script:
    """Return the script in a file, or on standard input for ``-``.

    :raises InputError: when the file cannot be read as UTF-8 text.
    """
    try:
        if not path:
            raise InputError("the name of a script is empty; name a file, or - for standard input")
        if path == "-":
            return Script(sys.stdin.read(), "<stdin>", Path.cwd())
        return Script(Path(path).read_text(encoding="utf-8-sig"), path, Path(path).absolute().parent)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else f"not UTF-8 text ({error})"
        raise InputError(f"{path}: {reason}; expected a script in MLSQL", path=path) from error


def variable_options(command: F) -> F:
    """Add the options ``--var``, ``--var-file`` and ``--function``."""
    variables = click.option(
        "--var", "variables", type=KeyValue(), multiple=True, metavar="NAME=VALUE", help="A value for ${NAME}; repeatable."
    )
    file = click.option(
        "--var-file",
        "variable_file",
        type=FILE,
        metavar="FILE",
        help="A JSON object of values, such as passwords, which others may read on a command line. --var takes precedence.",
    )
    registered = click.option(
        "--function",
        "functions",
        type=KeyValue(),
        multiple=True,
        metavar="NAME=PATH",
        help="A function that queries call, and the model path under which it is registered; repeatable.",
    )
    return variables(file(registered(command)))


def collect_arguments(
    variables: tuple[tuple[str, str], ...], variable_file: str | None, functions: tuple[tuple[str, str], ...]
) -> dict[str, Any]:
    """Return the values of these options as arguments of the compiler."""
    paths = to_dict(functions, "--function")
    references = [FunctionRef(name=name, model_path=os.path.expanduser(path), function=name) for name, path in paths.items()]
    return {"variables": {**read_values(variable_file, "--var-file"), **to_dict(variables, "--var")}, "functions": references}


def read_values(path: str | None, option: str) -> dict[str, Any]:
    """Return the JSON object in the file that an option names; nothing without the option.

    :raises InputError: when the file does not hold a JSON object of texts and numbers.
    """
    if path is None:
        return {}
    try:
        values = json.loads(Path(path).read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else f"not JSON ({error})"
        expected = 'expected a JSON object such as {"day": "2024-05-01"}'
        raise InputError(f"{option} {path}: {reason}; {expected}", path=path) from None
    if not isinstance(values, dict) or not all(isinstance(value, (str, int, float)) for value in values.values()):
        raise InputError(f"{option} {path}: expected a JSON object of names to texts, numbers, true or false", path=path)
    return values
