"""The compiler: MLSQL text to the statements of a plan, or to all of its errors."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlsql_runtime.errors import InputError, MLSQLError, Origin
from mlsql_runtime.kafka.settings import KafkaSettings, parse_settings
from mlsql_runtime.language import algorithm, queries, syntax, tables, unsupported
from mlsql_runtime.language.grammar import parse
from mlsql_runtime.language.includes import KINDS, MAX_DEPTH, find_included, read_included
from mlsql_runtime.language.scanner import QUERIES, STATEMENTS, Piece, end_of, split, start_of
from mlsql_runtime.language.scope import Scope, refuse
from mlsql_runtime.language.source import CompileError, Diagnostic, SourceText, combine_errors
from mlsql_runtime.language.variables import Variables, is_variable_name
from mlsql_runtime.plan import NO_ACCESS, FunctionRef, Secrets, Show, Statement, StorageAccess, format_option, is_identifier

KafkaSource = Callable[[Mapping[str, str]], KafkaSettings]
_MAX_ERRORS = 100
_MAX_INCLUDES = 256


@dataclass(frozen=True, kw_only=True)
class CompiledScript:
    """The statements of a script, with their positions in it, and Spark properties for the job."""

    statements: tuple[Statement, ...]
    origins: tuple[Origin, ...]
    conf: Mapping[str, str] = field(default_factory=dict)
    secrets: Secrets = field(default_factory=Secrets)
    warnings: tuple[str, ...] = ()

    def with_preview(self, rows: int) -> tuple[Statement, ...]:
        """Return the statements, and for ``rows`` above 0 one that shows the first rows of the last table.

        :raises InputError: without a statement to run.
        """
        if not self.statements:
            raise InputError("the script has no statement that does anything; write one, such as select 1 as x as t;")
        last = self._last_table()
        return self.statements if last is None or rows == 0 else (*self.statements, Show(table=last[1], rows=rows))

    def locate(self, error: MLSQLError) -> MLSQLError:
        """Return an error of the job with the origin of the statement that failed."""
        number = error.statement
        if number is None or error.origin is not None:
            return error
        last = self._last_table()
        if number >= len(self.origins) and last is not None:  # tables are computed when they are shown
            number = last[0]
        return error.with_origin(self.origins[number]) if number < len(self.origins) else error

    def _last_table(self) -> tuple[int, str] | None:
        """Return the number of the last statement that makes a table, and the table's name."""
        for number in reversed(range(len(self.statements))):
            name = self.statements[number].outline.defines
            if name is not None:
                return number, name
        return None


def compile_script(
    text: str,
    *,
    name: str = "script.mlsql",
    folder: str | Path | None = None,
    variables: Mapping[str, Any] | None = None,
    functions: Iterable[FunctionRef] = (),
    kafka_settings: KafkaSource | None = None,
    access: StorageAccess = NO_ACCESS,
    tracking_uri: str | None = None,
) -> CompiledScript:
    """Compile a script.

    :param name: the name of the script in errors.
    :param folder: the folder at which relative paths of scripts and included files start.
    :param variables: values for ``${name}``, inserted unchanged.
    :param functions: registered functions that queries may call besides those the script registers.
    :param kafka_settings: makes the settings of a client from ``kafkaParam``, and perhaps from a connection.
    :param access: connections to the storage of files that options name.
    :param tracking_uri: the MLflow server of trainings and registrations, which may name no other one.
    :raises InputError: with all errors of the script, as ``file:line:column: message``.
    """
    compiler = _Compiler(folder, variables or {}, functions, kafka_settings or _kafka_settings, access, tracking_uri)
    compiler.run(SourceText(name, text), ())
    if compiler.errors:
        raise combine_errors(compiler.errors)
    return compiler.compiled()


def check_script(
    text: str,
    *,
    name: str = "script.mlsql",
    folder: str | Path | None = None,
    variables: Mapping[str, Any] | None = None,
    functions: Iterable[FunctionRef] = (),
    kafka_settings: KafkaSource | None = None,
) -> tuple[InputError, ...]:
    """All that is wrong with a script, 100 errors at most; each with its ``origin``."""
    compiler = _Compiler(folder, variables or {}, functions, kafka_settings or _kafka_settings)
    compiler.run(SourceText(name, text), ())
    return tuple(compiler.errors)


def _index_by_name(functions: Iterable[FunctionRef]) -> dict[str, FunctionRef]:
    found: dict[str, FunctionRef] = {}
    for function in functions:
        if found.setdefault(function.name.lower(), function) is not function:
            raise InputError(f"two functions are called {function.name}, which Spark does not tell apart; rename one of them")
    return found


def _kafka_settings(client: Mapping[str, str]) -> KafkaSettings:
    return parse_settings(client, "kafkaParam")


