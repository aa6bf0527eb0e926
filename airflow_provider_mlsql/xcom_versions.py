"""The model versions in the XCom of a task: those that it trained, awaited, registered or predicted with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.sdk import Context

    from mlsql_runtime.errors import MLSQLError

FAILED_VERSION = "mlsql_failed_version"  # the key of the XCom in which a task names the version because of which it failed


@dataclass(frozen=True)
class ModelVersion:
    """A version of a model path."""

    model_path: str
    version: int


def find_versions(xcom: Any) -> tuple[ModelVersion, ...]:
    """Return the versions in the XCom of an operator or sensor of this provider, each once; none for any other value."""
    return tuple(dict.fromkeys(_find(xcom)))


def push_failed_version(context: Context, error: MLSQLError) -> None:
    """Push the version because of which a task fails, if the error names one: its page says more."""
    if find_versions(error.facts):
        context["ti"].xcom_push(key=FAILED_VERSION, value={name: error.facts[name] for name in ("model_path", "version")})


def _find(xcom: Any) -> Iterator[ModelVersion]:
    if not isinstance(xcom, Mapping):
        return
    path, version = xcom.get("model_path"), xcom.get("version")
    if isinstance(path, str) and isinstance(version, int):
        yield ModelVersion(path, version)
    for part in ("train", "register"):  # of a script
        statements = xcom.get(part)
        for statement in statements if isinstance(statements, list) else ():
            yield from _find(statement)
    functions = xcom.get("functions")  # of a prediction
    for use in functions.values() if isinstance(functions, Mapping) else ():
        yield from _find(use)
