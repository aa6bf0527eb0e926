"""Built-in algorithms: scripts that come with this software, which statements name instead of a path."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mlsql_runtime.errors import InputError, did_you_mean
from mlsql_runtime.plan.options import OptionReader, own_options
from mlsql_runtime.plan.parsers import Parser

BUILTINS = ("sklearn",)
MODULE, CLASS = "moduleName", "className"  # fit parameters that name an estimator
_PREFIX = "builtin:"


def to_builtin_path(name: str) -> str:
    """Return what a statement has in place of a script's path.

    :raises InputError: for an unknown algorithm.
    """
    if name not in BUILTINS:
        raise InputError(f"there is no built-in algorithm {name!r}{did_you_mean(name, BUILTINS)}", builtin=name)
    return f"{_PREFIX}{name}"


def get_builtin_name(script_path: str) -> str | None:
    """Return the name of the built-in algorithm; None when the statement names a path."""
    return script_path[len(_PREFIX) :] if script_path.startswith(_PREFIX) else None


#: Reads the name of a built-in algorithm.
BUILTIN = Parser(
    " or ".join(f"`{name}`" for name in BUILTINS),
    "a built-in algorithm",
    lambda value, name, resolver: get_builtin_name(to_builtin_path(str(value))),
)


def choose_script(path: str | None, builtin: str | None, path_option: str, has_builtins: bool = True) -> str:
    """Return the script of a statement, from the two ways of naming one.

    :param path_option: what the caller calls the option for the path.
    :param has_builtins: whether the statement takes built-in algorithms.
    :raises InputError: unless exactly one of them is given.
    """
    if path and builtin:
        raise InputError(f"both {path_option} {path!r} and builtin {builtin!r} are given; leave one of them out")
    if builtin:
        return to_builtin_path(builtin)
    if not path or not path.strip():
        instead = f", or a built-in algorithm as builtin: {BUILTINS[0]!r}" if has_builtins else ""
        raise InputError(f"no script is given; name one as {path_option}{instead}")
    if get_builtin_name(path) is not None:
        raise InputError(f"{path_option} is {path!r}, which is not a path; write builtin {get_builtin_name(path)!r} instead")
    return path


def combine_script(cls: type, values: dict[str, Any], reader: OptionReader) -> None:
    """Combine the options ``pythonScriptPath`` and ``builtin`` of the statement ``cls`` into its field ``script_path``."""
    path, builtin = values["script_path"], values.pop("builtin", None)
    known = own_options(cls)
    try:
        values["script_path"] = choose_script(path, builtin, reader.name(known["script_path"]), "builtin" in known)
    except InputError as error:
        values["script_path"] = ""
        reader.report("pythonScriptPath" if path and not builtin else "builtin", error.message)


def find_estimator_problems(groups: Sequence[Mapping[str, str]]) -> Iterator[tuple[int, str, str]]:
    """Yield what is wrong with the names of the fit groups' estimators: group, parameter, one sentence."""
    for index, params in enumerate(groups):
        for name, example in ((MODULE, "sklearn.svm"), (CLASS, "SVC")):
            value = params.get(name, "")
            parts = value.split(".") if name == MODULE else [value]
            if not value:
                yield index, name, f"fitParam.{index}.{name} is not given; the built-in algorithm needs it, such as {example!r}"
            elif not all(part.isidentifier() for part in parts):
                yield index, name, f"fitParam.{index}.{name} is {value!r}; expected a name such as {example!r}"
            elif any(part.startswith("_") for part in parts):
                yield index, name, f"fitParam.{index}.{name} is {value!r}, which is private; use what its package makes public"
