"""The batch contract: ``predict_batch(X, model)`` scores a matrix of rows; see ``python_fun.batch_udf``.

Vectors become a matrix, and results vectors, without a loop over rows. If all rows of a batch are of one kind, their values are
not copied either.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from mlsql_runtime.errors import ScriptFailed
from mlsql_runtime.feed.decoding.vectors import VectorColumns, all_sparse, has_sparse, join_vectors, to_matrix
from mlsql_runtime.scoring.scorer import to_script_error

CELLS = 1 << 22  # of an ndarray made from sparse rows, 32 MiB: it may be a thousand times as big as they are
_MAX_VALUES = 2**31 - 1  # Arrow counts the values of a batch of vectors in 32 bits


@dataclass(frozen=True)
class BatchFunction:
    """The arguments of ``python_fun.batch_udf``.

    ``sparse``: X is CSR (True), an ndarray (False), or CSR if all rows of a batch are sparse (None).
    """

    predict: Callable[[Any, Any], Any]
    load: Callable[[str], Any]
    sparse: bool | None


class BatchScorer:
    """Call the function with a matrix of rows. Its model is loaded once, here."""

    def __init__(self, name: str, function: BatchFunction, model_dir: str) -> None:
        self._name, self._function = name, function
        try:
            self._model = function.load(model_dir)
        except Exception as error:
            raise to_script_error(f"{name}, its load({model_dir!r}),", error) from error

    def score(self, partition: int, vectors: pa.StructArray, width: int) -> pa.StructArray:
        """Return what the function returns for each row. The function sees neither nulls nor batches of nulls only."""
        null = vectors.is_null().to_numpy(zero_copy_only=False)
        given = vectors.filter(pa.array(~null)) if vectors.null_count else vectors
        sparse = all_sparse(given) if self._function.sparse is None else self._function.sparse
        results = [self._predict(to_matrix(rows, width, sparse)) for rows in _slices(given, width, sparse)]
        return _to_vectors(_stack(results), null)

    def _predict(self, X: Any) -> Any:
        try:
            result = self._function.predict(X, self._model)
        except Exception as error:
            raise to_script_error(self._name, error, f" (for X, {_describe(X)})") from error
        return self._to_matrix(result, X)

    def _to_matrix(self, result: Any, X: Any) -> Any:
        """Return the result as float64 of shape (n, k): CSR if it is sparse, else an ndarray."""
        if _is_sparse(result):
            matrix = result.tocsr()
            if not matrix.has_canonical_format:  # Spark expects indices in order, each once
                matrix = matrix.copy()
                matrix.sum_duplicates()
        else:
            matrix = np.asarray(result)
            matrix = matrix.reshape(-1, 1) if matrix.ndim == 1 else matrix
        if matrix.ndim != 2 or matrix.shape[0] != X.shape[0]:
            raise self._wrong_result(X, f"shape {np.shape(result)}")
        if matrix.dtype.kind not in "fiub":
            advice = "for classes with names, return their positions in classes_"
            raise self._wrong_result(X, f"values of type {matrix.dtype}; {advice}")
        if matrix.size > _MAX_VALUES and not _is_sparse(matrix):
            raise self._wrong_result(X, f"{matrix.size} values; lower spark.sql.execution.arrow.maxRecordsPerBatch")
        return matrix.astype(np.float64, copy=False) if _is_sparse(matrix) else np.ascontiguousarray(matrix, dtype=np.float64)

    def _wrong_result(self, X: Any, got: str) -> ScriptFailed:
        n = X.shape[0]
        return ScriptFailed(
            f"function {self._name}: predict_batch(X, model) was called with X, {_describe(X)}; "
            f"expected an array of numbers of shape ({n},) or ({n}, k), got {got}"
        )


def _slices(vectors: pa.StructArray, width: int, sparse: bool) -> Iterator[pa.StructArray]:
    """Yield the batch in one piece, unless sparse rows would make a big ndarray."""
    step = len(vectors) if sparse or not has_sparse(vectors) else max(1, CELLS // max(width, 1))
    yield from (vectors.slice(start, step) for start in range(0, len(vectors), step or 1))


def _describe(X: Any) -> str:
    """Return what X was, and how to change it."""
    if _is_sparse(X):
        return f"a CSR matrix of shape {X.shape}; with python_fun.batch_udf(…, sparse=False) it is an ndarray"
    return f"an ndarray of shape {X.shape}" + ("" if X.flags.writeable else ", which is read-only: copy it to change it")


def _is_sparse(matrix: Any) -> bool:
    """Return whether it is one of SciPy's, without importing SciPy: functions of dense rows do not need it."""
    return hasattr(matrix, "tocsr")


def _stack(results: list[Any]) -> Any:
    if len(results) == 1:
        return results[0]
    if not results:
        return np.empty((0, 1))
    if any(map(_is_sparse, results)):
        from scipy.sparse import vstack

        return vstack(results, format="csr")
    return np.concatenate(results)


def _to_vectors(matrix: Any, null: np.ndarray[Any, np.dtype[np.bool_]]) -> pa.StructArray:
    """Return n vectors: the rows of a matrix of shape (m, k) at the m positions that are not ``null``."""
    n, k = len(null), matrix.shape[1]
    sparse = _is_sparse(matrix)
    counts = np.zeros(n, dtype=np.int64)
    counts[~null] = np.diff(matrix.indptr) if sparse else k
    return join_vectors(
        VectorColumns(
            sparse=np.full(n, sparse),
            null=null,
            widths=np.full(n, k),
            starts=np.concatenate(([0], np.cumsum(counts))),
            columns=matrix.indices if sparse else np.empty(0, dtype=np.int64),
            values=matrix.data if sparse else matrix.reshape(-1),
        )
    )
