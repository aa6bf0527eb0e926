"""Ready-made algorithms: scripts that come with this software, which statements name instead of a path."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from mlsql_runtime.errors import InputError, did_you_mean

BUILTINS = ("sklearn",)
MODULE, CLASS = "moduleName", "className"  # fit parameters that name an estimator
_PREFIX = "builtin:"


def to_builtin_path(name: str) -> str:
    """What stands in a statement where otherwise a script's path does.

    :raises InputError: naming those there are.
    """
    if name not in BUILTINS:
        raise InputError(f"there is no built-in algorithm {name!r}{did_you_mean(name, BUILTINS)}", builtin=name)
    return f"{_PREFIX}{name}"


def get_builtin_name(script_path: str) -> str | None:
    """Which built-in algorithm a statement names; None when it names a path."""
    return script_path[len(_PREFIX) :] if script_path.startswith(_PREFIX) else None


def choose_script(path: str | None, builtin: str | None, path_option: str) -> str:
    """What a statement has as its script, from the two ways of naming one.

    :param path_option: what the option for the path is called.
    :raises InputError: unless exactly one of them is given.
    """
    if path and builtin:
        raise InputError(f"both {path_option} {path!r} and builtin {builtin!r} are given; leave one of them out")
    if builtin:
        return to_builtin_path(builtin)
    if not path:
        raise InputError(f"no script is given; name one as {path_option}, or a ready-made algorithm as builtin: {BUILTINS[0]!r}")
    if get_builtin_name(path) is not None:
        raise InputError(f"{path_option} is {path!r}, which is no path; write builtin {get_builtin_name(path)!r} instead")
    return path


def find_estimator_problems(groups: Sequence[Mapping[str, str]]) -> Iterator[tuple[int, str, str]]:
    """What is wrong with how fit groups name their estimators, as far as the names tell: group, parameter, one sentence."""
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
