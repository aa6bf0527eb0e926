"""MLSQL's own contract: ``predict(index, s)`` scores one row; see ``python_fun.udf``.

The function takes pickles of serialised vectors. They are assembled from arrays, without Python objects of their numbers. A
pickle is a program for a small stack machine (``pickletools`` of the standard library documents it). A number in a list is an
opcode and its bytes, so NumPy writes the numbers of a whole batch at once, and each row is a slice of them. That is two to seven
times as fast as ``pickle.dumps`` of each row, which would take as long as a cheap predict function itself.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from mlsql_runtime.errors import ScriptFailed
from mlsql_runtime.feed.decoding.vectors import VectorColumns, common_width, from_serialized, split_vectors
from mlsql_runtime.scoring.arguments import Columns
from mlsql_runtime.scoring.scorer import to_script_error

Predict = Callable[[int, Any], Any]
_NOT_SERIALIZED = (pa.ArrowInvalid, pa.ArrowTypeError, TypeError, IndexError)
_SHOWN_LETTERS = 120

_START = pickle.PROTO + b"\x04" + pickle.MARK
_LIST = pickle.EMPTY_LIST + pickle.MARK
_END = pickle.APPENDS + pickle.TUPLE + pickle.STOP
_DENSE = _START + pickle.BININT1 + b"\x01" + pickle.NONE + pickle.NONE + _LIST
_SPARSE = _START + pickle.BININT1 + b"\x00" + pickle.BININT
_BETWEEN = pickle.APPENDS + _LIST
_INT = np.dtype([("opcode", "S1"), ("number", "<i4")])
_FLOAT = np.dtype([("opcode", "S1"), ("number", ">f8")])


class RowScorer:
    """Call the function row by row. What all rows share is pickled once."""

    def __init__(self, name: str, predict: Predict, model_dir: str, train_params: Mapping[str, str] | None) -> None:
        self._name, self._predict = name, predict
        constants = [[model_dir]] if train_params is None else [[model_dir], [dict(train_params)]]
        self._constants = tuple(pickle.dumps(constant) for constant in constants)

    def score(self, partition: int, columns: Columns, width: int | None) -> pa.StructArray:
        """Return what the function returns for each row."""
        vectors = columns.to_vectors()
        common_width(vectors, width, f"function {self._name}")
        rows = [None if row is None else self._score_row(partition, row) for row in pickle_rows(vectors)]
        try:
            return from_serialized(rows)
        except _NOT_SERIALIZED as error:
            raise self._wrong_result(next(row for row in rows if not _is_serialized(row))) from error

    def _score_row(self, partition: int, row: bytes) -> Any:
        try:
            result = list(self._predict(partition, iter((row, *self._constants))))
        except (Exception, SystemExit) as error:
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


def pickle_rows(vectors: pa.StructArray) -> Iterator[bytes | None]:
    """Yield ``pickle.dumps`` of what ``VectorUDT().serialize`` returns for each row; None for null."""
    known = split_vectors(vectors)
    return _pickle_mixed(known) if known.sparse.any() else _pickle_dense(known)


def _pickle_dense(known: VectorColumns) -> Iterator[bytes | None]:
    values = _encode(known.values, _FLOAT, pickle.BINFLOAT)
    starts = (known.starts * _FLOAT.itemsize).tolist()
    for null, start, end in zip(known.null.tolist(), starts[:-1], starts[1:], strict=True):
        yield None if null else _DENSE + values[start:end] + _END


def _pickle_mixed(known: VectorColumns) -> Iterator[bytes | None]:
    values, columns = _encode(known.values, _FLOAT, pickle.BINFLOAT), _encode(known.columns, _INT, pickle.BININT)
    sizes = _encode(known.widths, _INT, pickle.BININT)[1:]
    starts = known.starts.tolist()
    for row, (null, sparse) in enumerate(zip(known.null.tolist(), known.sparse.tolist(), strict=True)):
        start, end = starts[row], starts[row + 1]
        numbers = values[start * 9 : end * 9]
        if null:
            yield None
        elif sparse:
            size = sizes[row * 5 : row * 5 + 4]
            yield b"".join((_SPARSE, size, _LIST, columns[start * 5 : end * 5], _BETWEEN, numbers, _END))
        else:
            yield _DENSE + numbers + _END


def _encode(numbers: np.ndarray[Any, Any], kind: np.dtype[Any], opcode: bytes) -> bytes:
    """Return the opcode and the bytes of each number."""
    encoded = np.empty(len(numbers), dtype=kind)
    encoded["opcode"] = opcode
    encoded["number"] = numbers
    return encoded.tobytes()
