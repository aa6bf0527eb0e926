"""A tracking server: its client, with the credentials of a job and short timeouts, and what it refuses as our errors."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from mlsql_runtime.errors import InputError, MLSQLError, StorageError
from mlsql_runtime.exchange.mlflow_client import import_mlflow

SECONDS = "5"  # for a connection and for each response: a server that is away must not delay a training
ALL_SECONDS = 120.0  # for all requests of a statement together: neither must one that is slow
_ENVIRONMENT = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": SECONDS,
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_ENABLE_ASYNC_LOGGING": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "GIT_PYTHON_REFRESH": "quiet",
}
_CREDENTIALS = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")
_SECRETS = re.compile(r"(?i)(bearer|basic)\s+\S+|//[^/@\s]*@")


class _LimitedClient:
    """A client that makes no request after its time.

    :param seconds: the time, from now on.
    :raises StorageError: by each method that is called later.
    """

    def __init__(self, client: Any, uri: str, seconds: float) -> None:
        self._client, self._uri, self._seconds = client, uri, seconds
        self._deadline = time.monotonic() + seconds

    def __getattr__(self, name: str) -> Any:
        if time.monotonic() >= self._deadline:
            raise StorageError(
                f"the MLflow server {self._uri} is slow: it has not taken everything in {self._seconds:g} s", uri=self._uri
            )
        return getattr(self._client, name)


@contextmanager
def open_server(uri: str, variables: Mapping[str, str], seconds: float | None = None) -> Iterator[Any]:
    """Give the client of a server; what MLflow raises in the block becomes one of our errors, without credentials.

    :param variables: MLflow's environment variables with credentials, set in the block only. Without any, those of the process
        are used.
    :param seconds: after which no further request is made; None for no limit. A request that has begun may take longer.
    :raises InputError: when MLflow is not installed, or the server refuses what it is asked.
    :raises StorageError: when the server does not respond, or not in time.
    """
    mlflow = import_mlflow("tracking with MLflow")
    before = {name: os.environ.get(name) for name in (*_ENVIRONMENT, *_CREDENTIALS, *variables)}
    for name in _CREDENTIALS if variables else ():  # MLflow would prefer a user of the process to a token of the connection
        os.environ.pop(name, None)
    os.environ.update({**_ENVIRONMENT, **variables})
    try:
        client = mlflow.MlflowClient(tracking_uri=uri, registry_uri=uri)
        yield client if seconds is None else _LimitedClient(client, uri, seconds)
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
