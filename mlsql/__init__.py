"""The parameters, the data and the results of a training script. Import it in the script: ``import mlsql``.

It can be imported outside of a job, too, for an editor or a test; calls that need a job then raise an error that says how to run
the script in one.
"""

from __future__ import annotations

import ast
import functools
import json
import os
import pickle
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import IO, TYPE_CHECKING, Any, Literal, Protocol, SupportsFloat, SupportsInt, TypeVar, overload

from mlsql_runtime.errors import did_you_mean
from mlsql_runtime.script.current_job import current_job, job_required_error
from mlsql_runtime.script.data_request import await_data_files
from mlsql_runtime.script.protocol import PROGRESS_MARK, RECORD_START, REPORT_MARK, ScriptInput

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

__all__ = [
    "all_data",
    "all_frame",
    "feature_columns",
    "fit_param",
    "get_param",
    "get_validate_data",
    "get_validate_frame",
    "internal_system_param",
    "kafka_param",
    "label_column",
    "params",
    "progress",
    "read_arrow",
    "read_batches",
    "read_data",
    "read_frames",
    "report",
    "resources",
    "seed",
    "signature",
    "sklearn_all_data",
    "sklearn_batch_data",
    "sklearn_configure_params",
]

_Value = TypeVar("_Value")
_Default = TypeVar("_Default")
PROGRESS_SECONDS = 1.0
_progress_shown = -PROGRESS_SECONDS
_DATA_PATH = "tempDataLocalPath"
_ABSENT = {  # parameters of MLSQL, and why they are missing
    _DATA_PATH: "because the data come through Kafka; read them with mlsql.read_data(), mlsql.read_batches() or "
    "mlsql.all_data(), or set enable_data_local (enableDataLocal) to true",
    "stopFlagNum": "because mlsql counts the records of a topic itself; read them with mlsql.read_data()",
    "tempResultLocalPath": "which was PythonAlgBatchPrediction's; write JSON lines to tempOutputLocalPath in a script of predict",
}
_input = current_job()


class Reader(Protocol):
    """The reader that :func:`read_data` returns."""

    def __call__(self, max_records: int = 64, consume_threads: int = 1, print_consume_time: bool = False) -> Iterator[list[Row]]:
        """Yield lists of rows, each but the last exactly ``max_records`` long. ``consume_threads`` has no meaning here."""
        ...


class Estimator(Protocol):
    """An object that is configured like scikit-learn's estimators."""

    def get_params(self) -> Mapping[str, Any]: ...

    def set_params(self, **params: Any) -> object: ...


def _job() -> ScriptInput:
    if _input is None:
        raise job_required_error("mlsql has no parameters and no data")
    return _input


class _Parameters(dict[str, _Value]):
    """Parameters of one kind. A missing one explains itself outside of a job, and where the data come through Kafka."""

    def __missing__(self, key: str) -> _Value:
        _job()
        if key in _ABSENT:
            raise RuntimeError(f"there is no {key}, {_ABSENT[key]}")
        raise KeyError(key)

    def __reduce__(self) -> Any:
        return dict, (dict(self),)  # readable where there is no mlsql


class _FitParameters(_Parameters[str]):
    """The fit parameters. ``modelPath``, which MLSQL added to them, is there when it is asked for, and is not one of them."""

    def __missing__(self, key: str) -> str:
        if key == "modelPath" and (path := _job().model_path) is not None:
            return path
        return super().__missing__(key)

    def get(self, key: str, default: Any = None) -> Any:
        is_path = key == "modelPath" and key not in self and _input is not None and _input.model_path is not None
        return self[key] if is_path else super().get(key, default)


class _LazyParameters(_Parameters[Any]):
    """Parameters with ``tempDataLocalPath``, a folder whose files are written when it is first read, in whichever way.

    ``__iter__`` is overridden because ``dict(…)``, ``{**…}`` and ``|`` then read the items through the methods of this class.
    """

    def __init__(self, values: Mapping[str, Any], request: str) -> None:
        super().__init__(values)
        self._request: str | None = request

    def _write_files(self, key: str = _DATA_PATH) -> None:
        if self._request is not None and key == _DATA_PATH:
            await_data_files(self._request)
            self._request = None

    def __getitem__(self, key: str) -> Any:
        self._write_files(key)
        return super().__getitem__(key)

    def __iter__(self) -> Iterator[str]:
        return super().__iter__()

    def __repr__(self) -> str:
        self._write_files()
        return super().__repr__()

    def get(self, key: str, default: Any = None) -> Any:
        self._write_files(key)
        return super().get(key, default)

    def items(self) -> Any:
        self._write_files()
        return super().items()

    def values(self) -> Any:
        self._write_files()
        return super().values()

    def pop(self, key: str, *default: Any) -> Any:
        self._write_files(key)
        return super().pop(key, *default)

    def popitem(self) -> tuple[str, Any]:
        self._write_files()
        return super().popitem()

    def setdefault(self, key: str, default: Any = None) -> Any:
        self._write_files(key)
        return super().setdefault(key, default)


