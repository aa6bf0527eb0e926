"""The options of one statement: each is taken once, as a typed value; an option that nothing takes is an error at its place."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from lark import Token

from mlsql_runtime.errors import InputError, OptionError, find_nearest
from mlsql_runtime.language import syntax, unsupported
from mlsql_runtime.language.scanner import end_of, start_of
from mlsql_runtime.language.source import CompileError, Diagnostic, shorten, suggest
from mlsql_runtime.language.variables import Variables
from mlsql_runtime.plan import RESOURCE
from mlsql_runtime.plan.options import Option, all_options, iter_prefixes
from mlsql_runtime.plan.parsers import Resolver, is_nothing

_SHOWN = 20  # unknown options of one statement
_ADVISED = 100  # options of a statement that are compared with known ones, which takes a while
_COMPARED = 60  # characters of such an option
_MISSPELT = 0.8  # likeness from which an option is taken for a known one, misspelt
_GROUP = re.compile(r"(0|[1-9][0-9]{0,3})\.(.+)", re.DOTALL)
_FIT = "fitParam."


class ScriptFolder(Resolver, Protocol):
    """A resolver that knows the folder of the MLSQL script."""

    def resolve_data(self, path: str) -> str:
        """Return the path of data to read."""


class Options:
    """The options of a statement. Problems are collected, so that :meth:`finish` reports all of them.

    :param fallback: where problems stand that are about an option that is not given.
    """

    def __init__(
        self, options: Sequence[syntax.OptionNode], variables: Variables, folder: ScriptFolder, fallback: Token | None = None
    ) -> None:
        self._variables, self._folder = variables, folder
        self._nodes: dict[str, syntax.OptionNode] = {}
        self._left: dict[str, str] = {}  # values of options that are not taken yet
        self._diagnostics: list[Diagnostic] = []
        self._reported: set[str] = set()
        self.fallback: Token | syntax.OptionNode | None = fallback
        self.is_incomplete = False  # an option could not be read, so that nothing can be said to be missing
        for node in options:
            try:
                name, value = ".".join(variables.text(part) for part in node.key), variables.text(node.value)
            except CompileError as error:
                self._diagnostics += error.diagnostics
                self.is_incomplete = True
                continue
            if name in self._nodes:
                self.report_node(node, f"option {shorten(name)} is given twice; leave one of them out")
            self._nodes[name], self._left[name] = node, value

    def read(self, option: Option) -> Any:
        """Return the value of a declared option, or its default; collect what is wrong with it."""
        if option.is_grouped:
            groups = self._take_groups(only_one=option.prefix != _FIT)
            return groups if option.prefix == _FIT else groups[0]
        if option.takes_any_name:
            return {}  # they are taken last, by take_others
        if option.prefix is not None:
            return self.take_prefixed(option.prefix)
        value = self._left.pop(option.name, None)
        if is_nothing(value):
            return option.default
        try:
            return option.parser.parse(value, option.name, self._folder)
        except OptionError as error:
            shown = self._variables.shown(self._nodes[option.name].value)
            self.report_value(option.name, f"{option.name} is {shown}; expected {error.expected}")
        except InputError as error:
            self.report_value(option.name, error.message)
        return option.default

    def name(self, option: Option) -> str:
        """Return what messages call an option."""
        return option.name

    def report(self, name: str, message: str, at_value: bool = False) -> None:
        """Collect a problem at an option; without that option, at the fallback, unless an option could not be read."""
        if name in self._reported:
            return
        node = self._nodes.get(name)
        if node is not None and at_value:
            self.report_value(name, message)
        elif node is not None:
            self._reported.add(name)
            self.report_node(node, message)
        elif isinstance(self.fallback, syntax.OptionNode) and not self.is_incomplete:
            self.report_node(self.fallback, message)
        elif isinstance(self.fallback, Token) and not self.is_incomplete:
            self._add(message, self.fallback, self.fallback)

    def report_value(self, name: str, message: str) -> None:
        """Collect a problem at the value of an option."""
        self._reported.add(name)
        self._add(message, self._nodes[name].value, self._nodes[name].value)

    def report_node(self, node: syntax.OptionNode, message: str) -> None:
        """Collect a problem at an option as it is written."""
        self._add(message, node.key[0], node.key[-1])

    def refuse(self, names: Iterable[str], message: str) -> None:
        """Collect a problem at each of the options that is given, and take it."""
        for name in names:
            if self._left.pop(name, None) is not None:
                self.report(name, message)

    def _add(self, message: str, first: Token, last: Token) -> None:
        self._diagnostics.append(Diagnostic(message, start_of(first), end_of(last)))

    @property
    def has_problems(self) -> bool:
        """Return whether :meth:`finish` will raise."""
        return bool(self._diagnostics)

    def node(self, name: str) -> syntax.OptionNode | None:
        """Return an option as it is written; None when it is not given."""
        return self._nodes.get(name)

    def take_text(self, name: str) -> str | None:
        """Take the text of an option."""
        return self._left.pop(name, None)

    def take_prefixed(self, prefix: str) -> dict[str, str]:
        """Take the options whose names begin with ``prefix``, by the rest of their names."""
        names = [name for name in self._left if name.startswith(prefix) and name != prefix]
        return {name[len(prefix) :]: self._left.pop(name) for name in names}

    def take_all(self) -> dict[str, str]:
        """Take the options that are left: options of Spark."""
        taken = dict(self._left)
        self._left.clear()
        return taken

    def take_others(self, statement: type) -> dict[str, str]:
        """Take the options that the statement leaves to its script, without those that look like its own ones misspelt."""
        known = [each.name.replace("<i>", "0") for each in all_options(statement)]
        prefixes = [*filter(None, iter_prefixes(statement)), "systemParam."]
        own = tuple(prefix.lower() for prefix in prefixes)
        left = [name for name in self._left if not unsupported.explain_option(name) and not name.lower().startswith(own)]
        misspelt = {name for name in left[:_ADVISED] if find_nearest(name[:_COMPARED], known, _MISSPELT) is not None}
        return {name: self._left.pop(name) for name in left if name not in misspelt}

    def _take_groups(self, only_one: bool) -> tuple[dict[str, str], ...]:
        """Take ``fitParam.<i>.<name>`` as one dict for each ``i``; one empty group when there is none."""
        groups: dict[int, dict[str, str]] = {}
        first_names: dict[int, str] = {}
        for name, value in self.take_prefixed(_FIT).items():
            match = _GROUP.fullmatch(name)
            if match is None:
                self.report(_FIT + name, f"option '{_FIT}{name[:40]}' names no group; expected fitParam.0.<name>")
                continue
            index = int(match[1])
            is_path = match[2].startswith(RESOURCE)
            groups.setdefault(index, {})[match[2]] = self._folder.resolve_data(value) if is_path else value
            first_names.setdefault(index, _FIT + name)
        missing = next(index for index in range(len(groups) + 1) if index not in groups)
        if missing < len(groups):
            beyond = next(name for index, name in first_names.items() if index > missing)
            self.report(beyond, f"there is no fitParam.{missing}, but a group after it; number groups from 0 without gaps")
        elif only_one and len(groups) > 1:
            self.report(first_names[1], "this statement takes one group of parameters; write all of them as fitParam.0.<name>")
        return tuple(groups[index] for index in sorted(groups)) or ({},)

    @contextmanager
    def collect_errors(self) -> Iterator[None]:
        """Collect a CompileError of the block together with the problems of the options."""
        try:
            yield
        except CompileError as error:
            self._diagnostics += error.diagnostics

    def finish(self, word: str, statement: type | None = None, known: Sequence[str] = ()) -> None:
        """Report everything that is wrong, and the options that are left.

        :param word: what begins the statement.
        :param statement: the type whose options are known.
        :raises CompileError: with all problems, in the order of their places.
        """
        if statement is not None:
            known = [each.name.replace("<i>", "0") for each in all_options(statement)]
        prefixes = list(iter_prefixes(statement)) if statement is not None else []
        for name in list(self._left)[:_SHOWN]:
            message = unsupported.explain_option(name) if statement is not None else None
            unknown = f"{word} has no option {shorten(name)}{_suggest_near(name, known, prefixes)}"
            self.report_node(self._nodes[name], message or unknown)
        if self._diagnostics:
            raise CompileError(*sorted(self._diagnostics, key=lambda each: each.start))


def _suggest_near(name: str, known: Sequence[str], prefixes: Sequence[str]) -> str:
    for prefix in prefixes:
        if name.lower().startswith(prefix.lower()) and not name.startswith(prefix):
            return f"; did you mean '{prefix}{name[len(prefix) : 60]}'?"
    return suggest(name, known)
