"""Built-in algorithms: scripts that come with this software, which statements name instead of a path."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mlsql_runtime.errors import InputError, did_you_mean
from mlsql_runtime.plan.options import OptionReader, declare, own_options
from mlsql_runtime.plan.parsers import PATH, Parser

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


#: MLSQL's other name for the path of a script.
DESC_PATH = {
    "python_desc_path": declare("pythonDescPath", PATH, None, "Another name for ``pythonScriptPath``.", argument=None),
}


def choose_script(path: str | None, builtin: str | None, path_option: str, is_required: bool = True) -> str | None:
    """Return the script of a statement, from the two ways of naming one; None without either.

    :param path_option: what the caller calls the option for the path.
    :raises InputError: when both are given, or none is that is required.
    """
    if path and builtin:
        raise InputError(f"both {path_option} {path!r} and builtin {builtin!r} are given; leave one of them out")
    if builtin:
        return to_builtin_path(builtin)
    if not path or not path.strip():
        if is_required:
            raise InputError(
                f"no script is given; name one as {path_option}, or a built-in algorithm as builtin: {BUILTINS[0]!r}"
            )
        return None
    if get_builtin_name(path) is not None:
        raise InputError(f"{path_option} is {path!r}, which is not a path; write builtin {get_builtin_name(path)!r} instead")
    return path


def combine_script(cls: type, values: dict[str, Any], reader: OptionReader, is_required: bool = True) -> None:
    """Combine the options that name the script of the statement ``cls`` into its field ``script_path``."""
    path, other, builtin = values["script_path"], values.pop("python_desc_path"), values.pop("builtin", None)
    if path and other not in (None, path):
        reader.report(
            "pythonDescPath", "pythonScriptPath and pythonDescPath mean the same and name two scripts; give one of them"
        )
    try:
        values["script_path"] = choose_script(path or other, builtin, reader.name(own_options(cls)["script_path"]), is_required)
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
