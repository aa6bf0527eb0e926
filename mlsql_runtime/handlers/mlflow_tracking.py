"""Send trainings and functions to an MLflow tracking server. One that is away, or refuses, fails nothing: it is a warning."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mlsql_runtime.errors import MLSQLError
from mlsql_runtime.events import log
from mlsql_runtime.plan import Register, Train, hide_passwords
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store.function_records import FunctionRecord
from mlsql_runtime.store.manifest import FitRecord, Manifest
from mlsql_runtime.store.versions import read_record

if TYPE_CHECKING:
    from mlsql_runtime.run_context import RunContext


def track_training(statement: Train, context: RunContext, root: Location, version: int) -> None:
    """Send a version, or the failure of its training, if the statement names a server."""
    if statement.tracking_uri is None:
        return

    def send(client: Any) -> str:
        from mlsql_runtime.tracking.training_runs import send_training

        record = read_record(root, version)
        assert record is not None
        run = send_training(client, root, record, statement.experiment, context.secrets.tracking.link)
        return f"version {version} is run {run}"

    options = ("--experiment", statement.experiment) if statement.experiment else ()
    _send(statement.tracking_uri, context, f"version {version}", root, send, options)


def track_function(
    statement: Register, context: RunContext, root: Location, manifest: Manifest, fit: FitRecord, record: FunctionRecord
) -> None:
    """Set the function's alias on a registered model, if the statement names one."""
    name = statement.registered_model
    if name is None or statement.tracking_uri is None:
        return

    def send(client: Any) -> str:
        from mlsql_runtime.exchange.exported_function import ModelChoice
        from mlsql_runtime.tracking.registered_models import set_alias

        choice = ModelChoice(root, manifest, fit)
        made = set_alias(client, choice, name, record.function, record.function_version)
        return f"{name}@{record.function} is version {made}"

    _send(statement.tracking_uri, context, f"function {record.function}", root, send, ("--registered-model", name))


def _send(
    uri: str, context: RunContext, what: str, root: Location, send: Callable[[Any], str], options: tuple[str, ...] = ()
) -> None:
    """Send something. What could not be sent is named with the command that sends it later, which takes ``options``."""
    try:
        from mlsql_runtime.tracking.server import ALL_SECONDS, open_server

        with open_server(uri, context.secrets.tracking.variables, ALL_SECONDS) as client:
            log(f"mlflow: {send(client)} of {uri}")
    except Exception as error:  # the version or function is published
        reason = error.message if isinstance(error, MLSQLError) else f"{type(error).__name__}: {error}"
        command = shlex.join(("mlsql", "models", "track", hide_passwords(root.uri), "--tracking-uri", uri, *options))
        log(f"mlflow: warning: {what} was not sent: {reason}; `{command}` sends it later")
