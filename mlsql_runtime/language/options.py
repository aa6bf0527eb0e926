"""The options of one statement: each is taken once, as a typed value; what nobody takes is an error at its place."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from lark import Token

from mlsql_runtime.errors import InputError
from mlsql_runtime.language import syntax
from mlsql_runtime.language.scanner import end_of, start_of
from mlsql_runtime.language.source import CompileError, Diagnostic, shorten, suggest
from mlsql_runtime.language.variables import Variables

T = TypeVar("T")
_SHOWN = 20  # unknown options of one statement


@dataclass(frozen=True)
class _Given:
    value: str
    option: syntax.OptionNode


class Options:
    """What a statement's options say. Problems are collected, so that :meth:`finish` reports all of them."""

    def __init__(self, options: Sequence[syntax.OptionNode], variables: Variables) -> None:
        self._variables = variables
        self._given: dict[str, _Given] = {}
        self._problems: list[Diagnostic] = []
        self.incomplete = False  # an option could not be read, so that nothing can be said to be missing
        for option in options:
            try:
                key = ".".join(variables.text(part) for part in option.key)
                value = variables.text(option.value)
            except CompileError as error:
                self._problems += error.diagnostics
                self.incomplete = True
                continue
            if key in self._given:
                self.refuse_at(option, f"option {shorten(key)} is given twice; leave one of them out")
            self._given[key] = _Given(value, option)

    def take(self, name: str, read: Callable[[str], T], default: T) -> T:
        """The option's value as ``read`` gives it, or ``default``; an InputError of ``read`` is reported at the value."""
        given = self._given.pop(name, None)
        if given is None:
            return default
        try:
            return read(given.value)
        except InputError as error:
            bare = error.message.startswith("expected")
            message = f"{name} is {self._variables.shown(given.option.value)}; {error.message}" if bare else error.message
            self.refuse_value(given.option, message)
            return default

    def take_text(self, name: str) -> str | None:
        """The option's value, or None."""
        given = self._given.pop(name, None)
        return None if given is None else given.value

    def take_prefixed(self, prefix: str) -> dict[str, str]:
        """All options that begin so, by the rest of their names."""
        names = [name for name in self._given if name.startswith(prefix) and name != prefix]
        return {name[len(prefix) :]: self._given.pop(name).value for name in names}

    def take_all(self) -> dict[str, str]:
        """Whatever is left: options of Spark."""
        taken = {name: given.value for name, given in self._given.items()}
        self._given.clear()
        return taken

    def place(self, name: str) -> syntax.OptionNode | None:
        """Where an option stands that is not taken yet."""
        given = self._given.get(name)
        return given.option if given else None

    def refuse(self, name: str, message: str) -> None:
        """Report an option by name, if it is there."""
        given = self._given.pop(name, None)
        if given is not None:
            self.refuse_at(given.option, message)

    def places(self, prefix: str) -> dict[str, syntax.OptionNode]:
        """All options, of those not taken yet, that begin so, by the rest of their names."""
        return {name[len(prefix) :]: given.option for name, given in self._given.items() if name.startswith(prefix)}

    def refuse_at(self, option: syntax.OptionNode, message: str) -> None:
        """Report something about an option."""
        self._problems.append(_problem(message, option.key[0], option.key[-1]))

    def refuse_value(self, option: syntax.OptionNode, message: str) -> None:
        """Report something about an option's value."""
        self._problems.append(_problem(message, option.value, option.value))

    def refuse_token(self, token: Token, message: str) -> None:
        """Report something about another part of the statement."""
        self._problems.append(_problem(message, token, token))

    @contextmanager
    def collecting(self) -> Iterator[None]:
        """Report what is refused inside together with what is wrong with the options."""
        try:
            yield
        except CompileError as error:
            self._problems += error.diagnostics

    def finish(self, statement: str, known: Sequence[str] = (), prefixes: Sequence[str] = ()) -> None:
        """Report everything wrong, and whatever is left.

        :raises CompileError: with all problems, in the order of their places.
        """
        for name in list(self._given)[:_SHOWN]:
            message = f"{statement} has no option {shorten(name)}{_near(name, known, prefixes)}"
            self.refuse_at(self._given[name].option, message)
        if self._problems:
            raise CompileError(*sorted(self._problems, key=lambda problem: problem.start))


def _problem(message: str, first: Token, last: Token) -> Diagnostic:
    return Diagnostic(message, start_of(first), end_of(last))


def _near(name: str, known: Sequence[str], prefixes: Sequence[str]) -> str:
    for prefix in prefixes:
        if name.lower().startswith(prefix.lower()) and not name.startswith(prefix):
            return f"; did you mean '{prefix}{name[len(prefix) : 60]}'?"
    return suggest(name, known)


def boolean(text: str) -> bool:
    """``true`` or ``false``, in any case."""
    word = text.strip().lower()
    if word not in ("true", "false"):
        raise InputError("expected true or false")
    return word == "true"


def whole(minimum: int) -> Callable[[str], int | None]:
    """Reads a whole number of at least ``minimum``."""

    def read(text: str) -> int:
        number = int(text) if re.fullmatch(r"[0-9]{1,18}", text.strip()) else minimum - 1
        if number < minimum:
            raise InputError(f"expected a whole number of at least {minimum}")
        return number

    return read


def number(text: str) -> float:
    """A finite number."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError("expected a number")
    return value


def not_negative(text: str) -> float:
    """A finite number of at least 0."""
    if number(text) < 0:
        raise InputError("expected a number of at least 0")
    return number(text)


def positive(text: str) -> float:
    """A finite number over 0."""
    if number(text) <= 0:
        raise InputError("expected a number over 0")
    return number(text)


def choice(*words: str) -> Callable[[str], Any]:
    """Reads one of a few words."""

    def read(text: str) -> str:
        if text not in words:
            raise InputError(f"expected {' or '.join(words)}")
        return text

    return read
