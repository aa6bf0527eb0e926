"""Convert an Arrow table to rows, for scripts that use MLSQL's row protocol."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from mlsql_runtime.errors import InputError
from mlsql_runtime.feed.decoding.vectors import SPARSE, is_vector, iter_serialized


def to_rows(table: pa.Table) -> list[dict[str, Any]]:
    """Return a dict for each row, with vectors of ``pyspark.ml.linalg``.

    :raises InputError: when there are vectors and the interpreter has no pyspark.
    """
    columns = []
    for name in table.column_names:
        array = table.column(name).combine_chunks()
        columns.append(_vectors(array) if is_vector(array.type) else array.to_pylist())
    return [dict(zip(table.column_names, values, strict=True)) for values in zip(*columns, strict=True)]


def _vectors(array: pa.StructArray) -> list[Any]:
    try:
        from pyspark.ml.linalg import DenseVector, SparseVector
    except ImportError as error:
        raise InputError(
            "mlsql.read_data() gives vectors of pyspark.ml.linalg, and this interpreter has no pyspark; "
            "install it, or use mlsql.read_batches() or mlsql.all_data(), which give arrays"
        ) from error
    return [
        None if row is None else SparseVector(row[1], row[2], row[3]) if row[0] == SPARSE else DenseVector(row[3])  # type: ignore[arg-type]
        for row in iter_serialized(array)
    ]
