"""Look up a version for a page, or explain why there is nothing to show."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from airflow_provider_mlsql.pages.storage_paths import explain, is_readable, list_schemes, read_access, without_password
from airflow_provider_mlsql.xcom_versions import ModelVersion
from mlsql_runtime.errors import FormatError, InputError, MLSQLError, StorageError, VersionNotFound
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store import layout
from mlsql_runtime.store.manifest import Manifest
from mlsql_runtime.store.versions import open_model_path, read_manifest

NOT_SEEN, REMOVED, UNREADABLE = 404, 410, 500  # HTTP statuses
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Lookup(Generic[T]):
    """A version and what was found of it. If that is None, ``problem`` says why; ``status`` is that of the response."""

    model_path: str  # without a password
    version: int
    found: T | None = None
    problem: str | None = None
    status: int = 200


def look_up_manifest(model: ModelVersion) -> Lookup[Manifest]:
    """Read the version's manifest."""
    return look_up(model, lambda path, version: read_manifest(open_model_path(path, read_access()), version))


def look_up(model: ModelVersion, read: Callable[[str, int], T]) -> Lookup[T]:
    """Read something of a version. If it is not there, read what explains that, and nothing else."""
    uri, shown = model.model_path, without_password(model.model_path)
    if not is_readable(uri):
        status, problem = NOT_SEEN, f"this page does not read {shown}; it reads paths and {list_schemes()}"
        return Lookup(model_path=shown, version=model.version, problem=problem, status=status)
    try:
        root = open_model_path(uri, read_access())
        try:
            return Lookup(model_path=shown, version=model.version, found=read(uri, model.version))
        except FormatError:
            raise
        except VersionNotFound:
            status, problem = _explain_missing(root, model.version, shown)
        except InputError:
            if layout.list_claimed_versions(root):
                raise
            status, problem = _explain_missing(root, model.version, shown)
    except MLSQLError as error:
        text = explain(error, uri)
        status = UNREADABLE
        problem = text if isinstance(error, StorageError) else f"the API server cannot read the manifest: {text}"
    except Exception as error:  # of a storage's own client
        status, problem = UNREADABLE, explain(error, uri)
    return Lookup(model_path=shown, version=model.version, problem=problem, status=status)


def _explain_missing(root: Location, version: int, shown: str) -> tuple[int, str]:
    """Return the status and the reason for a version that a task has made and that does not exist."""
    if layout.list_claimed_versions(root):
        return REMOVED, f"{shown} no longer holds version {version}: a later training removed it because of keep_versions"
    if root.is_local:
        return NOT_SEEN, (
            f"{shown} holds no model on the API server's machine; it is a path of the worker's machine, or was removed. "
            "Manifests can be shown here when both see the storage, such as s3://bucket/path or a network mount"
        )
    return NOT_SEEN, f"{shown} holds no model; it was removed, or the API server's credentials show it other storage"
