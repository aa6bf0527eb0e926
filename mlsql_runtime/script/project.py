"""The ``MLproject`` of a project: the script of each statement, with its arguments and parameters.

The format is MLflow's. Entry points are below ``entry_points``, or as in MLSQL below ``entry_points.main``.
"""

from __future__ import annotations

import posixpath
import re
import reprlib
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mlsql_runtime.errors import InputError, did_you_mean
from mlsql_runtime.script.yaml_document import check_mapping, read_yaml

MLPROJECT = "MLproject"
ENTRY_POINTS = {"train": "train", "register": "api_predict", "predict": "batch_predict"}  # by statement
_FIELDS = ("name", "entry_points", "conda_env", "python_env", "docker_env")
_ENVIRONMENTS = ("conda_env", "python_env", "docker_env")
_TYPES = ("string", "str", "float", "int", "path", "uri")
_PLACE = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True)
class Parameter:
    """A parameter of an entry point; one whose ``default`` is None is required."""

    type: str
    default: str | None


@dataclass(frozen=True)
class EntryPoint:
    """``command: python <script> <arguments>``; ``{name}`` in an argument stands for a parameter."""

    script: str
    arguments: tuple[str, ...] = ()
    parameters: Mapping[str, Parameter] = field(default_factory=dict)

    def fill(self, given: Mapping[str, str], where: str) -> dict[str, str]:
        """Return the given parameters, with defaults for the others.

        :param where: the name of the parameters in errors, such as ``fitParam.0``.
        :raises InputError: when one without a default is missing, or is not of its type.
        """
        for name, parameter in self.parameters.items():
            value = given.get(name, parameter.default)
            if value is None:
                raise InputError(
                    f"{where}.{name} is missing: {MLPROJECT} has no default for it; give one of type {parameter.type}"
                )
            if not _is_of(value, parameter.type):
                raise InputError(f"{where}.{name} is {value!r}; {MLPROJECT} declares it with type {parameter.type}")
        defaults = {name: parameter.default for name, parameter in self.parameters.items() if parameter.default is not None}
        return {**defaults, **given}

    def command_line(self, parameters: Mapping[str, str]) -> tuple[str, ...]:
        """Return the arguments of the script, with the values of parameters filled in."""
        return tuple(_PLACE.sub(lambda match: str(parameters.get(match[1], match[0])), text) for text in self.arguments)


@dataclass(frozen=True)
class Project:
    """The entry points of a project by name; ``notes`` are remarks for its author."""

    points: Mapping[str, EntryPoint]
    notes: tuple[str, ...]


def read_project(text: bytes, where: str) -> Project:
    """Parse an ``MLproject``.

    :param where: its path, for errors.
    :raises InputError: when it is not YAML, is larger than 16 KiB, has not the fields of an MLproject, or PyYAML is missing.
    """
    document = read_yaml(text, where)
    for name in document:
        if name not in _FIELDS:
            raise InputError(f"{where}: unknown field '{name}'{did_you_mean(str(name), _FIELDS)}")
    points = check_mapping(document.get("entry_points"), f"{where}: entry_points")
    main = points.get("main")
    if isinstance(main, Mapping) and "command" not in main:  # as MLSQL has it
        points = {**{name: point for name, point in points.items() if name != "main"}, **main}
    notes = tuple(
        f"{name} of {MLPROJECT} is not used: give the script's environment as python_path, requirements or archives "
        "(pythonPath, …)"
        for name in _ENVIRONMENTS
        if document.get(name)
    )
    return Project({name: _point(point, f"{where}: {name}") for name, point in points.items()}, notes)


def _point(value: Any, where: str) -> EntryPoint:
    point = check_mapping(value, where)
    command = point.get("command")
    words = _words(command) if isinstance(command, str) else []
    is_python = bool(words) and re.fullmatch(r"python[0-9.]*", posixpath.basename(words[0]))
    if not is_python or len(words) < 2 or not words[1].endswith(".py"):
        raise InputError(f"{where}: the command is {reprlib.repr(command)}; expected one such as 'python train.py {{alpha}}'")
    parameters = {str(name): _parameter(given, f"{where}: parameter {name}") for name, given in _parameters(point, where).items()}
    for place in (name for word in words[2:] for name in _PLACE.findall(word)):
        if place not in parameters:
            raise InputError(f"{where}: the command has {{{place}}}, which is not a parameter{did_you_mean(place, parameters)}")
    return EntryPoint(posixpath.normpath(words[1]), tuple(words[2:]), parameters)


def _parameters(point: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    given = point.get("parameters")
    return check_mapping(given, f"{where}: parameters") if given else {}


def _words(command: str) -> list[str]:
    try:
        return shlex.split(command)
    except ValueError:  # a quotation mark without its end
        return []


def _parameter(given: Any, where: str) -> Parameter:
    """Read ``float``, or ``{type: float, default: 0.5}``."""
    kind = given.get("type", "string") if isinstance(given, Mapping) else given
    default = given.get("default") if isinstance(given, Mapping) else None
    if kind not in _TYPES:
        raise InputError(f"{where}: the type is {reprlib.repr(kind)}; expected {', '.join(_TYPES)}")
    if isinstance(default, (Mapping, list, tuple, set)):
        raise InputError(f"{where}: the default is a {type(default).__name__}; expected a text or a number")
    text = None if default is None else str(default)
    if text is not None and not _is_of(text, kind):
        raise InputError(f"{where}: the default {text[:100]!r} is not a {kind}")
    return Parameter(kind, text)


def _is_of(text: str, kind: str) -> bool:
    try:
        {"float": float, "int": int}.get(kind, str)(text)
    except ValueError:
        return False
    return True
