"""Read a table as ``(X, y)`` for estimators: batch by batch, or all of it. No other column is decoded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from mlsql_runtime.feed.column_names import FEATURES, LABEL, find_column
from mlsql_runtime.feed.decoding.matrices import check_matrix_type, label_array, require_column, stack_features
from mlsql_runtime.feed.reader import read_arrow, rebatch
from mlsql_runtime.feed.table_facts import decode_schema

if TYPE_CHECKING:
    from mlsql_runtime.feed.interface import ScriptTable
    from mlsql_runtime.store.signature import Signature


@dataclass(frozen=True)
class MatrixColumns:
    """The columns that make ``X`` and ``y``; ``label`` is None for a table without labels."""

    features: tuple[str, ...]
    label: str | None

    @property
    def names(self) -> list[str]:
        """All columns to read, each once."""
        return list(dict.fromkeys((*self.features, *([] if self.label is None else [self.label]))))


def choose_columns(table: ScriptTable, fit_param: Mapping[str, str], signature: Signature | None = None) -> MatrixColumns:
    """Return the columns of the signature; without one, those that the fit parameters ``inputCol`` and ``label`` name.

    :raises DataError: when the table has no such column, or it cannot be part of a matrix.
    """
    schema = decode_schema(table.schema)
    if signature is None:
        named: tuple[str, ...] = (fit_param.get("inputCol", FEATURES),)
        option = "fitParam.<i>.inputCol"
        label: str | None = LABEL
    else:
        named, option = signature.names, "featureCols"
        label = signature.label.name if signature.label else None
    features = tuple(require_column(name, schema.names, option) for name in named)
    for name in features:
        check_matrix_type(name, schema.field(name).type)
    if "label" in fit_param:
        return MatrixColumns(features, require_column(fit_param["label"], schema.names, "fitParam.<i>.label"))
    return MatrixColumns(features, None if label is None else find_column(label, schema.names))


def read_matrix(table: ScriptTable, columns: MatrixColumns, sparse: bool | None) -> tuple[Any, Any]:
    """Return ``X`` of shape (n, d) and ``y`` of shape (n,) or (n, k), which is None without labels.

    :param sparse: True for a CSR matrix, False for an ndarray, None for CSR if all vectors are sparse.
    :raises DataError: when the columns hold nulls, or are not a matrix and labels.
    """
    return _split(pa.Table.from_batches(read_arrow(table, columns.names)), columns, sparse)


def read_matrix_batches(
    table: ScriptTable, columns: MatrixColumns, max_records: int, sparse: bool | None
) -> Iterator[tuple[Any, Any]]:
    """Yield ``(X, y)`` of ``max_records`` rows each, the last one shorter; memory holds one batch."""
    for each in rebatch(read_arrow(table, columns.names), max_records):
        yield _split(each, columns, sparse)


def _split(table: pa.Table, columns: MatrixColumns, sparse: bool | None) -> tuple[Any, Any]:
    X = stack_features(table, columns.features, sparse)
    return X, None if columns.label is None else label_array(table, columns.label)


def find_label_problem(y: Any, size: int) -> str | None:
    """Return what is wrong if labels are not whole numbers below ``size``; None if they are, or no size is given."""
    if y is None or size < 1 or y.ndim != 1:
        return None
    import numpy as np

    found = np.unique(y)
    others = found[~np.isin(found, np.arange(size))]
    if not len(others):
        return None
    return f"labelSize is {size}, so labels are 0 to {size - 1}, but the table has {', '.join(map(repr, others[:5].tolist()))}"
