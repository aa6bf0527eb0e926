"""Checks of names and texts that statements share."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from mlsql_runtime.errors import InputError

RESOURCE = "resource."  # a fit parameter that begins so names a file or folder to bring along
_RESOURCE_NAME = re.compile(r"(?!\.+$)[^/\\\0]{1,60}")  # a file system takes 255 bytes
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def is_identifier(name: str) -> bool:
    """Return whether ``name`` can stand unquoted in SQL as the name of a table or function."""
    return _IDENTIFIER.fullmatch(name) is not None


def require_identifier(name: str, what: str) -> None:
    """Raise InputError unless ``name`` can stand unquoted in SQL. ``what`` says what it names."""
    require_text(name, what)
    if not is_identifier(name):
        raise InputError(
            f"{what} is {name!r}, which is not an SQL identifier; use letters, digits and underscores, not starting with a digit",
            name=name,
        )


def require_text(value: str | None, what: str) -> None:
    """Raise InputError when ``value`` is None, blank, or not text, as templates may render it. ``what`` says what it is."""
    if value is None or value == "":
        raise InputError(f"{what} is empty; give it")
    if not isinstance(value, str):
        raise InputError(f"{what} is {value!r}; expected text")
    if not value.strip():
        raise InputError(f"{what} is empty; give it")


def list_resources(groups: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Return the files and folders that parameters of fit groups name, by the name of the option.

    :raises InputError: for a name that cannot be one of a folder.
    """
    found = {}
    for index, params in enumerate(groups):
        for name, uri in params.items():
            if not name.startswith(RESOURCE):
                continue
            if not _RESOURCE_NAME.fullmatch(name[len(RESOURCE) :]):
                shown = name[:100]
                raise InputError(f"fitParam.{index}.{shown}: expected a name for the resource, without slashes", name=shown)
            found[f"fitParam.{index}.{name}"] = uri
    return found


def check_model_script(model_path: str, script_path: str | None, groups: Sequence[Mapping[str, str]]) -> None:
    """Check the model path, the script and the parameters of a statement that runs a script for a model.

    :param script_path: None for the script in the project that trained the model.
    :raises InputError: for the first that cannot be what it is for.
    """
    require_text(model_path, "the model path")
    if script_path is not None:
        require_text(script_path, "pythonScriptPath")
    list_resources(groups)
