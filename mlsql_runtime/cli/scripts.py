"""A script of MLSQL on the command line, and the variables and functions that options pass to it."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlsql_runtime.cli.options import json_file_option, pairs_option
from mlsql_runtime.errors import InputError
from mlsql_runtime.plan import FunctionRef


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


def script_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--var``, ``--var-file`` and ``--function``; the command gets them in ``arguments``, as the compiler takes them."""

    @pairs_option("--var", "variables", help="A value for ${NAME}; repeatable.")
    @json_file_option(
        "--var-file",
        "values",
        help="A JSON object of values, such as passwords, which others may read on a command line. --var takes precedence.",
    )
    @pairs_option(
        "--function",
        "functions",
        metavar="NAME=PATH",
        help="A function that queries call, and the model path under which it is registered; repeatable.",
    )
    @functools.wraps(command)
    def collect(*args: Any, variables: dict[str, str], values: dict[str, Any], functions: dict[str, str], **others: Any) -> Any:
        references = [
            FunctionRef(name=name, model_path=os.path.expanduser(path), function=name) for name, path in functions.items()
        ]
        return command(*args, arguments={"variables": {**values, **variables}, "functions": references}, **others)

    return collect