def _parameters(kind: str) -> dict[str, Any]:
    values = _input.params.get(kind, {}) if _input else {}
    if _DATA_PATH in values and _input is not None and _input.data_request is not None:
        return _LazyParameters(values, _input.data_request)
    return _FitParameters(values) if kind == "fitParam" else _Parameters(values)


def params() -> dict[str, dict[str, Any]]:
    """Return all parameters, as dicts under ``fitParam``, ``kafkaParam``, ``internalSystemParam`` and ``systemParam``.

    Scripts of predict and register have ``fitParams``, too, the options of their statement, and ``trainParams``, those of the
    training.
    """
    return {kind: _parameters(kind) for kind in _job().params}


#: This group's ``fitParam.<i>.…``, as strings.
fit_param: dict[str, str] = _parameters("fitParam")
#: ``kafkaParam.…``, empty when the data are local files.
kafka_param: dict[str, str] = _parameters("kafkaParam")
#: ``tempDataLocalPath``, ``tempModelLocalPath``, ``resource`` …
internal_system_param: dict[str, Any] = _parameters("internalSystemParam")
systemParam: dict[str, str] = _parameters("systemParam")  # noqa: N816 - MLSQL's name
_signature = _input.signature if _input else None
#: The names of the feature columns, so that ``frame[mlsql.feature_columns]`` is what to learn from.
feature_columns: list[str] = list(_signature.names) if _signature else []
#: The name of the label column, or None.
label_column: str | None = _signature.label.name if _signature and _signature.label else None


def signature() -> Signature | None:
    """Return names and Spark types of the feature columns and the label, and its classes; None for a table without features.

    They are those of the training table; in a predict script, those of the version that it is for.
    """
    return _job().signature


def get_param(p: Mapping[str, _Value], name: str, default: _Default) -> _Value | _Default:
    """Return ``p[name]``, or ``default``: ``int(mlsql.get_param(mlsql.fit_param, "batchSize", 1000))``."""
    return p.get(name, default)


_get_param = get_param  # MLSQL's name


if not TYPE_CHECKING:  # whose users are told of misspelt names

    def __getattr__(name: str) -> Any:
        """Return what MLSQL's module had under names that its manual does not mention."""
        if name == "_params":
            return params()
        if name == "validate_data":
            return list(_validation_rows())
        if name == "raw_validate_data":
            return [pickle.dumps(row) for row in _validation_rows()]
        raise AttributeError(f"module 'mlsql' has no attribute {name!r}{did_you_mean(name, __all__)}")


def load(path: str) -> Any:
    """Unpickle a file; an empty list if there is none. :func:`mlsql_model.load` loads models."""
    if not os.path.exists(path):
        return []
    with open(path, "rb") as file:
        return pickle.load(file)  # noqa: S301 - as MLSQL's function did


def dump(value: Any, file: IO[bytes]) -> str:
    """Pickle a value to an open file, close it, and return its name."""
    with file:
        pickle.dump(value, file)
    return file.name


def seed() -> int | None:
    """Return the job's seed, or None.

    :mod:`random` and NumPy's global generator are seeded with it already. The script seeds others itself:
    ``torch.manual_seed(mlsql.seed())``, ``np.random.default_rng(mlsql.seed())``.
    """
    return _input.seed if _input else None


def resources() -> dict[str, tuple[str, ...]]:
    """Return what Spark has assigned to this task beside its cores: ``{"gpu": ("0",)}``; empty if nothing, and outside of a task.

    ``CUDA_VISIBLE_DEVICES`` names the same graphics cards, so that libraries number them from 0.
    """
    from mlsql_runtime.script.task_resources import assigned_resources

    return dict(_input.resources) if _input else assigned_resources()


def _typed(text: str, default: Any, name: str) -> Any:
    """Return a parameter as a value of the kind of the estimator's default: True, None, 3, 0.1, [1, 2], or text."""
    word = text.strip()
    if word.lower() in ("true", "false"):
        return word.lower() == "true"
    if word.lower() in ("none", "null"):
        return None
    if isinstance(default, bool):
        raise ValueError(f"fitParam.<i>.{name} is {text!r}; expected true or false")
    try:
        value = ast.literal_eval(word)
    except (ValueError, SyntaxError):
        return text  # such as max_features="sqrt"; the estimator checks words itself
    if isinstance(default, (int, float)) and not isinstance(value, (int, float)):
        raise ValueError(f"fitParam.<i>.{name} is {text!r}; expected a number")
    return value  # 3 stays an int where the default is 1.0: to max_features, 3 are three and 1.0 is all


