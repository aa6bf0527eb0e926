"""Write a version as an MLflow model, with the flavor ``python_function``."""

from __future__ import annotations

import shutil
import warnings
import zipfile
from importlib import metadata
from pathlib import Path
from typing import Any

import mlsql_runtime
from mlsql_runtime import HELPERS, __version__
from mlsql_runtime.exchange import pyfunc
from mlsql_runtime.exchange.exported_function import ModelChoice, OnEvent, find_function, read_samples, write_function
from mlsql_runtime.exchange.mlflow_client import import_mlflow
from mlsql_runtime.exchange.target_folder import Exported, new_folder, publish_folder
from mlsql_runtime.plan.python_env import hide_passwords
from mlsql_runtime.scoring.loaded_function import LoadedFunction
from mlsql_runtime.store.function_records import FunctionRecord
from mlsql_runtime.store.manifest import load

_NEEDED = ("numpy", "pandas", "pyarrow")  # by the code that calls the function
_NOT_INSTALLABLE = ("python", "airflow-provider-mlsql")


def export_mlflow(
    choice: ModelChoice,
    target: Path,
    function: str | None = None,
    script_path: str | None = None,
    on_event: OnEvent | None = None,
) -> Exported:
    """Write the model into ``target``, which is complete or not there.

    :param function: the registered function whose predictions the model has; see :func:`find_function`.
    :param script_path: a predict script, or the path of a built-in one, instead.
    :param on_event: called with each line that the script prints; by default they go to the log.
    :raises InputError: when MLflow is not installed, the target holds something, or no function is found.
    :raises ScriptFailed: when the function fails on the sample rows.
    """
    mlflow = import_mlflow("exporting an MLflow model")
    with new_folder(target) as folder:
        record, pickled, predictions = find_function(choice, function, script_path, on_event)
        parts = folder / "parts"
        parts.mkdir()
        data = parts / "function"
        write_function(choice, record, pickled, data)
        model = folder / "model"
        _save(mlflow, choice, data, _copy_code(parts / "code"), model)
        sizes = [place.stat().st_size for place in model.rglob("*") if place.is_file()]
        publish_folder(model, target)
    return Exported(
        model_path=hide_passwords(choice.root.uri),
        version=choice.manifest.version,
        alg_index=choice.fit.alg_index,
        format="mlflow",
        folder=str(target),
        predictions=predictions,
        files=len(sizes),
        size=sum(sizes),
    )


def _save(mlflow: Any, choice: ModelChoice, data: Path, code: list[str], target: Path) -> None:
    from mlsql_runtime.exchange.mlflow_schema import make_example, make_signature

    record = load(FunctionRecord, (data / pyfunc.RECORD).read_bytes(), str(data / pyfunc.RECORD))
    function = pyfunc.load_exported(data, record)
    samples = read_samples(data, record)
    predicted = None if samples is None else function.score(0, *samples.arrays)
    example = None if samples is None else make_example(function, samples)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about whole numbers, which may be null elsewhere, and about a missing example
        mlflow.pyfunc.save_model(
            str(target),
            loader_module=pyfunc.__name__,
            data_path=str(data),
            code_paths=code,
            signature=make_signature(function, example, predicted) if _has_columns(function, choice) else None,
            input_example=example,
            pip_requirements=list_requirements(mlflow.__version__, record),
            metadata={"mlsql": _describe(choice, record)},
        )


def _has_columns(function: LoadedFunction, choice: ModelChoice) -> bool:
    """Return whether anything is known of the columns."""
    return bool(function.parameters.names) or choice.manifest.data.feature_width is not None


def _describe(choice: ModelChoice, record: FunctionRecord) -> dict[str, Any]:
    """Return where the model comes from, for people who look into its ``MLmodel``."""
    facts = {
        "model_path": hide_passwords(choice.root.uri),
        "version": choice.manifest.version,
        "alg_index": record.alg_index,
        "score": record.score,
        "function": record.function,
        "job_id": choice.manifest.job_id,
        "script": f"{record.script.name}, SHA-256 {record.script.sha256}",
        "exported_by": f"airflow-provider-mlsql {__version__}",
    }
    return {name: value for name, value in facts.items() if value is not None}


def list_requirements(mlflow_version: str, record: FunctionRecord) -> list[str]:
    """Return the packages of the model with their versions: those that the training imported, and what calls the function."""
    pinned = {name: version for name, version in record.packages.items() if name not in _NOT_INSTALLABLE}
    for name in (*_NEEDED, "pyspark") if record.contract == "row" else _NEEDED:  # whose vectors such functions take
        pinned.setdefault(name, metadata.version(name))
    return [f"mlflow=={mlflow_version}", *(f"{name}=={version}" for name, version in sorted(pinned.items()))]


def _copy_code(folder: Path) -> list[str]:
    """Copy this package and what scripts import, and return the copies; the model loads without an installation of them."""
    root, packages = Path(mlsql_runtime.__file__).parents[1], (mlsql_runtime.__name__, *HELPERS)
    if root.is_dir():
        for package in packages:
            shutil.copytree(root / package, folder / package, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
    else:  # the zip that Spark ships
        with zipfile.ZipFile(root) as archive:
            archive.extractall(folder, [name for name in archive.namelist() if not name.endswith(".pyc")])
    return [str(folder / package) for package in packages]
