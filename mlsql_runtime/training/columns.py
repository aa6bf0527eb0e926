"""The columns of the table that a training script reads, as far as its calls of ``mlsql`` show."""

from __future__ import annotations

from collections.abc import Container, Sequence

from mlsql_runtime.errors import DataError
from mlsql_runtime.plan import Train
from mlsql_runtime.script.bundle import ScriptBundle
from mlsql_runtime.script.source_code import used_helpers

_SUPERVISED = {"sklearn_all_data", "sklearn_batch_data"}
# a fit parameter that names a column, its default, and the functions that need the column
_COLUMNS_READ = (("inputCol", "features", {"read_batches", "all_data", *_SUPERVISED}), ("label", "label", _SUPERVISED))


def input_column(statement: Train) -> str:
    """Return the column that functions will be called with, if the table has it: the first group's ``inputCol``."""
    return statement.fit_params[0].get("inputCol", "features")


def feature_column(statement: Train, columns: Container[str]) -> str | None:
    """Return :func:`input_column`, or None when the table has no such column."""
    name = input_column(statement)
    return name if name in columns else None


def check_columns(statement: Train, bundle: ScriptBundle, columns: Sequence[str]) -> None:
    """Check that the table has the columns that the script reads, before any data are moved.

    :raises DataError: for a missing column, with the call that reads it and the columns that exist.
    """
    calls = used_helpers(bundle, "mlsql")
    for index, params in enumerate(statement.fit_params):
        for option, default, readers in _COLUMNS_READ:
            name, readers_used = params.get(option, default), sorted(calls & readers)
            if readers_used and name not in columns:
                raise DataError(
                    f"{_source(statement)} has no column '{name}', which mlsql.{readers_used[0]} in {bundle.entry} reads; "
                    f"its columns are {', '.join(columns)}: name one with fitParam.{index}.{option}, or call it '{name}' in SQL",
                    column=name,
                    columns=list(columns),
                )


def _source(statement: Train) -> str:
    topic = statement.outline.topic
    return f"topic '{topic.feed.topic}'" if topic and statement.table is None else f"the table '{statement.table}'"
