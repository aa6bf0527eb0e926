"""The loader of an exported MLflow model: MLflow imports this module from the model's own copy of this package.

The model calls the function of a package in the way SQL does, so its predictions are those of the function. Its data::

    function.json        the record of the function, as a model store holds it
    function.pickle      the predict function
    model/<algIndex>/…   the files of the model
    samples.parquet      rows of the training table, if the version keeps some
    project.zip          the script that trained the version with its project, if the version keeps it
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from mlsql_runtime.errors import DataError, FileMissing, IntegrityError
from mlsql_runtime.feed.decoding.frames import to_frame
from mlsql_runtime.feed.decoding.sql_types import is_list, is_number, name_type
from mlsql_runtime.feed.decoding.vectors import SPARK_VECTOR_TYPE, is_vector, to_lists
from mlsql_runtime.scoring.loaded_function import LoadedFunction, check_python, make_function
from mlsql_runtime.scoring.results import to_array
from mlsql_runtime.store.function_records import FunctionRecord
from mlsql_runtime.store.manifest import FileEntry, load

if TYPE_CHECKING:
    import pandas as pd

RECORD, PICKLE, SAMPLES, PROJECT = "function.json", "function.pickle", "samples.parquet", "project.zip"
_CHUNK = 1 << 20


def _load_pyfunc(path: str) -> MLflowFunction:
    """Return the model in such a folder; MLflow calls this function.

    :raises InterpreterError: when the function was pickled by another minor version of Python.
    :raises IntegrityError: when a file differs from the one that the record names.
    """
    folder = Path(path)
    place = folder / RECORD
    record = load(FunctionRecord, place.read_bytes(), str(place))
    return MLflowFunction(load_exported(folder, record))


def load_exported(folder: Path, record: FunctionRecord) -> LoadedFunction:
    """Return the function in such a folder, every file verified.

    :raises InterpreterError: when the function was pickled by another minor version of Python.
    :raises IntegrityError: when a file differs from the one that the record names.
    """
    check_python(record)
    for entry in (record.pickle, *record.model_files):
        check_file(folder, entry)
    model = folder / "model" / str(record.alg_index)
    return make_function(record, (folder / record.pickle.path).read_bytes(), str(model))


def check_file(folder: Path, entry: FileEntry) -> None:
    """Compare a file with its entry.

    :raises IntegrityError: when it differs.
    :raises FileMissing: when it does not exist.
    """
    place, digest = folder / entry.path, hashlib.sha256()
    try:
        with place.open("rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
    except (FileNotFoundError, NotADirectoryError):
        raise FileMissing(f"{place} is missing, though {RECORD} names it; export the model again", path=str(place)) from None
    if digest.hexdigest() != entry.sha256:
        raise IntegrityError(
            f"{place} is not the file that {RECORD} names: expected SHA-256 {entry.sha256}, found {digest.hexdigest()}; "
            "export the model again",
            path=str(place),
        )


class MLflowFunction:
    """The model as MLflow calls it."""

    def __init__(self, function: LoadedFunction) -> None:
        self.function = function

    def predict(self, model_input: Any, params: Any = None) -> Any:
        """Return the prediction for each row.

        :param model_input: a DataFrame with the feature columns, of which others are ignored; or, for a function of vectors, an
            ndarray or a SciPy matrix of shape (n, d).
        :returns: for vectors of one number, and for single values, n values; for longer vectors and arrays, numbers of shape
            (n, k); for structs a DataFrame of their fields. A null is NaN or None.
        :raises InputError: naming every column that is missing or of another type.
        :raises ScriptFailed: when the function fails.
        """
        if not hasattr(model_input, "columns"):
            argument = _to_vectors(model_input)
        elif self.function.parameters.names:
            argument = self._to_struct(model_input)
        else:
            argument = _to_vectors(model_input.to_numpy())
        return to_result(self.function.score(0, argument))

    def _to_struct(self, frame: pd.DataFrame) -> pa.StructArray:
        """Return the columns that the function takes, by name; those that are missing are left out."""
        given = [str(name) for name in frame.columns]
        arrays, names = [], []
        for name, kind in zip(self.function.parameters.names, self.function.parameters.kinds, strict=True):
            found = [place for place, each in enumerate(given) if each == name]
            found = found or [place for place, each in enumerate(given) if each.lower() == name.lower()]
            for place in found:
                arrays.append(_to_column(frame.iloc[:, place], name, kind))
                names.append(given[place])
        return pa.StructArray.from_arrays(arrays, names) if arrays else pa.array([{}] * len(frame), pa.struct([]))


def _to_vectors(matrix: Any) -> pa.StructArray:
    """Return each row of a matrix of shape (n, d) as a vector."""
    if not hasattr(matrix, "shape") or len(matrix.shape) != 2:
        shape = getattr(matrix, "shape", None)
        got = type(matrix).__name__ if shape is None else f"shape {shape}"
        raise DataError(f"expected a DataFrame, or a matrix of numbers of shape (n, d), got {got}")
    return to_array(matrix, SPARK_VECTOR_TYPE, matrix.shape[0])


def _to_column(series: pd.Series, name: str, wanted: pa.DataType) -> pa.Array:
    """Return a column of a frame as Arrow, of the type ``wanted`` if its values are such; NaN and None are null."""
    kind = pa.list_(pa.float64()) if is_vector(wanted) else wanted
    try:
        return pa.array(series, type=kind, from_pandas=True)
    except (pa.ArrowException, TypeError, ValueError):
        pass
    try:
        found = pa.array(series, from_pandas=True)
        return found.cast(kind)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise DataError(
            f"column '{name}' of type {series.dtype} cannot be {name_type(wanted)}: {' '.join(str(error).split())[:200]}"
        ) from error


def to_result(predicted: pa.Array) -> Any:
    """Return predictions as MLflow expects them; see :meth:`MLflowFunction.predict`."""
    kind = predicted.type
    if is_vector(kind):
        values = _to_matrix(to_lists(predicted))
        return values[:, 0] if isinstance(values, np.ndarray) and values.shape[1] == 1 else values
    if is_list(kind):
        return _to_matrix(predicted)
    if pa.types.is_struct(kind):
        return to_frame(pa.Table.from_arrays(predicted.flatten(), [field.name for field in kind]))
    return predicted.to_pandas()


def _to_matrix(lists: pa.ListArray) -> Any:
    """Return numbers of shape (n, k), NaN for null; a Series of lists if they are not numbers of one length."""
    import pandas as pd

    lengths = lists.value_lengths().drop_null().unique()
    if len(lengths) > 1 or not is_number(lists.type.value_type):
        return pd.Series(lists.to_pylist(), dtype=object)
    width = lengths[0].as_py() if len(lengths) else 1
    matrix = np.full((len(lists), width), np.nan)
    matrix[lists.is_valid().to_numpy(zero_copy_only=False)] = (
        lists.flatten().cast(pa.float64()).to_numpy(zero_copy_only=False).reshape(-1, width)
    )
    return matrix
