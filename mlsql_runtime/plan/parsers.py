"""Values of options: each parser takes MLSQL text as well as a value of Python, and knows what it expects."""

from __future__ import annotations

import ast
import json
import math
import re
import shlex
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from mlsql_runtime.errors import InputError, OptionError
from mlsql_runtime.plan.table_ref import format_option

_NOTHING = ("", "{}", "None", "null")  # texts that templates render for a value that is not there


def is_nothing(value: Any) -> bool:
    """Return whether a value is None, an empty dict, or text that templates render for either: the option is not given."""
    return value is None or (isinstance(value, (str, Mapping)) and (not value or value in _NOTHING))


class Resolver(Protocol):
    """A finder of the files and tables that values name, implemented by each front door."""

    def find_table(self, value: Any, name: str) -> str:
        """Return the name of the table that the value of the option ``name`` means.

        :raises InputError: when there is none.
        """

    def resolve_path(self, path: str) -> str:
        """Return the path of a script or an environment: a relative one starts at the folder of the MLSQL script or DAG file."""

    def read_file(self, path: str) -> bytes | None:
        """Return the content of a file; None if there is no such file."""


class _NoFiles:
    """The resolver for values that name neither tables nor files."""

    def find_table(self, value: Any, name: str) -> str:
        raise InputError(f"{name} cannot name a table here")

    def resolve_path(self, path: str) -> str:
        return path

    def read_file(self, path: str) -> bytes | None:
        raise InputError(f"{path} cannot be read here")


NO_FILES: Resolver = _NoFiles()
Converter = Callable[[Any, str, Resolver], Any]


@dataclass(frozen=True)
class Parser:
    """A reader of the values of an option.

    :param type: the type, for the reference page.
    :param expected: the end of the sentence "expected …".
    :param convert: makes the value that a statement holds from text or a value of Python, the option's name, and the front
        door's resolver. It raises ValueError, with a detail perhaps, for what it cannot convert.
    :param accepts: whether a converted value is one that the option takes.
    :param format: makes text of a converted value.
    :param hides_value: whether errors leave the value out, because it may hold secrets.
    """

    type: str
    expected: str
    convert: Converter
    accepts: Callable[[Any], bool] = lambda value: True
    format: Callable[[Any], str] = format_option
    hides_value: bool = False

    def parse(self, value: Any, name: str, resolver: Resolver = NO_FILES) -> Any:
        """Return the value that a statement holds.

        :raises OptionError: for any other value.
        """
        try:
            converted = self.convert(value, name, resolver)
        except ValueError as error:
            raise self._error(value, name, f"{self.expected} ({error})" if str(error) else self.expected) from None
        return self.check(converted, name)

    def check(self, value: Any, name: str) -> Any:
        """Return a value that is converted already.

        :raises OptionError: when the option does not take it.
        """
        if not self.accepts(value):
            raise self._error(value, name, self.expected)
        return value

    def _error(self, value: Any, name: str, expected: str) -> OptionError:
        is_shown = not self.hides_value and (value is None or isinstance(value, (str, int, float)))
        got = repr(value) if is_shown else f"a {type(value).__name__}"
        return OptionError(name=name, got=got, expected=expected)


def _simple(convert: Callable[[Any], Any]) -> Converter:
    return lambda value, name, resolver: convert(value)


def _to_bool(value: Any) -> bool:
    word = str(value).strip().lower()
    if word not in ("true", "false"):
        raise ValueError
    return word == "true"


def _to_int(value: Any) -> int:
    text = str(value).strip()
    if not re.fullmatch(r"[0-9]{1,18}", text):
        raise ValueError
    return int(text)


def _to_float(value: Any) -> float:
    try:
        number = float(str(value))
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError
    return number


def _to_path(path: str, resolver: Resolver) -> str | None:
    return resolver.resolve_path(path) if path.strip() else None  # a blank one would become the folder that it is in


def whole(at_least: int, at_most: int | None = None) -> Parser:
    """Return a parser of whole numbers in a range."""
    span = f"at least {at_least}" if at_most is None else f"{at_least} to {at_most}"
    expected = f"a whole number {'of' if at_most is None else 'from'} {span}"
    return Parser(
        f"whole number, {span}",
        expected,
        _simple(_to_int),
        lambda value: value >= at_least and (at_most is None or value <= at_most),
    )


