"""The options of statements: each is declared once, on the field that it sets, and every front door reads the declaration.

A front door is MLSQL text, an operator's arguments, or the command line. It implements :class:`OptionReader`, and
:func:`read_options` takes every option of a statement from it.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from mlsql_runtime.errors import InputError
from mlsql_runtime.plan.parsers import Parser, Resolver, is_nothing, to_texts

REQUIRED = dataclasses.MISSING  # as a default: the field has none
_PLACEHOLDER = re.compile(r"<\w+>")


@dataclass(frozen=True, kw_only=True)
class Option:
    """The declaration of an option.

    :param name: the name in MLSQL. ``<name>`` at its end stands for any name, and ``<i>`` for the number of a fit group.
    :param parser: reads and checks a value.
    :param default: the value without the option.
    :param doc: a sentence for the reference page and for the operators.
    :param argument: the operator's argument; None when operators have none.
    :param key: the key below ``argument``, when the argument is a dict that holds several options; ``""`` for all keys that no
        other option takes, and a name that ends in a dot for all that begin with it.
    :param unit: what a number counts, such as ``s``.
    :param argument_parser: reads the operator's argument, when that takes other values than the text.
    """

    name: str
    parser: Parser
    default: Any
    doc: str
    argument: str | None
    key: str | None = None
    unit: str | None = None
    argument_parser: Parser | None = None

    @property
    def prefix(self) -> str | None:
        """The beginning that several names share, such as ``dataLocal.option.``; None for a single name."""
        found = _PLACEHOLDER.search(self.name)
        return self.name[: found.start()] if found else None

    @property
    def takes_any_name(self) -> bool:
        """Return whether the option takes all that no other option of its statement takes."""
        return self.prefix == ""

    @property
    def is_grouped(self) -> bool:
        """Return whether the names hold the number of a fit group."""
        return self.name.startswith("fitParam.")

    @property
    def is_optional(self) -> bool:
        """Return whether the option has no value by default."""
        return not isinstance(self.default, (bool, str))


@dataclass(frozen=True)
class Nested:
    """Dataclasses that have options, as the types of a statement's field.

    :param types: with several, the front door makes the one that the other options choose.
    :param arguments: the operator's arguments that have another name on this statement, by field.
    """

    types: tuple[type, ...]
    arguments: Mapping[str, str]


def declare(name: str, parser: Parser, default: Any, doc: str, *, argument: str | None = "", **more: Any) -> Option:
    """Return an :class:`Option`; the operator's argument is the name in snake case, unless another one or None is given."""
    named = to_snake_case(name) if argument == "" else argument
    return Option(name=name, parser=parser, default=default, doc=doc, argument=named, **more)


def option(name: str, parser: Parser, default: Any, doc: str, **more: Any) -> Any:
    """Declare a field of a dataclass with the option that sets it, from the parameters of :func:`declare`."""
    declared = declare(name, parser, None if default is REQUIRED else default, doc, **more)
    if default is REQUIRED:
        return dataclasses.field(metadata={"option": declared})
    if isinstance(default, Mapping):
        return dataclasses.field(default_factory=dict, metadata={"option": declared})
    return dataclasses.field(default=default, metadata={"option": declared})


def nested(*types: type, **arguments: str) -> dict[str, Nested]:
    """Return the metadata of a dataclass field of which the types have options; see :class:`Nested`."""
    return {"nested": Nested(types, arguments)}


def own_options(cls: type) -> dict[str, Option]:
    """Return the options of a dataclass, without those of nested ones, by the name of the field or input that they set.

    ``cls.inputs`` declares options that set no field alone: ``cls.combine`` makes fields of them.
    """
    declared = {field.name: field.metadata["option"] for field in dataclasses.fields(cls) if "option" in field.metadata}
    return {**declared, **getattr(cls, "inputs", {})}


def nested_options(cls: type) -> dict[str, Nested]:
    """Return the fields of a dataclass of which the types have options."""
    return {field.name: field.metadata["nested"] for field in dataclasses.fields(cls) if "nested" in field.metadata}


def all_options(cls: type) -> tuple[Option, ...]:
    """Return every option of a statement, in the order of their declarations; nested ones have this statement's arguments."""
    found = list(own_options(cls).values())
    for each in nested_options(cls).values():
        for inner in each.types:
            found += [_rename(option, field, each) for field, option in own_options(inner).items()]
    return tuple(found)


