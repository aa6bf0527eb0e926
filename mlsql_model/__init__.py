"""Save and load models in a script: ``import mlsql_model``. A framework is imported only when its function is called."""

from __future__ import annotations

import functools
import os
import pickle
from collections.abc import Callable, Mapping
from typing import Any

from mlsql_model import imported, networks

from mlsql_runtime.errors import MLSQLError
from mlsql_runtime.script.current_job import current_job, require_job

__all__ = ["keras_save_model", "load", "model_dir", "sk_save_model", "tf_save_model"]

PICKLE, KERAS, SAVED_MODEL = "model.pickle", "model.keras", "saved_model"
JOBLIB, MLFLOW = "model.joblib", "MLmodel"  # of models that were imported

current_job()  # seeds the generators of random numbers


def model_dir() -> str:
    """Return the folder ``tempModelLocalPath``, whose files become part of the version.

    :raises RuntimeError: outside of a training job, with how to run the script in one.
    """
    job = require_job("there is no folder for its model")
    path: str | None = job.internal_params.get("tempModelLocalPath")
    if path is None:
        raise RuntimeError(f"a {job.role} script has no folder for a model; save models in a training script")
    os.makedirs(path, exist_ok=True)
    return path


def _project() -> str | None:
    """Return the folder of the script's project."""
    job = current_job()
    return job.project if job else None


def sk_save_model(model: Any) -> str:
    """Pickle a scikit-learn (or any other) model to ``model.pickle``, and return the path.

    Protocol 5 writes large arrays from where they are, without a copy in memory. Classes and functions of the script and of its
    project are saved with the model, if it refers to any, by cloudpickle: the model loads where the script is not.

    :raises pickle.PicklingError: naming the object in the model that cannot be saved.
    :raises ModuleNotFoundError: when the model needs code of the script, and no cloudpickle is installed, with what to install.
    """
    from mlsql_runtime.script import code_pickle

    folder = model_dir()
    if others := sorted(name for name in os.listdir(folder) if name != PICKLE):
        _mention_other_files(", ".join(others))
    path = os.path.join(folder, PICKLE)
    code_pickle.dump(model, path, "mlsql_model.sk_save_model", _project())
    return path


@functools.cache
def _mention_other_files(names: str) -> None:
    """Say once which files stay: MLSQL's function removed them."""
    print(f"mlsql_model.sk_save_model keeps what tempModelLocalPath already contains: {names}")


def save_model(*_: Any, **__: Any) -> None:
    """Refuse to save a session of TensorFlow 1, which MLSQL's function of this name did."""
    raise NotImplementedError(
        "mlsql_model.save_model saved a session of TensorFlow 1; with TensorFlow 2, make the network a tf.Module, or a Keras "
        "model, and call mlsql_model.tf_save_model(module), or mlsql_model.keras_save_model(model)"
    )


def keras_save_model(model: Any) -> str:
    """Save a Keras 3 model to ``model.keras``, and return the path.

    Layers, losses and functions of the script and of its project are saved beside it, so that :func:`load` needs no script.

    :raises TypeError: when it is not a Keras model.
    :raises ValueError: when it has no weights yet, or contains a lambda, which Keras does not load.
    :raises pickle.PicklingError: naming the object in the script's own layers that cannot be saved.
    :raises ModuleNotFoundError: when Keras is not installed, with what to install.
    """
    path = os.path.join(model_dir(), KERAS)
    networks.save_keras(model, path, _project())
    return path


def tf_save_model(model: Any) -> str:
    """Export a TensorFlow module or a Keras model as a SavedModel in ``saved_model``, and return the path.

    Its functions can be called after :func:`load`: the ``tf.function`` methods of a module that have an
    ``input_signature`` or were called once, and ``serve(X)`` of a Keras model.

    :raises ValueError: when it has no functions, or TensorFlow cannot save it.
    :raises ModuleNotFoundError: when the framework is not installed, with what to install.
    """
    path = os.path.join(model_dir(), SAVED_MODEL)
    networks.save_tensorflow(model, path)
    return path


def load(directory: str) -> Any:
    """Load the model that one of the functions above saved in ``directory``, or that was imported, once per process.

    A Keras model is compiled if it was when it was saved. A SavedModel is loaded with ``tf.saved_model.load``: its functions have
    their names, those of a SavedModel that was made elsewhere are in ``signatures``. An imported MLflow model is that of its own
    library where MLflow can load that, such as a scikit-learn estimator, else a ``PyFuncModel``.

    :raises FileNotFoundError: when the folder has no such model, with its files.
    :raises ValueError: when it has several.
    :raises ModuleNotFoundError: when the framework is not installed, with what to install.
    :raises pickle.UnpicklingError: when a pickle cannot be loaded here, with the packages that differ from those that made it.
    :raises InterpreterError: when it contains code of its script and was saved by another minor version of Python.
    """
    with os.scandir(directory) as entries:
        files = sorted((entry.name, entry.stat().st_mtime_ns, entry.stat().st_size) for entry in entries)
    return _loaded(directory, tuple(files))


def _unpickle(path: str) -> Any:
    from mlsql_runtime.script import code_pickle

    try:
        return code_pickle.load(path)
    except (OSError, MemoryError, MLSQLError):
        raise
    except Exception as error:
        from mlsql_runtime.script.model_packages import describe_other_packages, find_model_packages

        others = describe_other_packages(find_model_packages(os.path.dirname(path)))
        raise pickle.UnpicklingError(f"{path} cannot be loaded: {type(error).__name__}: {error}{others}") from error


_LOADERS: Mapping[str, Callable[[str], Any]] = {
    PICKLE: _unpickle,
    KERAS: networks.load_keras,
    SAVED_MODEL: networks.load_tensorflow,
    JOBLIB: imported.load_joblib,
    MLFLOW: imported.load_mlflow,
}
_YOURSELF = "load it yourself: python_fun.batch_udf(predict, load=load) calls load(directory)"


@functools.lru_cache(maxsize=8)
def _loaded(directory: str, files: tuple[tuple[str, int, int], ...]) -> Any:
    """Return the model of a folder with these files: names, times and sizes. A model that is saved again is another one."""
    names = [name for name, _, _ in files]
    found = [MLFLOW] if MLFLOW in names else [name for name in _LOADERS if name in names]
    if not found:
        raise FileNotFoundError(f"{directory} holds no {PICKLE}, {KERAS} or {SAVED_MODEL}, but {names}; {_YOURSELF}")
    if len(found) > 1:
        raise ValueError(f"{directory} holds {' and '.join(found)}; expected one model, or {_YOURSELF}")
    return _LOADERS[found[0]](os.path.join(directory, found[0]))
