"""Which format a table's files have when nobody asked for one: JSON, as in MLSQL; Parquet where a script cannot tell."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import pyarrow as pa

from mlsql_runtime.feed.decoding.matrices import FEATURES, LABEL
from mlsql_runtime.feed.decoding.vectors import is_vector
from mlsql_runtime.feed.files.export import JSON, PARQUET
from mlsql_runtime.plan import FileFeed, Train, get_builtin_name
from mlsql_runtime.script.bundle import ScriptBundle
from mlsql_runtime.script.data_access import ROWS, usage_of


@dataclass(frozen=True)
class Choice:
    """``why`` is a part of a sentence, for the task log."""

    format: str
    why: str


def choose_format(statement: Train, bundle: ScriptBundle, schema: Callable[[], pa.Schema | None]) -> tuple[Train, Choice | None]:
    """The statement with a format for its files; a choice is None when there was none to make.

    :param schema: answers the table's, None when Arrow has no types for it.
    """
    feed = statement.feed
    if not isinstance(feed, FileFeed) or feed.format is not None:
        return statement, None
    choice = _choice(statement, feed, bundle, schema)
    return replace(statement, feed=replace(feed, format=choice.format)), choice


def _choice(statement: Train, feed: FileFeed, bundle: ScriptBundle, schema: Callable[[], pa.Schema | None]) -> Choice:
    if feed.options:
        return Choice(JSON, f"dataLocal.option.{min(feed.options)} is given without dataLocalFormat")
    if statement.keep_local_directory:
        return Choice(JSON, "its folder is kept")
    if get_builtin_name(statement.script_path) is not None:  # of our own scripts, only the entry reads the table
        bundle = replace(bundle, files={bundle.entry: bundle.files[bundle.entry]})
    usage = usage_of(bundle)
    if usage.doubt is not None:
        return Choice(JSON, usage.doubt)
    differing = _differing(schema(), None if ROWS in usage.reads else _columns(statement))
    if differing is not None:
        return Choice(JSON, differing)
    calls = ", ".join(f"mlsql.{name}" for name in sorted(usage.reads))
    return Choice(str(PARQUET.format), f"{bundle.entry} reads them with {calls} alone")


def _columns(statement: Train) -> set[str]:
    """What functions that answer X and y read, in any group."""
    options = (("inputCol", FEATURES), ("label", LABEL))
    return {params.get(option, default) for params in statement.fit_params for option, default in options}


def _differing(schema: pa.Schema | None, read: set[str] | None) -> str | None:
    """What could be another one in Parquet than in JSON; ``read`` are the columns that count, None for all."""
    if schema is None:
        return "not every column has a type that Arrow knows"
    for field in schema:
        is_read = read is None or field.name in read
        if not (_is_same(field.type) if is_read else _is_storable(field.type)):
            return f"column '{field.name}' is of type {field.type}"
    return None


def _is_same(kind: pa.DataType) -> bool:
    """Types whose values come back from Spark's JSON as they were. Times lose their microseconds there, decimals digits."""
    if pa.types.is_list(kind):
        return _is_same(kind.value_type)
    tests = (is_vector, pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean, pa.types.is_string)
    return any(test(kind) for test in tests)


def _is_storable(kind: pa.DataType) -> bool:
    """Types that Spark can write to Parquet, of columns that nobody reads."""
    if pa.types.is_list(kind):
        return _is_storable(kind.value_type)
    if pa.types.is_map(kind):
        return _is_storable(kind.key_type) and _is_storable(kind.item_type)
    if pa.types.is_struct(kind):
        return kind.num_fields > 0 and all(_is_storable(field.type) for field in kind)
    others = (pa.types.is_date, pa.types.is_timestamp, pa.types.is_decimal, pa.types.is_binary)
    return _is_same(kind) or any(test(kind) for test in others)
