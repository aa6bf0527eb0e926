"""What the tables of a run are made from: the statements that defined them, and the stored tables that these read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from mlsql_runtime.events import log
from mlsql_runtime.plan import Statement
from mlsql_runtime.plan.python_env import hide_passwords
from mlsql_runtime.store.sources import Source, SourceUse, shorten_sql
from mlsql_runtime.stored_tables import PlanReads, StoredTable, describe_stored, read_plan

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


@dataclass(frozen=True, eq=False)
class Definition:
    """A table of the run: the statement that defined it, and the tables that existed then, by their names in lower case."""

    statement: Statement
    table: DataFrame
    earlier: Mapping[str, Definition]

    @property
    def is_query(self) -> bool:
        """Whether the table is a query's, so that Spark reads its inputs when it needs rows."""
        origin = self.statement.outline.origin
        return origin is not None and origin.sql is not None

    @cached_property
    def reads(self) -> PlanReads:
        """What the plan of the table reads directly; only for load and select, as other plans hold those of their tables."""
        return read_plan(self.table, self.earlier)

    def find_inputs(self) -> tuple[Definition, ...]:
        """Return the run's tables that this one reads directly."""
        names = self.reads.temporary if self.is_query else tuple(name.lower() for name in self.statement.outline.reads)
        return tuple(self.earlier[name] for name in names if name in self.earlier)

    def find_stored(self) -> tuple[StoredTable, ...]:
        """Return the stored tables that this one reads directly, with their facts as they are now."""
        origin = self.statement.outline.origin
        if origin is None or origin.kind not in ("load", "select"):
            return ()
        jvm = self.table.sparkSession._jvm
        assert jvm is not None
        return tuple(dict.fromkeys(describe_stored(node, jvm) for node in self.reads.stored))


def find_sources(tables: Mapping[SourceUse, Definition]) -> tuple[Source, ...]:
    """Return what tables were made from, each source before those that read it. What cannot be found is logged and left out.

    :param tables: the table of each use.
    """
    uses: dict[Definition, list[SourceUse]] = {}
    for use, definition in tables.items():
        for each in with_inputs(definition):
            uses.setdefault(each, []).append(use)
    found: dict[object, Source] = {}
    for definition, used_for in uses.items():
        for source in _describe(definition):
            # A stored table is one source, however many queries read it.
            key = (source.kind, source.table) if source.kind in ("table", "view") else definition
            before = found[key].used_for if key in found else ()
            found[key] = replace(source, used_for=tuple(dict.fromkeys((*before, *used_for))))
    return tuple(found.values())


def with_inputs(definition: Definition, *, unread: bool = False) -> tuple[Definition, ...]:
    """Return the tables that a table depends on, inputs first, and the table itself.

    :param unread: only those that Spark reads when it needs rows of the table, which it does not for predictions and the results
        of a training: these have their rows already.
    """
    found: dict[Definition, None] = {}

    def add(each: Definition) -> None:
        if each in found:
            return
        try:
            inputs = each.find_inputs() if each.is_query or not unread else ()
        except Exception as error:
            _log_unknown(each, error)
            inputs = ()
        for one in inputs:
            add(one)
        found[each] = None

    add(definition)
    return tuple(found)


def _describe(definition: Definition) -> Iterator[Source]:
    """Yield the stored tables that a statement reads, and the statement itself; a load has the facts of what it loads."""
    outline = definition.statement.outline
    if outline.origin is None or outline.defines is None:
        return
    source = Source(table=outline.defines, **vars(outline.origin))
    try:
        stored = definition.find_stored()
    except Exception as error:
        _log_unknown(definition, error)
        stored = ()
    if source.kind == "load" and len(stored) == 1:
        source = replace(source, files=stored[0].files, version=stored[0].version)
    else:
        yield from map(_describe_stored, stored)
    yield replace(source, sql=None if source.sql is None else shorten_sql(source.sql))


def _describe_stored(table: StoredTable) -> Source:
    path = None if table.path is None else hide_passwords(table.path)
    return Source(
        table=table.name or f"{table.format}.`{path or ''}`",
        kind="table" if table.sql is None else "view",
        format=table.format,
        path=path if table.name is not None else None,
        sql=None if table.sql is None else shorten_sql(hide_passwords(table.sql)),
        files=table.files,
        version=table.version,
    )


def _log_unknown(definition: Definition, error: Exception) -> None:
    log(f"it is not known what table {definition.statement.outline.defines} was read from: {error!r}")
