"""MLSQL's own contract: ``predict(index, s)`` scores one row; see ``python_fun.udf``."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from typing import Any

import pyarrow as pa

from mlsql_runtime.errors import ScriptFailed
from mlsql_runtime.feed.decoding.vectors import from_serialized
from mlsql_runtime.scoring.pickled_rows import pickle_rows
from mlsql_runtime.scoring.scorer import to_script_error

Predict = Callable[[int, Any], Any]
_NOT_SERIALIZED = (pa.ArrowInvalid, pa.ArrowTypeError, TypeError, IndexError)
_SHOWN_LETTERS = 120


class RowScorer:
    """Call the function row by row. What all rows share is pickled once."""

    def __init__(self, name: str, predict: Predict, model_dir: str, train_params: Mapping[str, str] | None) -> None:
        self._name, self._predict = name, predict
        constants = [[model_dir]] if train_params is None else [[model_dir], dict(train_params)]
        self._constants = tuple(pickle.dumps(constant) for constant in constants)

    def score(self, partition: int, vectors: pa.StructArray, width: int) -> pa.StructArray:
        """Return what the function returns for each row."""
        rows = [None if row is None else self._score_row(partition, row) for row in pickle_rows(vectors)]
        try:
            return from_serialized(rows)
        except _NOT_SERIALIZED as error:
            raise self._wrong_result(next(row for row in rows if not _is_serialized(row))) from error

    def _score_row(self, partition: int, row: bytes) -> Any:
        try:
            result = list(self._predict(partition, iter((row, *self._constants))))
        except Exception as error:
            raise to_script_error(self._name, error) from error
        if len(result) != 1 or not isinstance(result[0], tuple) or len(result[0]) != 4:
            raise self._wrong_result(result)
        return result[0]

    def _wrong_result(self, result: object) -> ScriptFailed:
        text = str(result)
        text = text if len(text) <= _SHOWN_LETTERS else f"{text[: _SHOWN_LETTERS - 3]}..."
        return ScriptFailed(
            f"function {self._name} returned {text}; expected a list with one serialised vector, "
            "[VectorUDT().serialize(Vectors.dense(y))]"
        )


def _is_serialized(row: Any) -> bool:
    try:
        from_serialized([row])
    except _NOT_SERIALIZED:
        return False
    return True