def all_arguments(cls: type) -> tuple[str, ...]:
    """Return the operator's arguments for the options of a statement, each once."""
    return tuple(dict.fromkeys(each.argument for each in all_options(cls) if each.argument is not None))


def to_snake_case(name: str) -> str:
    """Return ``keep_versions`` for ``keepVersions``."""
    return re.sub(r"(?<=[a-z])([A-Z])", r"_\1", name).lower()


def check_options(statement: Any) -> None:
    """Raise OptionError for a field that holds what its option does not take."""
    for name, declared in own_options(type(statement)).items():
        value = getattr(statement, name, None)
        if value is not None:
            declared.parser.check(value, declared.name)


def format_options(statement: Any) -> dict[str, str]:
    """Return the options of a statement that do not hold their defaults, as text, by their names in MLSQL."""
    texts: dict[str, str] = {}
    for field in dataclasses.fields(statement):
        value, declared = getattr(statement, field.name), field.metadata.get("option")
        if "nested" in field.metadata:
            texts |= format_options(value)
        elif declared is None or value is None or value == declared.default:
            continue
        elif declared.prefix is None:
            texts[declared.name] = declared.parser.format(value)
        elif isinstance(value, Mapping):
            texts |= {declared.prefix + name: text for name, text in value.items()}
        else:  # the groups of fitParam
            texts |= {
                f"{declared.prefix}{index}.{name}": text for index, group in enumerate(value) for name, text in group.items()
            }
    return texts


class OptionReader(Protocol):
    """A front door, as the source of options."""

    def read(self, option: Option) -> Any:
        """Return the option's value, or its default; report or raise what is wrong with it."""

    def name(self, option: Option) -> str:
        """Return what the caller calls the option."""

    def report(self, name: str, message: str, at_value: bool = False) -> None:
        """Report, or raise as an InputError, a problem of the option ``name`` (in MLSQL), or of its value."""


def read_options(cls: type, reader: OptionReader, arguments: Nested | None = None) -> dict[str, Any]:
    """Take the options of a dataclass from a front door, and return the values of the fields.

    Fields with several nested types are left to the front door.
    """
    values = {
        name: reader.read(_rename(declared, name, arguments) if arguments else declared)
        for name, declared in own_options(cls).items()
    }
    for name, each in nested_options(cls).items():
        if len(each.types) == 1:
            values[name] = each.types[0](**read_options(each.types[0], reader, each))
    if hasattr(cls, "combine"):
        cls.combine(values, reader)
    return values


def _rename(declared: Option, field: str, nested: Nested) -> Option:
    argument = nested.arguments.get(field)
    return dataclasses.replace(declared, argument=argument) if argument is not None else declared


class ArgumentReader:
    """Options as named arguments: of an operator, rendered from templates perhaps, or of a command.

    :param values: the arguments.
    :param resolver: finds tables and files for the values.
    :param label: what the caller calls an option; by default the argument.
    """

    def __init__(self, values: Mapping[str, Any], resolver: Resolver, label: Callable[[Option], str] | None = None) -> None:
        self._values, self._resolver, self._label = values, resolver, label
        self._dicts: dict[str, dict[str, str]] = {}

    def read(self, option: Option) -> Any:
        if option.argument is None or option.argument not in self._values:
            return option.default
        value = self._values[option.argument] if option.key is None else self._read_key(option.argument, option.key)
        if is_nothing(value):
            return option.default
        return (option.argument_parser or option.parser).parse(value, self.name(option), self._resolver)

    def name(self, option: Option) -> str:
        if self._label is not None:
            return self._label(option)
        return option.key or option.argument or option.name

    def report(self, name: str, message: str, at_value: bool = False) -> None:
        raise InputError(message, option=name)

    def _read_key(self, argument: str, key: str) -> Any:
        """Take a key of a dict, or several; what is taken is not there for the options after it."""
        if argument not in self._dicts:
            self._dicts[argument] = dict(to_texts(self._values[argument], argument))
        given = self._dicts[argument]
        if key and not key.endswith("."):
            return given.pop(key, None)
        return {name[len(key) :]: given.pop(name) for name in list(given) if name.startswith(key)}


def iter_prefixes(cls: type) -> Iterator[str]:
    """Yield the beginnings of names that a statement's options share."""
    for each in all_options(cls):
        if each.prefix is not None:
            yield "fitParam." if each.is_grouped else each.prefix
