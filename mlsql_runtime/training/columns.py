"""The columns of a training: found by the names that options or fit parameters have for them, checked, and as a signature."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from mlsql_runtime.errors import DataError, did_you_mean
from mlsql_runtime.feed.column_names import FEATURES, LABEL, find_column, find_columns
from mlsql_runtime.feed.table_facts import ColumnRoles, TableFacts, quote_column
from mlsql_runtime.plan import Train
from mlsql_runtime.script.bundle import ScriptBundle
from mlsql_runtime.script.source_code import used_helpers
from mlsql_runtime.store.signature import Column, Signature

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_SUPERVISED = {"sklearn_all_data", "sklearn_batch_data"}
_MATRIX_READERS = {"read_batches", "all_data", *_SUPERVISED}
_LABEL_READERS = {*_MATRIX_READERS, "read_frames", "all_frame", "get_validate_data", "get_validate_frame"}
# a fit parameter that names a column, its default, and the functions that need the column
_COLUMNS_READ = (("inputCol", FEATURES, _MATRIX_READERS), ("label", LABEL, _SUPERVISED))


def name_roles(statement: Train, group: int = 0) -> ColumnRoles:
    """Return the columns as the options name them, or else the parameters of a fit group; a table may lack the latter."""
    if statement.feature_columns:
        return ColumnRoles(features=statement.feature_columns, label=statement.label_column)
    params = statement.fit_params[group]
    return ColumnRoles(features=(params.get("inputCol", FEATURES),), label=statement.label_column or params.get("label", LABEL))


def find_roles(statement: Train, columns: Sequence[str], group: int = 0) -> ColumnRoles:
    """Return the columns of :func:`name_roles` as a table spells them, without those that it lacks."""
    named = name_roles(statement, group)
    return ColumnRoles(
        features=tuple(filter(None, find_columns(named.features, columns))),
        label=None if named.label is None else find_column(named.label, columns),
    )


def list_columns(statement: Train, roles: ColumnRoles) -> tuple[str, ...]:
    """Return the only columns that reach the script: the features, then the label; nothing if all columns do."""
    return roles.names if statement.feature_columns else ()


def select_columns(statement: Train, table: DataFrame, like: Sequence[str] | None = None) -> DataFrame:
    """Return the table with the columns that reach the script, and no others.

    :param like: the columns of the training table, whose spelling a validation table gets; None for the training table itself.
    """
    own = list_columns(statement, find_roles(statement, table.columns))
    spelt = own if like is None else list_columns(statement, find_roles(statement, like))
    if not own:
        return table
    from pyspark.sql import functions as F

    return table.select(*[F.col(quote_column(name)).alias(to) for name, to in zip(own, spelt, strict=True)])


def check_columns(statement: Train, bundle: ScriptBundle, columns: Sequence[str]) -> None:
    """Check that the table has the columns that the options name and that the script reads, before any data are moved.

    :raises DataError: for a missing column, with what names or reads it and the columns that exist.
    """
    source = _source(statement)
    check_named_columns(statement, source, columns)
    calls = used_helpers(bundle, "mlsql")
    for index, params in enumerate(statement.fit_params):
        for option, default, readers in _COLUMNS_READ:
            is_named = statement.feature_columns or (option == "label" and statement.label_column)
            name, readers_used = params.get(option, default), sorted(calls & readers)
            if readers_used and not is_named and find_column(name, columns) is None:
                raise DataError(
                    f"{source} has no column '{name}', which mlsql.{readers_used[0]} in {bundle.entry} reads; "
                    f"its columns are {', '.join(columns)}: name one with fitParam.{index}.{option}, or call it '{name}' in SQL",
                    column=name,
                    columns=list(columns),
                )
    if statement.feature_columns and statement.label_column is None and (readers_used := sorted(calls & _SUPERVISED)):
        raise DataError(f"mlsql.{readers_used[0]} in {bundle.entry} reads labels; name their column as label_column (labelCol)")


def check_named_columns(statement: Train, source: str, columns: Sequence[str]) -> None:
    """Check that a table has the columns that options name.

    :param source: the table, for the error.
    :raises DataError: for the first that is missing, with the nearest one.
    """
    label = () if statement.label_column is None else (("labelCol", statement.label_column),)
    named = [*(("featureCols", name) for name in statement.feature_columns), *label]
    for (option, name), column in zip(named, find_columns([name for _, name in named], columns), strict=True):
        if column is None:
            raise DataError(
                f"{source} has no column '{name}', which {option} names{did_you_mean(name, columns)}",
                column=name,
                columns=list(columns),
            )


def check_facts(statement: Train, bundle: ScriptBundle, tables: Mapping[str, TableFacts]) -> None:
    """Check that the vectors of all tables are of one width, and that labels hold no nulls, if the script reads them.

    :param tables: the facts of the training table, and perhaps of the validation table, by what errors call them.
    :raises DataError: for two widths, or for the first table with nulls.
    """
    widths = {source: facts.width for source, facts in tables.items() if facts.width is not None}
    if len(set(widths.values())) > 1:
        found = " and ".join(f"{width} in {source}" for source, width in widths.items())
        raise DataError(
            f"expected feature vectors of one width, got {found}; for libsvm files, give each load the option numFeatures"
        )
    _check_labels(statement, bundle, tables)


def _check_labels(statement: Train, bundle: ScriptBundle, tables: Mapping[str, TableFacts]) -> None:
    if statement.label_column is None and not used_helpers(bundle, "mlsql") & _LABEL_READERS:
        return
    for source, facts in tables.items():
        if facts.label_nulls:
            raise DataError(
                f"column '{facts.label}' of {source} holds {facts.label_nulls} nulls in {facts.rows} rows, and labels must not; "
                "filter them out in SQL",
                column=facts.label,
            )


def make_signature(statement: Train, facts: TableFacts, group: int = 0) -> Signature | None:
    """Return the signature of the training table for a fit group; None when the table has no feature columns."""
    roles = find_roles(statement, list(facts.columns), group)
    if not roles.features:
        return None
    return Signature(
        features=tuple(Column(name=name, type=facts.columns[name]) for name in roles.features),
        label=None if roles.label is None else Column(name=roles.label, type=facts.columns[roles.label]),
        classes=facts.classes if roles.label == facts.label else None,
    )


def _source(statement: Train) -> str:
    topic = statement.outline.topic
    return f"topic '{topic.feed.topic}'" if topic and statement.table is None else f"the table '{statement.table}'"
