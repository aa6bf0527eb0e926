"""The protocols between a predict function and us. A scorer answers one Arrow batch of vectors with another."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import pyarrow as pa

from mlsql_runtime.errors import ScriptFailed
from mlsql_runtime.feed.vectors import from_serialized, serialized

ROW = "row"


class Scorer(Protocol):
    """``vectors`` in, as many vectors out, null for null."""

    def score(self, partition: int, vectors: pa.StructArray) -> pa.StructArray: ...


class RowScorer:
    """MLSQL's own contract: ``predict(index, s)`` for one row at a time; see ``python_fun.udf``."""

    def __init__(
        self, name: str, predict: Callable[[int, Any], Any], model_dir: str, train_params: Mapping[str, str] | None
    ) -> None:
        self._name, self._predict = name, predict
        self._constants = [pickle.dumps([model_dir])]
        if train_params is not None:
            self._constants.append(pickle.dumps(dict(train_params)))

    def score(self, partition: int, vectors: pa.StructArray) -> pa.StructArray:
        rows = [None if row is None else self._one(partition, row) for row in serialized(vectors)]
        try:
            return from_serialized(rows)
        except (pa.ArrowInvalid, pa.ArrowTypeError, TypeError, IndexError) as error:
            raise self._wrong_answer(next(row for row in rows if not _is_serialized(row))) from error

    def _one(self, partition: int, row: Any) -> Any:
        try:
            answer = list(self._predict(partition, iter([pickle.dumps(row), *self._constants])))
        except Exception as error:
            raise ScriptFailed(f"function {self._name} failed: {type(error).__name__}: {error}") from error
        if len(answer) != 1 or not isinstance(answer[0], tuple) or len(answer[0]) != 4:
            raise self._wrong_answer(answer)
        return answer[0]

    def _wrong_answer(self, answer: object) -> ScriptFailed:
        return ScriptFailed(
            f"function {self._name} answered {str(answer)[:120]}; expected a list with one serialised vector, "
            "[VectorUDT().serialize(Vectors.dense(y))]"
        )


def _is_serialized(row: Any) -> bool:
    try:
        from_serialized([row])
    except (pa.ArrowInvalid, pa.ArrowTypeError, TypeError, IndexError):
        return False
    return True
