"""A model as a version of a registered model, with a function's name as its alias."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from mlsql_runtime.exchange.exported_function import ModelChoice
from mlsql_runtime.exchange.mlflow_export import export_mlflow
from mlsql_runtime.tracking.training_runs import find_group_run, send_training

_FUNCTION, _FUNCTION_VERSION = "mlsql.function", "mlsql.function_version"


def set_alias(client: Any, choice: ModelChoice, name: str, function: str, function_version: int) -> str:
    """Make the alias ``function`` of the registered model ``name`` point to this model, and return the version that has it.

    The model is exported, with the predictions of the function, into the run of its fit group, which is sent first if the server
    does not have it.

    :raises InputError: when the model cannot be exported.
    """
    run = find_group_run(client, send_training(client, choice.root, choice.manifest), choice.fit.alg_index)
    version = _find_version(client, name, run, function, function_version)
    if version is None:
        version = _add_version(client, choice, name, function, function_version, run)
    client.set_registered_model_alias(name, function, version)
    return version


def _find_version(client: Any, name: str, run: str, function: str, function_version: int) -> str | None:
    """Return the version that an earlier attempt has made of this package."""
    tags = {_FUNCTION: function, _FUNCTION_VERSION: str(function_version)}
    found = client.search_model_versions(f"run_id = '{run}'")  # a name may have an apostrophe, which filters cannot escape
    return next((str(each.version) for each in found if each.name == name and tags.items() <= each.tags.items()), None)


def _has_model(client: Any, name: str) -> bool:
    from mlflow.exceptions import MlflowException

    try:
        client.get_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return False
    return True


def _add_version(client: Any, choice: ModelChoice, name: str, function: str, function_version: int, run: str) -> str:
    place = f"model-{function}-{function_version}"  # among the artifacts of the run
    with tempfile.TemporaryDirectory(prefix="mlsql-track-") as folder:
        exported = Path(folder) / "model"
        export_mlflow(choice, exported, function)
        for file in sorted(path for path in exported.rglob("*") if path.is_file()):  # each in a request that may be the last one
            below = file.parent.relative_to(exported).as_posix()
            client.log_artifact(run, str(file), place if below == "." else f"{place}/{below}")
    if not _has_model(client, name):
        client.create_registered_model(name)
    source = f"{client.get_run(run).info.artifact_uri}/{place}"
    tags = {_FUNCTION: function, _FUNCTION_VERSION: str(function_version), "mlsql.version": str(choice.manifest.version)}
    return str(client.create_model_version(name, source, run, tags).version)