def choice(*words: str, **values: Any) -> Parser:
    """Return a parser of a few words, or of words that mean ``values``."""
    meanings = {**{word: word for word in words}, **values}

    def convert(value: Any) -> Any:
        if not isinstance(value, str) or value not in meanings:
            raise ValueError
        return meanings[value]

    known = list(meanings)
    words_of = {meaning: word for word, meaning in meanings.items()}
    return Parser(
        " or ".join(f"`{word}`" for word in known),
        " or ".join([", ".join(known[:-1]), known[-1]]),
        _simple(convert),
        lambda value: value in words_of,
        words_of.__getitem__,
    )


BOOLEAN = Parser("true or false", "true or false", _simple(_to_bool))
NUMBER = Parser("number", "a number", _simple(_to_float))
NOT_NEGATIVE = Parser("number, at least 0", "a number of at least 0", _simple(_to_float), lambda value: value >= 0)
POSITIVE = Parser(
    "number over 0", "a number over 0", _simple(_to_float), lambda value: value > 0, lambda value: repr(value).removesuffix(".0")
)
TEXT = Parser("text", "text", _simple(str))
PATH = Parser("path or URI", "a path or URI", lambda value, name, resolver: _to_path(str(value), resolver))
TABLE = Parser("table", "a table", lambda value, name, resolver: resolver.find_table(value, name))


def parse_json(value: Any) -> Any:
    """Return the value of JSON text, and of what Jinja makes of a list or dict, which is Python's notation; else ``value``.

    :raises ValueError: for text that begins like either and is neither.
    """
    if not isinstance(value, str) or value.lstrip()[:1] not in ("{", "["):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError) as error:
        try:
            return ast.literal_eval(value)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            raise ValueError(f"not JSON: {error}") from None


def _to_flags(value: Any) -> tuple[str, ...]:
    if not isinstance(value, str):
        if not isinstance(value, Sequence):
            raise ValueError
        return tuple(map(str, value))
    words = shlex.shlex(value, posix=True, punctuation_chars=False)
    words.whitespace_split, words.commenters = True, ""
    words.whitespace += ","  # with which MLSQL separates flags
    return tuple(words)


def _format_flags(flags: Sequence[str]) -> str:
    return " ".join("'" + flag.replace("'", "'\"'\"'") + "'" if "," in flag else shlex.quote(flag) for flag in flags)


def _to_mapping(value: Any) -> dict[str, str]:
    given = parse_json(value)
    if not isinstance(given, Mapping):
        raise ValueError
    return {str(key): format_option(item) for key, item in given.items() if item is not None}


def _to_groups(value: Any) -> tuple[dict[str, str], ...]:
    given = parse_json(value)
    groups = [given] if isinstance(given, Mapping) else given
    if not isinstance(groups, Sequence) or isinstance(groups, str):
        raise ValueError
    return tuple(_to_group(group, index) for index, group in enumerate(groups))


def _to_group(value: Any, index: int) -> dict[str, str]:
    """Return the parameters of one group: templates may render each element of a list as text, also as that of nothing."""
    try:
        return {} if is_nothing(value) else _to_mapping(value)
    except ValueError:
        raise ValueError(f"element {index} is a {type(value).__name__}") from None


def _to_names(value: Any) -> tuple[str, ...]:
    given = parse_json(value)
    if isinstance(given, str):
        given = [name.strip() for name in given.split(",")]
    if not isinstance(given, Sequence):
        raise ValueError
    names = tuple(map(str, given))
    spellings = Counter(name.lower() for name in names)
    for name in names:
        if not name:
            raise ValueError("a name is empty")
        if spellings[name.lower()] > 1:
            raise ValueError(f"{name} is named twice")
    return names


FLAGS = Parser("flags", "flags as on a command line, or separated by commas", _simple(_to_flags), format=_format_flags)
MAPPING = Parser(
    "JSON object or dict",
    'a JSON object, such as {"NAME": "value"}, or a dict',
    _simple(_to_mapping),
    format=lambda value: json.dumps(dict(value)),
    hides_value=True,
)
COLUMNS = Parser("list of columns", "columns, separated by commas or as a list", _simple(_to_names), format=json.dumps)
GROUPS = Parser("list of dicts", "a list of dicts, one for each fit group", _simple(_to_groups))


def to_texts(value: Any, name: str) -> dict[str, str]:
    """Return a dict of option texts, from a dict, from JSON text of one, or from nothing; options that are None are left out.

    :raises OptionError: for anything else.
    """
    if is_nothing(value):
        return {}
    converted: dict[str, str] = MAPPING.parse(value, name)
    return converted
