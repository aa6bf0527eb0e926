"""A tracking server: its client, with the credentials of a job and short timeouts, and what it refuses as our errors."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from mlsql_runtime.errors import InputError, MLSQLError, StorageError
from mlsql_runtime.exchange.mlflow_client import import_mlflow

SECONDS = "5"  # for a connection and for each response: a server that is away must not delay a training
_ENVIRONMENT = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": SECONDS,
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_ENABLE_ASYNC_LOGGING": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "GIT_PYTHON_REFRESH": "quiet",
}
_CREDENTIALS = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")
_SECRETS = re.compile(r"(?i)(bearer|basic)\s+\S+|//[^/@\s]*@")


@contextmanager
def open_server(uri: str, variables: Mapping[str, str]) -> Iterator[Any]:
    """Give the client of a server; what MLflow raises in the block becomes one of our errors, without credentials.

    :param variables: MLflow's environment variables with credentials, set in the block only. Without any, those of the process
        are used.
    :raises InputError: when MLflow is not installed, or the server refuses what it is asked.
    :raises StorageError: when the server does not respond.
    """
    mlflow = import_mlflow("tracking with MLflow")
    before = {name: os.environ.get(name) for name in (*_ENVIRONMENT, *_CREDENTIALS, *variables)}
    for name in _CREDENTIALS if variables else ():  # MLflow would prefer a user of the process to a token of the connection
        os.environ.pop(name, None)
    os.environ.update({**_ENVIRONMENT, **variables})
    try:
        yield mlflow.MlflowClient(tracking_uri=uri, registry_uri=uri)
    except (MLSQLError, KeyboardInterrupt):
        raise
    except Exception as error:
        known = (os.environ.get(name, "") for name in _CREDENTIALS)
        raise _translate(error, uri, [*known]) from None  # the cause may name credentials
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _translate(error: Exception, uri: str, secrets: Any) -> MLSQLError:
    text = " ".join(str(error).split())
    for secret in secrets:
        text = text.replace(secret, "***") if len(secret) > 3 else text
    text = _SECRETS.sub("***", text)[:300]
    refused = getattr(error, "get_http_status_code", None)
    if refused is not None and 400 <= refused() < 500:
        return InputError(f"the MLflow server {uri} refuses: {text}", uri=uri)
    return StorageError(f"the MLflow server {uri} does not respond as expected: {text}", uri=uri)
