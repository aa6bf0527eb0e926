"""Look up a version for a page, or explain why there is nothing to show."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from airflow_provider_mlsql.pages.storage_paths import explain, is_readable, list_schemes, read_access, without_password
from airflow_provider_mlsql.pages.version_view import VersionView, read_version_view
from airflow_provider_mlsql.xcom_versions import ModelVersion
from mlsql_runtime.codec import encode
from mlsql_runtime.errors import FormatError, InputError, MLSQLError, StorageError, VersionNotFound
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store import layout
from mlsql_runtime.store.versions import open_model_path

NOT_SEEN, REMOVED, UNREADABLE = 404, 410, 500  # HTTP statuses


@dataclass(frozen=True, kw_only=True)
class Lookup:
    """A version and what a page shows of it. Without a view, ``problem`` says why; ``status`` is that of the response."""

    model_path: str  # without a password
    version: int
    view: VersionView | None = None
    problem: str | None = None
    status: int = 200

    def hide_task(self, may_read: Callable[[str], bool]) -> Lookup:
        """Return the lookup without job and task, if that is one of a DAG that the user must not see."""
        return self if self.view is None else replace(self, view=self.view.hide_task(may_read))

    @property
    def document(self) -> dict[str, object]:
        """The version for programs; ``details`` are those of ``mlsql models show --json``."""
        view = self.view
        return {
            "model_path": self.model_path,
            "version": self.version,
            "verdict": [] if view is None else [sentence for _, sentence in view.verdict],
            "details": None if view is None else {**encode(view.details), "model_path": self.model_path},
            "problem": self.problem,
        }


def look_up(model: ModelVersion, against: int | None = None) -> Lookup:
    """Read a version, and what differs from version ``against``; if it is not there, only what explains that."""
    uri, shown = model.model_path, without_password(model.model_path)
    try:
        if not is_readable(uri):
            status, problem = NOT_SEEN, f"this page does not read {shown}; it reads paths and {list_schemes()}"
            return Lookup(model_path=shown, version=model.version, problem=problem, status=status)
        root = open_model_path(uri, read_access())
        try:
            return Lookup(model_path=shown, version=model.version, view=read_version_view(uri, model.version, against))
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
        problem = text if isinstance(error, StorageError) else f"the API server cannot read the version: {text}"
    except Exception as error:  # of a storage's own client
        status, problem = UNREADABLE, explain(error, uri)
    return Lookup(model_path=shown, version=model.version, problem=problem, status=status)


def _explain_missing(root: Location, version: int, shown: str) -> tuple[int, str]:
    """Return the status and the reason for a version that does not exist."""
    claimed = layout.list_claimed_versions(root)
    if claimed and version > claimed[-1]:
        return NOT_SEEN, f"{shown} has no version {version}; the newest is {claimed[-1]}"
    if claimed:
        why = "a later training with keep_versions, or mlsql models prune, has removed it"
        return REMOVED, f"{shown} no longer holds version {version}: {why}"
    if root.is_local:
        return NOT_SEEN, (
            f"{shown} holds no model on the API server's machine; it is a path of the worker's machine, or was removed. "
            "Versions can be shown here when both see the storage, such as s3://bucket/path or a network mount"
        )
    return NOT_SEEN, f"{shown} holds no model; it was removed, or the API server's credentials show it other storage"
