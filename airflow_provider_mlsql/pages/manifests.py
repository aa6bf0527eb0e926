"""Read the manifest of a version for a page, or explain why there is none."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from airflow_provider_mlsql.xcom_versions import ModelVersion
from mlsql_runtime.errors import MLSQLError, StorageError, VersionNotFound
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store import layout
from mlsql_runtime.store.manifest import Manifest
from mlsql_runtime.store.versions import open_model_path, read_manifest

NOT_SEEN, REMOVED, UNREADABLE = 404, 410, 500  # HTTP statuses
# An XCom must not make the API server send requests to other hosts.
_STORAGE = ("", "file", "s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "hdfs")


@dataclass(frozen=True, kw_only=True)
class ManifestLookup:
    """A version and its manifest. Without a manifest ``problem`` says why; ``status`` is that of the response."""

    model_path: str  # without a password
    version: int
    manifest: Manifest | None = None
    problem: str | None = None
    status: int = 200


def look_up_manifest(model: ModelVersion) -> ManifestLookup:
    """Read the version's manifest. If there is none, read what explains that, and nothing else."""
    shown = without_password(model.model_path)
    try:
        if urlsplit(model.model_path).scheme.lower() not in _STORAGE:
            status, problem = (
                NOT_SEEN,
                f"this page does not read {shown}; it reads paths and {', '.join(_STORAGE[1:])}",
            )
        else:
            root = open_model_path(model.model_path)
            try:
                return ManifestLookup(model_path=shown, version=model.version, manifest=read_manifest(root, model.version))
            except VersionNotFound:
                status, problem = _missing(root, model.version, shown)
    except StorageError as error:  # its text is of a storage's own client, and may hold anything
        cause = type(error.__cause__ or error).__name__
        status, problem = UNREADABLE, f"the API server cannot read {shown}: {cause}; see its log"
    except MLSQLError as error:
        message = error.message.replace(model.model_path, shown)
        status, problem = UNREADABLE, f"the API server cannot read the manifest: {message}"
    except Exception as error:  # of a storage's own client; its text may hold anything
        status, problem = UNREADABLE, f"the API server cannot read {shown}: {type(error).__name__}; see its log"
    return ManifestLookup(model_path=shown, version=model.version, problem=problem, status=status)


def _missing(root: Location, version: int, shown: str) -> tuple[int, str]:
    """Return the status and the reason for a version that a task has made and that does not exist."""
    if layout.list_claimed_versions(root):
        return REMOVED, f"{shown} no longer holds version {version}: a later training removed it because of keep_versions"
    if root.is_local:
        return NOT_SEEN, (
            f"{shown} holds no model on the API server's machine; it is a path of the worker's machine, or was removed. "
            "Manifests can be shown here when both see the storage, such as s3://bucket/path or a network mount"
        )
    return NOT_SEEN, f"{shown} holds no model; it was removed, or the API server's credentials show it other storage"


def without_password(uri: str) -> str:
    """Return a URI without its user and password."""
    scheme, separator, rest = uri.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}" if separator else uri
