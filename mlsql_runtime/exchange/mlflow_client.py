"""The package ``mlflow``, which is optional."""

from __future__ import annotations

import importlib
import logging
import os
import warnings
from typing import Any

from mlsql_runtime.errors import InputError

_OURS = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_UV_AUTO_DETECT": "false"}  # which ask the network, and read the folder above


def import_mlflow(what: str) -> Any:
    """Return the module ``mlflow``, which logs errors only.

    :param what: what needs it, for the error.
    :raises InputError: when it is not installed, with the extra to install.
    """
    for name, value in _OURS.items():
        os.environ.setdefault(name, value)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns about its own code
            mlflow = importlib.import_module("mlflow")
            importlib.import_module("mlflow.pyfunc")
    except ImportError as error:
        raise InputError(f"{what} needs MLflow ({error}); run pip install 'airflow-provider-mlsql[mlflow]'") from error
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    return mlflow
