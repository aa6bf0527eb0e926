"""MLSQL's own contract: ``predict(index, s)`` answers one row; see ``python_fun.udf``."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from typing import Any

import pyarrow as pa

from mlsql_runtime.errors import ScriptFailed
from mlsql_runtime.feed.decoding.vectors import from_serialized
from mlsql_runtime.scoring.pickled_rows import pickled
from mlsql_runtime.scoring.scorer import failed, shown

Predict = Callable[[int, Any], Any]
_NO_VECTORS = (pa.ArrowInvalid, pa.ArrowTypeError, TypeError, IndexError)


class RowScorer:
    """What is the same for all rows is pickled here, once."""

    def __init__(self, name: str, predict: Predict, model_dir: str, train_params: Mapping[str, str] | None) -> None:
        self._name, self._predict = name, predict
        constants = [[model_dir]] if train_params is None else [[model_dir], dict(train_params)]
        self._constants = tuple(pickle.dumps(constant) for constant in constants)

    def score(self, partition: int, vectors: pa.StructArray, width: int) -> pa.StructArray:
        rows = [None if row is None else self._one(partition, row) for row in pickled(vectors)]
        try:
            return from_serialized(rows)
        except _NO_VECTORS as error:
            raise self._wrong_answer(next(row for row in rows if not _is_serialized(row))) from error

    def _one(self, partition: int, row: bytes) -> Any:
        try:
            answer = list(self._predict(partition, iter((row, *self._constants))))
        except Exception as error:
            raise failed(self._name, error) from error
        if len(answer) != 1 or not isinstance(answer[0], tuple) or len(answer[0]) != 4:
            raise self._wrong_answer(answer)
        return answer[0]

    def _wrong_answer(self, answer: object) -> ScriptFailed:
        return ScriptFailed(
            f"function {self._name} answered {shown(answer)}; expected a list with one serialised vector, "
            "[VectorUDT().serialize(Vectors.dense(y))]"
        )


def _is_serialized(row: Any) -> bool:
    try:
        from_serialized([row])
    except _NO_VECTORS:
        return False
    return True
