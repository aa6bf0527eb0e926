"""Save and load Keras models and SavedModels of TensorFlow."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import socket
import sys
import zipfile
from collections.abc import Iterator
from typing import Any

CUSTOM_OBJECTS = "custom_objects.pickle"  # beside a Keras model: the script's own layers, losses and functions in it, by name
_SAVE_KERAS = "mlsql_model.keras_save_model"


def save_keras(model: Any, path: str, project: str | None) -> None:
    """Write a Keras model to a file ``….keras``, and beside it the code of the script in it.

    :param project: the folder of the script's project; None for the script alone.
    """
    keras = _require("keras", _SAVE_KERAS, "keras")
    if not isinstance(model, keras.Model):
        raise TypeError(
            f"{_SAVE_KERAS}: expected a model of Keras {keras.__version__}, got {_kind(model)}; "
            "for a TensorFlow module there is tf_save_model, for what can be pickled sk_save_model"
        )
    _check_built(model, _SAVE_KERAS)
    model.save(path)
    try:
        with zipfile.ZipFile(path) as archive:
            own = _find_own_objects(json.loads(archive.read("config.json")), keras, project)
        if own:
            from mlsql_runtime.script import code_pickle

            code_pickle.dump(own, os.path.join(os.path.dirname(path), CUSTOM_OBJECTS), _SAVE_KERAS, project)
    except Exception:
        os.unlink(path)
        raise


def load_keras(path: str) -> Any:
    """Load a Keras model from such a file, compiled if it was when it was saved."""
    keras = _require("keras", f"{path}, a Keras model,", "keras")
    own = os.path.join(os.path.dirname(path), CUSTOM_OBJECTS)
    if not os.path.exists(own):
        return keras.saving.load_model(path)
    from mlsql_runtime.script import code_pickle

    return keras.saving.load_model(path, custom_objects=code_pickle.load(own))


def _find_own_objects(config: object, keras: Any, project: str | None) -> dict[str, object]:
    """Return the classes and functions of the script that a model's configuration names, under their names there.

    :raises ValueError: for what cannot be found by its name: a lambda, something inside a function, two of one name.
    """
    from mlsql_runtime.script.own_code import OwnCode

    code = OwnCode.of_project(project)
    own: dict[str, object] = {}
    for node, layer in _list_objects(config, "the model"):
        kind, inner = node["class_name"], node.get("config")
        if kind == "__lambda__":
            raise ValueError(
                f"{_SAVE_KERAS}: {layer} has a lambda, which Keras saves and does not load; write it as a function with a name, "
                "def scale(x), at the top of the script or of a module"
            )
        is_function = kind == "function"  # Keras writes its name only; of a class the module too, None for the script itself
        if not is_function and (node.get("registered_name") is None or (node.get("module") or "__main__") not in code.modules):
            continue
        name = str(inner if is_function else node["registered_name"])
        found = _find_candidates(node, name, code, keras)
        if len(found) != 1:
            raise ValueError(
                f"{_SAVE_KERAS}: {layer} needs {name}, and Keras would find {len(found) or 'nothing'} by that name when it loads "
                "the model; define it at the top of the script or of a module, under a name of its own"
            )
        if code.has(found[0]):
            own[name] = found[0]
    return own


def _find_candidates(node: dict[str, Any], name: str, code: Any, keras: Any) -> list[object]:
    """Return what a name in a configuration may mean: what is registered, or the script's own and Keras's functions."""
    if (registered := keras.saving.get_registered_object(name)) is not None:
        return [registered]
    values = [getattr(sys.modules.get(module), name, None) for module in code.modules]
    values = [value for value in values if value is not None and code.has(value)]
    if node["class_name"] == "function":
        with contextlib.suppress(Exception):  # Keras has no such function: TypeError, ValueError, what else its versions raise
            values.append(keras.saving.deserialize_keras_object(node))
    return list({id(value): value for value in values}.values())


def _list_objects(node: object, layer: str) -> Iterator[tuple[dict[str, Any], str]]:
    """Yield the objects in a configuration, each with the layer that it is part of."""
    if isinstance(node, dict):
        config = node.get("config")
        if "class_name" in node:
            if isinstance(config, dict) and isinstance(config.get("name"), str):
                layer = f"the layer {config['name']!r}"
            yield node, layer
        for value in node.values():
            yield from _list_objects(value, layer)
    elif isinstance(node, list):
        for value in node:
            yield from _list_objects(value, layer)


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
