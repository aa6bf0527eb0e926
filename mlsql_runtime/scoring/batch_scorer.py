"""The batch contract: ``predict_batch(X, model)`` answers a matrix of rows; see ``python_fun.batch_udf``.

Vectors become a matrix, and answers vectors, without a loop over rows and, where all rows of a batch are of one kind, without
a copy of their values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from mlsql_runtime.errors import ScriptFailed
from mlsql_runtime.feed.decoding.vectors import VectorColumns, all_sparse, has_sparse, join_vectors, to_matrix
from mlsql_runtime.scoring.scorer import failed

CELLS = 1 << 22  # of a matrix made from sparse rows at a time, 32 MiB: it may be a thousand times as big as they are
_VALUES = 2**31 - 1  # Arrow counts the values of a batch of vectors in 32 bits


@dataclass(frozen=True)
class BatchFunction:
    """What ``python_fun.batch_udf`` was given.

    ``sparse``: X is CSR (True), an ndarray (False), or CSR where all rows of a batch are sparse (None).
    """

    predict: Callable[[Any, Any], Any]
    load: Callable[[str], Any]
    sparse: bool | None


class BatchScorer:
    """A function and its model, which is loaded here, once."""

    def __init__(self, name: str, function: BatchFunction, model_dir: str) -> None:
        self._name, self._function = name, function
        try:
            self._model = function.load(model_dir)
        except Exception as error:
            raise failed(f"{name}, its load({model_dir!r}),", error) from error

    def score(self, partition: int, vectors: pa.StructArray, width: int) -> pa.StructArray:
        """Nulls never reach the function, nor does a batch of nothing else."""
        null = vectors.is_null().to_numpy(zero_copy_only=False)
        given = vectors.filter(pa.array(~null)) if vectors.null_count else vectors
        sparse = all_sparse(given) if self._function.sparse is None else self._function.sparse
        answers = [self._predict(to_matrix(rows, width, sparse)) for rows in _pieces(given, width, sparse)]
        return _vectors(_joined(answers), null)

    def _predict(self, X: Any) -> Any:
        try:
            answer = self._function.predict(X, self._model)
        except Exception as error:
            raise failed(self._name, error, f" (for X, {_described(X)})") from error
        return self._checked(answer, X)

    def _checked(self, answer: Any, X: Any) -> Any:
        """As float64 of shape (n, k): CSR if it is sparse, else an ndarray."""
        if _is_sparse(answer):
            matrix = answer.tocsr()
            if not matrix.has_canonical_format:  # Spark wants indices in order, each once
                matrix = matrix.copy()
                matrix.sum_duplicates()
        else:
            matrix = np.asarray(answer)
            matrix = matrix.reshape(-1, 1) if matrix.ndim == 1 else matrix
        if matrix.ndim != 2 or matrix.shape[0] != X.shape[0]:
            raise self._wrong_answer(X, f"an answer of shape {np.shape(answer)}")
        if matrix.dtype.kind not in "fiub":
            raise self._wrong_answer(X, f"values of type {matrix.dtype}; for classes with names, answer their places in classes_")
        if matrix.size > _VALUES and not _is_sparse(matrix):
            raise self._wrong_answer(X, f"{matrix.size} values; lower spark.sql.execution.arrow.maxRecordsPerBatch")
        return matrix.astype(np.float64, copy=False) if _is_sparse(matrix) else np.ascontiguousarray(matrix, dtype=np.float64)

    def _wrong_answer(self, X: Any, got: str) -> ScriptFailed:
        n = X.shape[0]
        return ScriptFailed(
            f"function {self._name}: predict_batch(X, model) got X, {_described(X)}; "
            f"expected an array of numbers of shape ({n},) or ({n}, k), got {got}"
        )


def _pieces(vectors: pa.StructArray, width: int, sparse: bool) -> Iterator[pa.StructArray]:
    """The batch, in one piece unless a big ndarray has to be made for sparse rows."""
    step = len(vectors) if sparse or not has_sparse(vectors) else max(1, CELLS // max(width, 1))
    yield from (vectors.slice(start, step) for start in range(0, len(vectors), step or 1))


def _described(X: Any) -> str:
    """What X was, for somebody whose function cannot use it."""
    if _is_sparse(X):
        return f"a CSR matrix of shape {X.shape}; with python_fun.batch_udf(…, sparse=False) it is an ndarray"
    return f"an ndarray of shape {X.shape}" + ("" if X.flags.writeable else ", which is read-only: copy it to change it")


def _is_sparse(matrix: Any) -> bool:
    """Whether it is one of SciPy's; without an import of SciPy, which functions of dense rows can do without."""
    return hasattr(matrix, "tocsr")


def _joined(answers: list[Any]) -> Any:
    if len(answers) == 1:
        return answers[0]
    if not answers:
        return np.empty((0, 1))
    if any(map(_is_sparse, answers)):
        from scipy.sparse import vstack

        return vstack(answers, format="csr")
    return np.concatenate(answers)


def _vectors(matrix: Any, null: np.ndarray[Any, np.dtype[np.bool_]]) -> pa.StructArray:
    """Rows of shape (m, k) as vectors, at the n places that are not null; m of n."""
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
