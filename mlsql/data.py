"""The training and the validation table of a script, as rows, matrices, frames and Arrow batches."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Literal, Protocol, overload

from mlsql.parameters import fit_param, script_job

from mlsql_runtime.script.current_job import current_job

if TYPE_CHECKING:
    from typing import TypeAlias

    import numpy as np
    import pandas as pd
    import pyarrow as pa
    from numpy.typing import NDArray
    from scipy.sparse import csr_matrix

    from mlsql_runtime.feed.decoding.features_and_labels import MatrixColumns
    from mlsql_runtime.feed.decoding.rows import Row
    from mlsql_runtime.feed.interface import ScriptTable
    from mlsql_runtime.store.signature import Signature

    Dense: TypeAlias = NDArray[np.float64]
    #: None where the table has no labels. ``Any`` spares scripts that train with labels a check for None.
    Labels: TypeAlias = NDArray[Any] | Any


_job = current_job()
_signature = _job.signature if _job else None
#: The names of the feature columns, so that ``frame[mlsql.feature_columns]`` is what to learn from.
feature_columns: list[str] = list(_signature.names) if _signature else []
#: The name of the label column, or None.
label_column: str | None = _signature.label.name if _signature and _signature.label else None


def signature() -> Signature | None:
    """Return names and Spark types of the feature columns and the label, and its classes; None for a table without features.

    They are those of the training table; in a predict script, those of the version that it is for.
    """
    return script_job().signature


class Reader(Protocol):
    """The reader that :func:`read_data` returns."""

    def __call__(self, max_records: int = 64, consume_threads: int = 1, print_consume_time: bool = False) -> Iterator[list[Row]]:
        """Yield lists of rows, each but the last exactly ``max_records`` long. ``consume_threads`` has no meaning here."""
        ...


def _data() -> ScriptTable:
    job = script_job()
    if job.data is None:
        raise RuntimeError(f"a {job.role} script has no training data; mlsql's data functions are for training scripts")
    return job.data


def _at_least_one(max_records: int) -> int:
    if max_records < 1:
        raise ValueError(f"max_records is {max_records}; expected at least 1")
    return max_records


def _matrix_columns(table: ScriptTable) -> MatrixColumns:
    from mlsql_runtime.feed.decoding.features_and_labels import choose_columns

    return choose_columns(table, fit_param, script_job().signature)


def read_data() -> Reader:
    """Return a reader ``rd``: ``rd(max_records=64)`` yields lists of rows, each but the last exactly that long.

    Rows are used as those of PySpark: ``row.label``, ``row["label"]``, ``row.asDict()``. Vectors are those of
    ``pyspark.ml.linalg``, so ``row.features.toArray()`` works.

    :raises RuntimeError: outside of a training job.
    """

    def rd(max_records: int = 64, consume_threads: int = 1, print_consume_time: bool = False) -> Iterator[list[Row]]:
        started = time.monotonic()
        for rows in _read_rows(_data(), _at_least_one(max_records)):
            if print_consume_time:
                print(f"read {len(rows)} rows in {1000 * (time.monotonic() - started):.0f} ms")
            yield rows
            started = time.monotonic()

    return rd


@functools.cache
def validation_rows() -> list[Row]:
    """Return the rows of the validation table, read once."""
    validate = script_job().validate
    return [row for rows in _read_rows(validate, 1024) for row in rows] if validate is not None and validate.rows else []


def _read_rows(table: ScriptTable, max_records: int) -> Iterator[list[Row]]:
    from mlsql_runtime.feed.decoding.rows import to_rows
    from mlsql_runtime.feed.reader import read_arrow, rebatch

    return map(to_rows, rebatch(read_arrow(table), max_records))


@overload
def read_batches(max_records: int = 1024, *, sparse: Literal[False]) -> Iterator[tuple[Dense, Labels]]: ...
@overload
def read_batches(max_records: int = 1024, *, sparse: Literal[True]) -> Iterator[tuple[csr_matrix, Labels]]: ...
@overload
def read_batches(max_records: int = 1024, sparse: bool | None = None) -> Iterator[tuple[Dense | csr_matrix, Labels]]: ...
def read_batches(max_records: int = 1024, sparse: bool | None = None) -> Iterator[tuple[Any, Any]]:
    """Yield ``(X, y)`` of ``max_records`` rows each, the last one shorter; memory holds one batch.

    ``X`` has shape (n, d): the feature columns of the training side by side, which may be numbers, booleans, vectors and lists of
    numbers. It is a CSR matrix when there are vectors, and all vectors of the batch are sparse, else an ndarray of float64. ``y``
    has shape (n,), or (n, k) for a label of vectors or lists; it is None when the table has no label column. Where the training
    names no columns, the fit parameters ``inputCol`` and ``label`` do, which are ``features`` and ``label`` by default.

    :param sparse: True for a CSR matrix always, False for an ndarray always.
    :raises RuntimeError: outside of a training job.
    :raises DataError: when there is a column is missing, holds nulls or text, or its values differ in width.
    """
    from mlsql_runtime.feed.decoding.features_and_labels import read_matrix_batches

    table = _data()
    yield from read_matrix_batches(table, _matrix_columns(table), _at_least_one(max_records), sparse)


@overload
def all_data(sparse: Literal[False]) -> tuple[Dense, Labels]: ...
@overload
def all_data(sparse: Literal[True]) -> tuple[csr_matrix, Labels]: ...
@overload
def all_data(sparse: bool | None = None) -> tuple[Dense | csr_matrix, Labels]: ...
def all_data(sparse: bool | None = None) -> tuple[Any, Any]:
    """Return the whole table as ``(X, y)``; see :func:`read_batches`."""
    from mlsql_runtime.feed.decoding.features_and_labels import read_matrix

    table = _data()
    return read_matrix(table, _matrix_columns(table), sparse)


def get_validate_data() -> tuple[Dense, NDArray[Any]]:
    """Return the validation table as ``(X, y)``: ndarrays of shape (n, d) and (n,), both empty when there is none.

    As the lists that MLSQL returned, they are true if they have rows: ``if X: …``. So are those of the functions
    whose names begin with ``sklearn_``.
    """
    import numpy as np

    from mlsql_runtime.feed.decoding.features_and_labels import read_matrix

    validate = script_job().validate
    if validate is None or validate.rows == 0:
        return _as_lists(np.empty((0, 0)), np.empty((0,)))
    X, y = read_matrix(validate, _matrix_columns(validate), sparse=False)
    return _as_lists(X, np.empty((0,)) if y is None else y)


def _as_lists(X: Any, y: Any) -> tuple[Any, Any]:
    from mlsql_runtime.feed.decoding.list_arrays import ListArray

    return X.view(ListArray), None if y is None else y.view(ListArray)


def read_frames(max_records: int = 1024) -> Iterator[pd.DataFrame]:
    """Yield pandas DataFrames of ``max_records`` rows each, the last one shorter; memory holds one batch.

    The columns are the feature columns and the label column of the training, in this order; all columns of the table, where it
    names no feature columns. The pandas type of a column follows from its Spark type (docs/how-to/training.md has the table):
    whole numbers and booleans are nullable, text is ``object`` with None for null. The label column, which holds no nulls, has
    NumPy's types.

    :raises RuntimeError: outside of a training job.
    :raises DataError: when the label column holds nulls.
    """
    from mlsql_runtime.feed.decoding.frames import read_frames

    yield from read_frames(_data(), script_job().columns, label_column, _at_least_one(max_records))


def all_frame() -> pd.DataFrame:
    """Return the whole table as one DataFrame; see :func:`read_frames`."""
    from mlsql_runtime.feed.decoding.frames import read_frame

    return read_frame(_data(), script_job().columns, label_column)


def get_validate_frame() -> pd.DataFrame:
    """Return the validation table as a DataFrame; see :func:`read_frames`. Without a validation table it has no rows."""
    from mlsql_runtime.feed.decoding.frames import make_empty_frame, read_frame

    validate = script_job().validate
    if validate is None:
        return make_empty_frame(_data(), script_job().columns, label_column)
    return read_frame(validate, script_job().columns, label_column)


def read_arrow() -> Iterator[pa.RecordBatch]:
    """Yield the rows as Arrow batches of the reader's own size, with the columns of :func:`read_frames`; memory holds one batch.

    Vectors are structs of ``type``, ``size``, ``indices`` and ``values``, as Spark stores them.

    :raises RuntimeError: outside of a training job.
    """
    from mlsql_runtime.feed.reader import read_arrow

    yield from read_arrow(_data(), script_job().columns or None)


def sklearn_all_data() -> tuple[Dense, Labels]:
    """Return the whole table as ndarrays ``(X, y)`` of shape (n, d) and (n,); see :func:`get_validate_data`."""
    return _as_lists(*all_data(sparse=False))


def sklearn_batch_data(fn: Callable[[Dense, Labels, int], object]) -> None:
    """Call ``fn(X, y, label_size)`` for each batch; the fit parameters are ``batchSize`` (1000) and ``labelSize`` (-1).

    :raises ValueError: when ``fn`` does, also with what is wrong about ``labelSize``: ``fn`` knows only that classes do not fit.
    """
    from mlsql_runtime.feed.decoding.features_and_labels import find_label_problem

    label_size = int(fit_param.get("labelSize", -1))
    for X, y in read_batches(int(fit_param.get("batchSize", 1000)), sparse=False):
        try:
            fn(*_as_lists(X, y), label_size)
        except ValueError as error:
            if (problem := find_label_problem(y, label_size)) is None:
                raise
            raise ValueError(f"{problem}: {error}") from error
