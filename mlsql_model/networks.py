"""Save and load Keras models and SavedModels of TensorFlow."""

from __future__ import annotations

import importlib
import os
import socket
import sys
from typing import Any


def save_keras(model: Any, path: str) -> None:
    """Write a Keras model to a file ``….keras``."""
    keras = _require("keras", "mlsql_model.keras_save_model", "keras")
    if not isinstance(model, keras.Model):
        raise TypeError(
            f"mlsql_model.keras_save_model: expected a model of Keras {keras.__version__}, got {_kind(model)}; "
            "for a TensorFlow module there is tf_save_model, for what can be pickled sk_save_model"
        )
    _check_built(model, "mlsql_model.keras_save_model")
    model.save(path)


def load_keras(path: str) -> Any:
    """Load a Keras model from such a file, compiled if it was when it was saved."""
    keras = _require("keras", f"{path}, a Keras model,", "keras")
    return keras.saving.load_model(path)


def save_tensorflow(model: Any, path: str) -> None:
    """Write a module, or a Keras model's forward pass, as a SavedModel to a new folder."""
    tf = _require("tensorflow", "mlsql_model.tf_save_model", "tensorflow")
    keras = sys.modules.get("keras")  # a script that has a Keras model has imported Keras
    if keras is not None and isinstance(model, keras.Model):
        _check_built(model, "mlsql_model.tf_save_model")
        model.export(path, format="tf_saved_model", verbose=False)
        return
    try:
        tf.saved_model.save(model, path)
    except ValueError as error:
        raise ValueError(f"mlsql_model.tf_save_model: TensorFlow cannot save {_kind(model)}: {error}") from error
    if not _functions(path):
        raise ValueError(
            f"mlsql_model.tf_save_model: {_kind(model)} has no function that could be called once it is loaded; "
            "decorate a method with @tf.function(input_signature=[tf.TensorSpec([None, None], tf.float32)])"
        )


def load_tensorflow(path: str) -> Any:
    """Load a SavedModel with ``tf.saved_model.load``."""
    tf = _require("tensorflow", f"{path}, a SavedModel,", "tensorflow")
    return tf.saved_model.load(path)


def _functions(path: str) -> list[str]:
    """Return the names of the functions in a SavedModel."""
    document = importlib.import_module("tensorflow.core.protobuf.saved_model_pb2").SavedModel()
    with open(os.path.join(path, "saved_model.pb"), "rb") as file:
        document.ParseFromString(file.read())
    return [name for graph in document.meta_graphs for name in graph.object_graph_def.concrete_functions]


def _check_built(model: Any, call: str) -> None:
    if not model.built:
        raise ValueError(f"{call}: the model {model.name!r} has no weights yet; train it, or begin it with keras.Input((width,))")


def _require(module: str, what: str, extra: str) -> Any:
    """Import a framework.

    :param what: the call or the file that needs it.
    :raises ModuleNotFoundError: when it, or a package that it needs, is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        missing = (error.name or module).partition(".")[0]
        raise ModuleNotFoundError(
            f"{what} needs {missing}, which {sys.executable} on {socket.gethostname()} does not have; there, "
            f"pip install 'airflow-provider-mlsql[{extra}]'",
            name=missing,
        ) from error


def _kind(model: object) -> str:
    kind = type(model)
    return f"a {kind.__module__}.{kind.__qualname__}"
