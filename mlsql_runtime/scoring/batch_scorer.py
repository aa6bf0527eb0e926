"""The batch contract: ``predict_batch(X, model)`` scores a matrix or a DataFrame of rows; see ``python_fun.batch_udf``.

Columns become a matrix, and results an Arrow array, without a loop over rows. If a row is a vector, and all vectors of a batch
are of one kind, their values are not copied either.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from mlsql_runtime.errors import DataError, ScriptFailed
from mlsql_runtime.feed.decoding.frames import to_frame
from mlsql_runtime.feed.decoding.matrices import stack_features
from mlsql_runtime.feed.decoding.sql_types import parse_type
from mlsql_runtime.feed.decoding.vectors import all_sparse, common_width, has_sparse, is_vector, to_matrix
from mlsql_runtime.scoring.arguments import Columns
from mlsql_runtime.scoring.results import WrongResult, is_sparse, place, to_array
from mlsql_runtime.scoring.scorer import to_script_error
from mlsql_runtime.store.function_types import VECTOR, FunctionInput

CELLS = 1 << 22  # of an ndarray made from sparse rows, 32 MiB: it may be a thousand times as big as they are


@dataclass(frozen=True)
class BatchFunction:
    """The functions that ``python_fun.batch_udf`` was given, and ``sparse``.

    ``sparse``: X is CSR (True), an ndarray (False), or CSR if all rows of a batch are sparse vectors (None).
    """

    predict: Callable[[Any, Any], Any]
    load: Callable[[str], Any]
    sparse: bool | None


class BatchScorer:
    """Call the function with a matrix or a DataFrame of rows. Its model is loaded once, here."""

    def __init__(
        self, name: str, function: BatchFunction, model_dir: str, takes: FunctionInput = "matrix", returns: str = VECTOR
    ) -> None:
        self._name, self._function = name, function
        self._takes_frame = takes == "frame"
        self._returns = parse_type(returns)
        try:
            self._model = function.load(model_dir)
        except (Exception, SystemExit) as error:
            raise to_script_error(f"{name}, its load({model_dir!r}),", error) from error

    def score(self, partition: int, columns: Columns, width: int | None) -> pa.Array:
        """Return what the function returns for each row. It sees no empty batch; as a matrix, it sees no row with a null."""
        null = None if self._takes_frame else columns.find_nulls()
        given = columns if null is None else columns.filter(~null)
        results = [self._predict(X) for X in self._inputs(given, width)]
        whole = results[0] if len(results) == 1 else pa.concat_arrays(results) if results else pa.nulls(0, self._returns)
        return whole if null is None else place(whole, null)

    def _inputs(self, columns: Columns, width: int | None) -> Iterator[Any]:
        """Yield the rows as the function takes them: in one piece, unless sparse vectors would make a big ndarray."""
        rows, sparse = len(columns), self._function.sparse
        if rows == 0:
            return
        vectors = columns.arrays[0]
        if self._takes_frame:
            if width is not None and len(columns.arrays) == 1 and is_vector(vectors.type):
                common_width(vectors, width, f"function {self._name}")
            yield to_frame(columns.table)
            return
        if len(columns.arrays) > 1 or not is_vector(vectors.type):
            X = stack_features(columns.table, columns.names, sparse)
            if width is not None and X.shape[1] != width:
                what = f"function {self._name}: expected {width} numbers for each row, got {X.shape[1]}"
                raise DataError(what, expected=width, found=X.shape[1])
            yield X
            return
        width = common_width(vectors, width, f"function {self._name}")
        sparse = all_sparse(vectors) if sparse is None else sparse
        step = rows if sparse or not has_sparse(vectors) else max(1, CELLS // max(width, 1))
        for start in range(0, rows, step):
            yield to_matrix(vectors.slice(start, step), width, sparse)

    def _predict(self, X: Any) -> pa.Array:
        try:
            result = self._function.predict(X, self._model)
        except (Exception, SystemExit) as error:
            raise to_script_error(self._name, error, f" (for X, {_describe(X)})") from error
        try:
            return to_array(result, self._returns, X.shape[0])
        except WrongResult as error:
            raise ScriptFailed(
                f"function {self._name}: predict_batch(X, model) was called with X, {_describe(X)}; "
                f"expected {error.expected}, got {error.got}"
            ) from None


def _describe(X: Any) -> str:
    """Return what X was, and how to change it."""
    if is_sparse(X):
        return f"a CSR matrix of shape {X.shape}; with python_fun.batch_udf(…, sparse=False) it is an ndarray"
    if hasattr(X, "columns"):
        return f"a DataFrame of shape {X.shape}"
    return f"an ndarray of shape {X.shape}" + ("" if X.flags.writeable else ", which is read-only: copy it to change it")
