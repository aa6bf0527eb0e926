"""Save and load models in a script: ``import mlsql_model``. A framework is imported only when its function is called."""

from __future__ import annotations

import functools
import os
import pickle
from typing import Any

from mlsql_runtime.script.beginning import begin
from mlsql_runtime.script.by_hand import outside_of_a_job
from mlsql_runtime.script.protocol import current_input

__all__ = ["keras_save_model", "load", "model_dir", "sk_save_model", "tf_save_model"]

begin()


def model_dir() -> str:
    """Where a training script leaves its model: ``tempModelLocalPath``. Whatever is in it becomes part of the version.

    :raises RuntimeError: outside of a job, saying how to run the script in one.
    """
    job = current_input()
    if job is None:
        raise outside_of_a_job("there is no folder for its model")
    path: str | None = job.params.get("internalSystemParam", {}).get("tempModelLocalPath")
    if path is None:
        raise RuntimeError(f"a {job.role} script has no folder for a model; save models in a training script")
    os.makedirs(path, exist_ok=True)
    return path


def sk_save_model(model: Any) -> str:
    """Pickle a scikit-learn (or any other) model to ``model.pickle``; returns its path.

    By protocol 5, in which large arrays go to the file from where they are, without a copy in memory.
    """
    path = os.path.join(model_dir(), "model.pickle")
    with open(path, "wb") as file:
        pickle.dump(model, file, protocol=5)
    return path


def keras_save_model(model: Any) -> str:
    """Save a Keras 3 model to ``model.keras``; returns its path."""
    path = os.path.join(model_dir(), "model.keras")
    model.save(path)
    return path


def tf_save_model(model: Any) -> str:
    """Export a TensorFlow module or Keras model as a SavedModel in ``saved_model``; returns its path."""
    import tensorflow as tf

    path = os.path.join(model_dir(), "saved_model")
    tf.saved_model.save(model, path)
    return path


def load(directory: str) -> Any:
    """The model that one of the functions above saved in ``directory``; loaded once per process.

    :raises FileNotFoundError: when it holds none of them, naming what it holds.
    """
    return _loaded(directory)


@functools.lru_cache(maxsize=8)
def _loaded(directory: str) -> Any:
    pickled, keras_file, saved = (os.path.join(directory, name) for name in ("model.pickle", "model.keras", "saved_model"))
    if os.path.exists(pickled):
        with open(pickled, "rb") as file:
            return pickle.load(file)
    if os.path.exists(keras_file):
        import keras

        return keras.saving.load_model(keras_file)
    if os.path.exists(saved):
        import tensorflow as tf

        return tf.saved_model.load(saved)
    raise FileNotFoundError(
        f"{directory} holds no model.pickle, model.keras or saved_model, but {sorted(os.listdir(directory))}; load it yourself"
    )