class _Compiler:
    """Compiles a script and the files that it includes, statement by statement; an error ends only its statement."""

    def __init__(
        self,
        folder: str | Path | None,
        variables: Mapping[str, Any],
        functions: Iterable[FunctionRef],
        kafka_settings: KafkaSource,
        access: StorageAccess = NO_ACCESS,
        tracking_uri: str | None = None,
    ) -> None:
        values = {}
        for name, value in variables.items():
            if not is_variable_name(name):
                raise InputError(
                    f"variable {name!r} is given; expected a name of letters, digits, dots and underscores", name=name
                )
            if not isinstance(value, (str, int, float)):
                raise InputError(f"variable '{name}' is {value!r}; expected text, a number, true or false", name=name)
            values[name] = format_option(value)
        self.errors: list[InputError] = []
        self._includes = 0
        self._stopped = False
        self._scope = Scope(
            variables=Variables(values),
            folder=None if folder is None else Path(folder),
            functions=_index_by_name(functions),
            kafka_settings=kafka_settings,
            access=access,
            tracking_uri=tracking_uri,
        )

    def compiled(self) -> CompiledScript:
        scope = self._scope
        return CompiledScript(
            statements=tuple(scope.statements),
            origins=tuple(scope.origins),
            conf=dict(scope.conf),
            secrets=Secrets(kafka=dict(scope.kafka_secrets)),
            warnings=tuple(scope.warnings),
        )

    def run(self, source: SourceText, including: tuple[Path, ...]) -> None:
        """Compile all statements of a source. ``including`` are the files that are open."""
        scope, pieces = self._scope, list(split(source.text))
        outer = scope.source, scope.variables.later
        scope.source, scope.variables.later = source, _set_later(pieces, source)
        for piece in pieces:
            if self._stopped or len(self.errors) >= _MAX_ERRORS:
                break
            try:
                self._statement(piece, including)
            except CompileError as error:
                self.errors += [source.error(problem) for problem in error.diagnostics[: _MAX_ERRORS - len(self.errors)]]
                self._assume(piece)
            except InputError as error:  # of the plan, about the statement as a whole
                first, last = piece.tokens[0], piece.tokens[-1]
                self.errors.append(source.error(Diagnostic(f"{piece.word}: {error.message}", start_of(first), end_of(last))))
                self._assume(piece)
        scope.source, scope.variables.later = outer

    def _statement(self, piece: Piece, including: tuple[Path, ...]) -> None:
        scope = self._scope
        if piece.unclosed is not None:
            refuse(piece.unclosed, f"{piece.unclosed} is opened and never closed")
        if not piece.tokens:
            return
        first = piece.tokens[0]
        if piece.word not in (*STATEMENTS, *QUERIES):
            refuse(first, unsupported.explain_statement(piece.word))
        node = queries.parse_query(piece, scope.source.text) if piece.word in QUERIES else parse(piece)
        if isinstance(node, syntax.IncludeNode):
            self._include(node, including)
            return
        statement = _COMPILERS[type(node)](node, scope)
        if statement is not None:
            scope.statements.append(statement)
            scope.origins.append(scope.source.origin(start_of(first)))

    def _include(self, node: syntax.IncludeNode, including: tuple[Path, ...]) -> None:
        kind = None if node.kind is None else self._scope.variables.text(node.kind)
        if node.kind is not None and kind not in KINDS:
            refuse(node.kind, f"include from '{kind}' is not supported; write include local.`file.mlsql`")
        path = self._scope.variables.text(node.path)
        self._includes += 1
        try:
            found = find_included(self._scope.folder, path)
            if found in including:
                raise InputError(f"'{path}' includes itself; leave the include out")
            if len(including) >= MAX_DEPTH or self._includes > _MAX_INCLUDES:
                raise InputError(f"files are included more than {MAX_DEPTH} deep, or more than {_MAX_INCLUDES} times")
            source = SourceText(path, read_included(found, path))
        except InputError as error:
            refuse(node.path, error.message)
        self.run(source, (*including, found))

    def _assume(self, piece: Piece) -> None:
        """Define the name of a wrong statement, so that its uses are not reported as well."""
        scope = self._scope
        if piece.word == "include":
            self._stopped = True  # names that the file defines would be reported as missing
        elif piece.word == "set" and len(piece.tokens) > 1:
            scope.variables.values.setdefault(_set_name(piece), "")
        elif len(piece.tokens) > 2 and piece.tokens[-2].type == "AS":
            name = piece.tokens[-1].strip("`")
            if piece.word == "connect":
                scope.connections.setdefault(name, {})
            elif is_identifier(name):
                scope.define(name)


_COMPILERS: dict[type, Callable[[Any, Scope], Statement | None]] = {  # None: a statement that only changes the scope
    syntax.LoadNode: tables.compile_load,
    syntax.SaveNode: tables.compile_save,
    syntax.SelectNode: queries.compile_select,
    syntax.TrainNode: algorithm.compile_train,
    syntax.RegisterNode: algorithm.compile_register,
    syntax.PredictNode: algorithm.compile_predict,
    syntax.ConnectNode: tables.define_connection,
    syntax.SetVariableNode: tables.set_variable,
}


def _set_name(piece: Piece) -> str:
    name = ""
    for token in piece.tokens[1:]:
        if token.type == "EQUAL":
            break
        name += token.strip("`")
    return name


def _set_later(pieces: Iterable[Piece], source: SourceText) -> dict[str, int]:
    """Return the first line in which each variable is set."""
    found: dict[str, int] = {}
    for piece in pieces:
        if piece.word == "set":
            found.setdefault(_set_name(piece), source.origin(start_of(piece.tokens[0])).line)
    return found
