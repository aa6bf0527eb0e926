"""Read a table as ``(X, y)`` for estimators: batch by batch, or all of it. No other column is decoded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from mlsql_runtime.feed.decoding.matrices import check_column, feature_matrix, label_array
from mlsql_runtime.feed.reader import read_arrow, rebatch
from mlsql_runtime.feed.table_facts import decode_schema

if TYPE_CHECKING:
    from mlsql_runtime.feed.interface import ScriptTable

FEATURES, LABEL = "features", "label"  # columns, where the fit parameters inputCol and label name no others


def read_matrix(table: ScriptTable, fit_param: Mapping[str, str], sparse: bool | None) -> tuple[Any, Any]:
    """Return ``X`` of shape (n, d) and ``y`` of shape (n,), which is None without labels.

    :param sparse: True for a CSR matrix, False for an ndarray, None for CSR if all vectors are sparse.
    :raises DataError: when the table has no such columns, or they are not a matrix and labels.
    """
    columns = _columns(table, fit_param)
    return _split(pa.Table.from_batches(read_arrow(table, columns.names)), columns, sparse)


def read_matrix_batches(
    table: ScriptTable, fit_param: Mapping[str, str], max_records: int, sparse: bool | None
) -> Iterator[tuple[Any, Any]]:
    """Yield ``(X, y)`` of ``max_records`` rows each, the last one shorter; memory holds one batch."""
    columns = _columns(table, fit_param)
    for each in rebatch(read_arrow(table, columns.names), max_records):
        yield _split(each, columns, sparse)


@dataclass(frozen=True)
class _Columns:
    """The columns to read; ``label`` is None when the table has none and the fit parameters name none."""

    features: str
    label: str | None

    @property
    def names(self) -> list[str]:
        return list(dict.fromkeys(name for name in (self.features, self.label) if name is not None))


def _columns(table: ScriptTable, fit_param: Mapping[str, str]) -> _Columns:
    there = decode_schema(table.schema).names
    features_column, label = fit_param.get("inputCol", FEATURES), fit_param.get("label", LABEL)
    check_column(features_column, there, "inputCol")
    if label not in there and "label" not in fit_param:
        return _Columns(features_column, None)
    check_column(label, there, "label")
    return _Columns(features_column, label)


def _split(table: pa.Table, columns: _Columns, sparse: bool | None) -> tuple[Any, Any]:
    X = feature_matrix(table, columns.features, sparse)
    return X, None if columns.label is None else label_array(table, columns.label)