def sklearn_configure_params(clf: Estimator, params: Mapping[str, str] | None = None) -> None:
    """Set the fit parameters that the estimator has, converted to the types of its defaults; ignore others, such as batchSize.

    :param params: parameters to set instead of :data:`fit_param`.
    :raises ValueError: when the text of a parameter does not fit the type of its default.
    """
    given, defaults = fit_param if params is None else params, clf.get_params()
    known = {name: _typed(str(value), defaults[name], name) for name, value in given.items() if name in defaults}
    clf.set_params(**known)


def _data() -> ScriptTable:
    data = _job().data
    if data is None:
        raise RuntimeError(f"a {_job().role} script has no training data; mlsql's data functions are for training scripts")
    return data


def _at_least_one(max_records: int) -> int:
    if max_records < 1:
        raise ValueError(f"max_records is {max_records}; expected at least 1")
    return max_records


def _matrix_columns(table: ScriptTable) -> MatrixColumns:
    from mlsql_runtime.feed.decoding.features_and_labels import choose_columns

    return choose_columns(table, fit_param, _job().signature)


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
def _validation_rows() -> list[Row]:
    validate = _job().validate
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
    :raises DataError: when there is no such column, it holds nulls or text, or its values have no common width.
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

    validate = _job().validate
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
    names no feature columns. The pandas type of a column follows from its Spark type (docs/training.md has the table): whole
    numbers and booleans are nullable, text is ``object`` with None for null. The label column, which holds no nulls, has NumPy's
    types.

    :raises RuntimeError: outside of a training job.
    :raises DataError: when the label column holds nulls.
    """
    from mlsql_runtime.feed.decoding.frames import read_frames

    yield from read_frames(_data(), _job().columns, label_column, _at_least_one(max_records))


def all_frame() -> pd.DataFrame:
    """Return the whole table as one DataFrame; see :func:`read_frames`."""
    from mlsql_runtime.feed.decoding.frames import read_frame

    return read_frame(_data(), _job().columns, label_column)


def get_validate_frame() -> pd.DataFrame:
    """Return the validation table as a DataFrame; see :func:`read_frames`. It has no rows when there is no such table."""
    from mlsql_runtime.feed.decoding.frames import make_empty_frame, read_frame

    validate = _job().validate
    if validate is None:
        return make_empty_frame(_data(), _job().columns, label_column)
    return read_frame(validate, _job().columns, label_column)


def read_arrow() -> Iterator[pa.RecordBatch]:
    """Yield the rows as Arrow batches of the reader's own size, with the columns of :func:`read_frames`; memory holds one batch.

    Vectors are structs of ``type``, ``size``, ``indices`` and ``values``, as Spark stores them.

    :raises RuntimeError: outside of a training job.
    """
    from mlsql_runtime.feed.reader import read_arrow

    yield from read_arrow(_data(), _job().columns or None)


def sklearn_all_data() -> tuple[Dense, Labels]:
    """Return the whole table as ndarrays ``(X, y)`` of shape (n, d) and (n,); see :func:`get_validate_data`."""
    return _as_lists(*all_data(sparse=False))


def sklearn_batch_data(fn: Callable[[Dense, Labels, int], object]) -> None:
    """Call ``fn(X, y, label_size)`` for each batch; the fit parameters are ``batchSize`` (1000) and ``labelSize`` (-1)."""
    label_size = int(fit_param.get("labelSize", -1))
    for X, y in read_batches(int(fit_param.get("batchSize", 1000)), sparse=False):
        fn(*_as_lists(X, y), label_size)


def _print_marked(mark: str, document: Mapping[str, Any]) -> None:
    sys.stdout.write(f"{RECORD_START}{mark}{json.dumps(document)}\n")  # at once: other threads may print, too
    sys.stdout.flush()


def report(step: SupportsInt | None = None, **metrics: SupportsFloat) -> None:
    """Show metrics in the task log now, and keep the last value of each with the model."""
    if _input is None:
        print(f"step {step}: {metrics}" if step is not None else metrics)
        return
    _print_marked(
        REPORT_MARK,
        {"step": None if step is None else int(step), "metrics": {name: float(value) for name, value in metrics.items()}},
    )


def progress(done: SupportsFloat, total: SupportsFloat) -> None:
    """Show in the task log that ``done`` of ``total`` steps are done, whatever the unit: once in a second, and the end."""
    global _progress_shown
    if _input is None:
        print(f"{done} of {total}")
        return
    if float(done) < float(total) and time.monotonic() < _progress_shown + PROGRESS_SECONDS:
        return
    _progress_shown = time.monotonic()
    _print_marked(PROGRESS_MARK, {"done": float(done), "total": float(total)})
