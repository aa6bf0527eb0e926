"""The state of a compilation: variables, tables, connections, functions, and the statements so far."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from lark import Token

from mlsql_runtime.errors import InputError, Origin, StorageError
from mlsql_runtime.kafka.settings import SECRETS, KafkaSettings
from mlsql_runtime.language import syntax
from mlsql_runtime.language.options import Options
from mlsql_runtime.language.scanner import end_of, start_of
from mlsql_runtime.language.source import CompileError, Diagnostic, SourceText, shorten, suggest
from mlsql_runtime.language.variables import Variables
from mlsql_runtime.plan import NO_ACCESS, FunctionRef, Statement, StorageAccess, is_identifier
from mlsql_runtime.storage.location import Location
from mlsql_runtime.storage.patterns import find_paths

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")


@dataclass
class Scope:
    """The state of a compilation. Keys of tables and functions are in lower case, because Spark ignores the case.

    ``source`` is the text under compilation: the script, or a file that it includes. ``access`` are connections to the storage of
    files that options name, ``tracking_uri`` is the MLflow server of statements that name none.
    """

    variables: Variables
    folder: Path | None
    functions: dict[str, FunctionRef]
    kafka_settings: Callable[[Mapping[str, str]], KafkaSettings]
    access: StorageAccess = NO_ACCESS
    tracking_uri: str | None = None
    source: SourceText = field(default_factory=lambda: SourceText("", ""))
    tables: dict[str, str] = field(default_factory=dict)
    connections: dict[str, Mapping[str, str]] = field(default_factory=dict)
    saved: set[str] = field(default_factory=set)
    conf: dict[str, str] = field(default_factory=dict)
    kafka_secrets: dict[str, Mapping[str, str]] = field(default_factory=dict)
    statements: list[Statement] = field(default_factory=list)
    origins: list[Origin] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def options(self, nodes: tuple[syntax.OptionNode, ...], fallback: Token | None = None) -> Options:
        return Options(nodes, self.variables, self, fallback)

    def name(self, token: Token, what: str) -> str:
        """Return a name that can stand in SQL.

        :raises CompileError: for any other name.
        """
        name = self.variables.text(token)
        if not is_identifier(name):
            refuse(token, f"{what} is {shorten(name)}; expected letters, digits and underscores, not starting with a digit")
        return name

    def find_table(self, value: Any, name: str = "") -> str:
        """Return the name of a table of the statements before, as they wrote it.

        :raises InputError: when there is none.
        """
        table = str(value)
        if table.lower() not in self.tables:
            advice = suggest(table, self.tables.values()) or "; load it first"
            raise InputError(f"there is no table {shorten(table)} before this{advice}")
        return self.tables[table.lower()]

    def table(self, token: Token) -> str:
        """Return the name of a table of the statements before.

        :raises CompileError: when there is none.
        """
        try:
            return self.find_table(self.name(token, "the table"))
        except InputError as error:
            refuse(token, error.message)

    def path(self, token: Token, what: str) -> str:
        """Return a path.

        :raises CompileError: when it is empty.
        """
        path = self.variables.text(token)
        if not path.strip():
            refuse(token, f"{what} is empty; give it")
        return path

    def format(self, ref: syntax.TableNode) -> str:
        return ".".join(self.variables.text(part) for part in ref.format)

    def resolve_path(self, path: str) -> str:
        """Return the path of a script or an environment: a relative one starts at the folder of the MLSQL script."""
        if self.folder is None or not path or _SCHEME.match(path) or os.path.isabs(path):
            return path
        return os.path.normpath(self.folder / path)

    def resolve_data(self, path: str) -> str:
        """Return the path of data to read.

        A relative one starts at the folder of the MLSQL script if the data are there, and the script did not save to it.
        Otherwise Spark resolves it.
        """
        beside = self.resolve_path(path)
        return beside if beside != path and path.rstrip("/") not in self.saved and _exists(beside) else path

    def read_file(self, path: str) -> bytes | None:
        """Return the content of a file; None if there is no such file."""
        return Location.of(path, self.access).read_or_none()

    def check_output_path(self, token: Token, path: str) -> str:
        """Return the path of output; warn of a relative one."""
        if path and not os.path.isabs(path) and not _SCHEME.match(path):
            self.warn(
                token,
                f"path {shorten(path)} is relative to the working directory of the job; write an absolute path or a URI",
            )
        return path

    def define(self, table: str) -> None:
        """Make a table known to the statements that follow."""
        self.tables[table.lower()] = table

    def free_name(self, name: str) -> str:
        """Return a name that no table has: this one, or with a number behind it."""
        names = (name if number == 1 else f"{name}_{number}" for number in itertools.count(1))
        return next(each for each in names if each.lower() not in self.tables)

    def warn(self, token: Token, message: str) -> None:
        self.warnings.append(f"{self.source.origin(start_of(token))}: {message}")

    def keep_secrets(self, private: Mapping[str, str]) -> str:
        """Keep passwords and certificates beside the plan, equal ones once, and return their name there."""
        name, number = SECRETS, 1
        while name in self.kafka_secrets and self.kafka_secrets[name] != private:
            number += 1
            name = f"{SECRETS}{number}"
        if private:
            self.kafka_secrets[name] = private
        return name


def _exists(path: str) -> bool:
    """Return whether a path is a file or folder, or a pattern with a match."""
    try:
        return bool(find_paths(Location.of(path)))
    except (ValueError, StorageError):  # a null byte, or a disk that cannot say
        return False


def refuse(token: Token, message: str) -> NoReturn:
    """Raise CompileError with a problem of a token."""
    raise CompileError(Diagnostic(message, start_of(token), end_of(token)))
