"""A table as ``(X, y)``, as estimators take it: batch by batch, or all of it. No other column is decoded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from mlsql_runtime.feed.decoding.arrays import check_column, feature_matrix, label_array
from mlsql_runtime.feed.files.table import TableFiles
from mlsql_runtime.feed.reader import read_arrow, rebatch, table_schema
from mlsql_runtime.feed.topic.table import TableTopic

FEATURES, LABEL = "features", "label"  # columns, where the fit parameters inputCol and label name no others


def read_matrix(table: TableFiles | TableTopic, fit_param: Mapping[str, str], sparse: bool | None) -> tuple[Any, Any]:
    """``X`` of shape (n, d), CSR when all vectors are sparse or as ``sparse`` says; ``y`` of shape (n,), None without labels.

    :raises DataError: when the table has no such columns, or they are no matrix and no labels.
    """
    columns = _columns(table, fit_param)
    return _split(pa.Table.from_batches(read_arrow(table, columns.names)), columns, sparse)


def read_matrix_batches(
    table: TableFiles | TableTopic, fit_param: Mapping[str, str], max_records: int, sparse: bool | None
) -> Iterator[tuple[Any, Any]]:
    """The same of ``max_records`` rows after the other; memory holds one batch."""
    columns = _columns(table, fit_param)
    for each in rebatch(read_arrow(table, columns.names), max_records):
        yield _split(each, columns, sparse)


@dataclass(frozen=True)
class _Columns:
    """``label`` is None when there is none and none was asked for."""

    features: str
    label: str | None

    @property
    def names(self) -> list[str]:
        return list(dict.fromkeys(name for name in (self.features, self.label) if name is not None))


def _columns(table: TableFiles | TableTopic, fit_param: Mapping[str, str]) -> _Columns:
    there = table_schema(table).names
    features_column, label = fit_param.get("inputCol", FEATURES), fit_param.get("label", LABEL)
    check_column(features_column, there, "inputCol")
    if label not in there and "label" not in fit_param:
        return _Columns(features_column, None)
    check_column(label, there, "label")
    return _Columns(features_column, label)


def _split(table: pa.Table, columns: _Columns, sparse: bool | None) -> tuple[Any, Any]:
    X = feature_matrix(table, columns.features, sparse)
    return X, None if columns.label is None else label_array(table, columns.label)
