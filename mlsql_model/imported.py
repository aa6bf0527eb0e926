"""Load models that were imported: joblib files, and MLflow models."""

from __future__ import annotations

import importlib
import os
import socket
import sys
from typing import Any

# MLflow's flavors whose models have methods of their own library, such as predict_proba; of others MLflow's wrapper is loaded.
_LIBRARIES = ("sklearn", "keras", "tensorflow", "lightgbm", "xgboost", "catboost", "pytorch")


def load_joblib(path: str) -> Any:
    """Load a file that ``joblib.dump`` wrote.

    :raises ModuleNotFoundError: when joblib is not installed, with what to install.
    :raises pickle.UnpicklingError: when it cannot be loaded here.
    """
    return _require("joblib", path, "joblib").load(path)


def load_mlflow(path: str) -> Any:
    """Load the MLflow model to which a file ``MLmodel`` belongs: the model of its library, or else MLflow's ``PyFuncModel``.

    :raises ModuleNotFoundError: when MLflow is not installed, with what to install.
    """
    folder = os.path.dirname(path)
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    models = _require("mlflow.models", f"{path}, an MLflow model,", "mlflow-skinny")
    flavors = models.Model.load(folder).flavors
    name = next((each for each in _LIBRARIES if each in flavors), "pyfunc")
    return importlib.import_module(f"mlflow.{name}").load_model(folder)


def _require(module: str, what: str, package: str) -> Any:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"{what} needs {module}, which {sys.executable} on {socket.gethostname()} does not have; there, "
            f"pip install {package}",
            name=error.name,
        ) from error
