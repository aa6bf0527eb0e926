"""Which statement an error is about. Spark computes a table when a later statement needs its rows, so that one fails first."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from mlsql_runtime.errors import DataError, InputError, MLSQLError, ScriptFailed
from mlsql_runtime.lineage import Definition, with_inputs
from mlsql_runtime.plan import Load, Save, Select, Show, Statement, Train
from mlsql_runtime.run_context import RunContext
from mlsql_runtime.scoring.vector_functions import find_called
from mlsql_runtime.spark_errors import QueryPlace, find_condition, find_place, find_unread_file


def find_failed_statement(error: Exception, translated: MLSQLError, context: RunContext, index: int) -> int:
    """Return the number of the statement that defines the table whose rows cannot be computed.

    :param error: what a statement raised.
    :param translated: the same as an error of ours.
    :param index: the number of that statement, which is returned if no other one is known to be the reason.
    """
    statement = context.plan.statements[index]
    if error is translated or isinstance(statement, (Load, Select)):
        return index
    tables = list(_find_tables(context, statement.outline.reads))
    is_to_catalog = isinstance(statement, Save) and statement.is_to_catalog  # which casts values
    reads_only_tables = isinstance(statement, (Save, Show, Train)) and not is_to_catalog
    found = ([table for table in tables if may_be(table.statement)] for may_be in _choose(error, translated, reads_only_tables))
    guilty = next((those for those in found if those), ())
    if len(guilty) != 1:
        return index
    return next(number for number, each in enumerate(context.plan.statements) if each is guilty[0].statement)


def _choose(error: Exception, translated: MLSQLError, reads_only_tables: bool) -> tuple[Callable[[Statement], bool], ...]:
    """Return functions that return whether the error may be about a statement; those that come first count first.

    :param reads_only_tables: whether the statement that failed reads and computes nothing of its own.
    """
    condition = find_condition(error)
    place = None if condition is None else condition.place
    if place is not None and place.text:
        return (lambda statement: isinstance(statement, Select) and _is_part(place, statement.sql),)
    if find_unread_file(error) is not None:
        return (_is_load,)
    doing = find_place(error)
    if not reads_only_tables or doing == "writer":
        return ()
    if doing is not None and isinstance(translated, InputError):
        return (_is_load if doing == "file" else _is_select,)
    if not isinstance(translated, (DataError, ScriptFailed)):
        return ()
    # The error of a function, of a file, or of an expression whose place Spark does not tell.
    return (_calls_functions, _is_load) if condition is None else (_is_select,)


def _is_load(statement: Statement) -> bool:
    return isinstance(statement, Load)


def _is_select(statement: Statement) -> bool:
    return isinstance(statement, Select)


def _calls_functions(statement: Statement) -> bool:
    return isinstance(statement, Select) and bool(statement.functions or find_called(statement.sql))


def _find_tables(context: RunContext, names: tuple[str, ...]) -> Iterator[Definition]:
    """Yield the definitions of tables, and of those that Spark reads for their rows, each once."""
    found = (context.definitions[name.lower()] for name in names if name.lower() in context.definitions)
    yield from dict.fromkeys(each for table in found for each in with_inputs(table, unread=True))


def _is_part(place: QueryPlace, sql: str) -> bool:
    lines = sql.split("\n")
    return 0 < place.line <= len(lines) and lines[place.line - 1].startswith(place.text, place.column - 1)
