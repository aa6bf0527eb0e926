"""Model paths as pages name them: without passwords, and only in storage that the API server may read."""

from __future__ import annotations

from urllib.parse import urlsplit

from airflow.providers.common.compat.sdk import conf

from airflow_provider_mlsql.hooks.storage import read_storage
from mlsql_runtime.errors import InputError, MLSQLError, StorageError
from mlsql_runtime.plan import SCHEMES, StorageAccess, hide_passwords

# An XCom must not make the API server send HTTP requests to other hosts.
_STORAGE = ("", "file", *(scheme for family, schemes in SCHEMES.items() if family != "webhdfs" for scheme in schemes))


def without_password(uri: str) -> str:
    """Return a URI without its user and password."""
    return hide_passwords(uri, "")


def is_readable(uri: str) -> bool:
    """Return whether the pages read paths of this kind."""
    return urlsplit(uri).scheme.lower() in _STORAGE


def check_readable(uri: str) -> None:
    """Check that the pages read paths of this kind.

    :raises InputError: when they do not.
    """
    if not is_readable(uri):
        raise InputError(f"this page does not read {without_password(uri)}; it reads paths and {list_schemes()}")


def read_access() -> StorageAccess:
    """Return the API server's connections to storage, which its configuration names: XComs must not choose them.

    :raises InputError: when there is no such connection, or it cannot be used.
    """
    return read_storage(conf.get("mlsql", "storage_conn_id", fallback="") or None).access


def list_schemes() -> str:
    """Return the schemes of URIs that the pages read."""
    return ", ".join(_STORAGE[1:])


def explain(error: Exception, uri: str) -> str:
    """Return what a page says about an error: the text of a storage's own client may hold anything, and is left out."""
    shown = without_password(uri)
    if isinstance(error, MLSQLError) and not isinstance(error, StorageError):
        return error.message.replace(uri, shown)
    cause = type(error.__cause__ or error).__name__
    return f"the API server cannot read {shown}: {cause}; see its log"
