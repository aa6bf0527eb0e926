"""From a URI to a file system: which storages there are, how each is opened, and how it keeps the promises of the model store.

The promises are exclusive creation (of two writers one gets FileExistsError) and atomic replacement (readers see the old bytes or
the new). Files of a storage without them can be read; models cannot be kept there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import fsspec
from fsspec.core import url_to_fs

from mlsql_runtime.errors import InputError, StorageError
from mlsql_runtime.plan import NO_ACCESS, SCHEMES, StorageAccess
from mlsql_runtime.storage import hadoop, local_files, object_stores

Write = Callable[[Any, str, bytes], None]  # file system, path, data


@dataclass(frozen=True)
class Storage:
    """A kind of storage.

    :param name: for people.
    :param schemes: of its URIs.
    :param extra: the extra of this distribution that installs its client; None for what is installed always.
    :param connect: returns the file system for scheme, authority and options; None to let fsspec find it.
    :param create: creates a file exclusively; None if the storage cannot.
    :param replace: replaces a file atomically; None if the storage cannot.
    :param write_private: writes a file that only its owner may read, where the storage has owners.
    :param has_folders: False if one request lists a thousand files at any depth.
    :param removes_literally: False if the client takes the path of a tree to be removed for a pattern.
    :param writers: how many files of a tree to write at the same time.
    """

    name: str
    schemes: tuple[str, ...]
    extra: str | None
    connect: Callable[[str, str, Mapping[str, Any]], fsspec.AbstractFileSystem] | None
    create: Write | None
    replace: Write | None
    write_private: Write = object_stores.write_object
    has_folders: bool = True
    removes_literally: bool = True
    writers: int = 1


@dataclass(frozen=True)
class StorageRoot:
    """A bucket, a container, a NameNode, the local disk: what a URI names before its path.

    :param uri: of the root, None if the file system shows its paths itself.
    :param path: of the root in the file system.
    """

    fs: fsspec.AbstractFileSystem
    storage: Storage
    uri: str | None = None
    path: str = ""

    def to_uri(self, path: str) -> str:
        """Return the URI of a path of the file system."""
        return str(self.fs.unstrip_protocol(path)) if self.uri is None else self.uri + path[len(self.path) :]


def open_uri(uri: str, access: StorageAccess = NO_ACCESS) -> tuple[StorageRoot, str]:
    """Open the storage of a path or URI; return it with the path in it.

    :param access: connections to storage; for URIs without one, the environment of the process decides.
    :raises InputError: when no client for the scheme is installed, or the URI is wrong.
    :raises StorageError: when the storage cannot be reached.
    """
    if uri.startswith("file:/") and not uri.startswith("file://"):
        uri = "file://" + uri[len("file:") :]  # Spark writes file:/x, which fsspec does not split
    if "::" in uri:
        raise InputError(f"{uri}: '::' joins file systems in fsspec, which model paths and data cannot use", uri=uri)
    storage, (scheme, _, rest) = find_storage(uri), uri.partition("://")
    if storage is not LOCAL and ".." in rest.split("/"):
        raise InputError(f"{uri}: a URI cannot contain '..'; write the path without it", uri=uri)
    options = access.find_options(uri)
    try:
        if storage.connect is None:
            fs, path = url_to_fs(uri, use_listings_cache=False, **options)
            return StorageRoot(fs, storage, "" if storage is LOCAL else None), path
        authority, slash, path = rest.partition("/")
        fs = storage.connect(scheme, authority, options)
    except OSError as error:
        raise StorageError(f"{uri} cannot be reached: {error}", uri=uri) from error
    except (ImportError, ValueError) as error:
        raise InputError(f"{uri}: {_explain(storage, error)}", uri=uri) from error
    if storage.has_folders:
        return StorageRoot(fs, storage, f"{scheme}://{authority}"), slash + path
    bucket = authority.partition("@")[0]
    if not bucket:
        raise InputError(f"{uri}: expected the name of a bucket or container after ://", uri=uri)
    return StorageRoot(fs, storage, f"{_CANONICAL.get(scheme, scheme)}://{authority}", bucket), bucket + slash + path


def normalize(uri: str) -> str:
    """Return a path or URI as :attr:`mlsql_runtime.storage.location.Location.uri` has it, without opening its storage."""
    if find_storage(uri) is LOCAL:
        rest = uri.removeprefix("file:").removeprefix("local:")
        uri = rest if rest == uri else f"/{rest.lstrip('/')}"
        return uri.rstrip("/") or uri
    scheme, separator, rest = uri.rstrip("/").partition("://")
    return f"{_CANONICAL.get(scheme, scheme)}{separator}{rest}"


def find_storage(uri: str) -> Storage:
    """Return the kind of storage that a path or URI names, without opening it."""
    scheme, separator, _ = uri.partition("://")
    return BY_SCHEME.get(scheme, _other(scheme)) if separator else LOCAL


def check_promises(uri: str) -> None:
    """Check that models can be kept under a path or URI, without opening it.

    :raises InputError: when its storage has no exclusive creation or no atomic replacement.
    """
    storage = find_storage(uri)
    if storage.create is None or storage.replace is None:
        kept = ", ".join(f"{scheme}://" for each in STORAGES if each is not LOCAL for scheme in each.schemes)
        raise InputError(
            f"{uri}: models cannot be kept in {storage.name}, which neither creates a file exclusively nor replaces one "
            f"atomically; expected a local path, or one of {kept}",
            uri=uri,
        )


def _explain(storage: Storage, error: Exception) -> str:
    if storage.connect is None:
        return f"no file system for this scheme ({error}); install the fsspec backend for it"
    if isinstance(error, ImportError):
        return f"the client for {storage.name} is missing ({error}); run pip install 'airflow-provider-mlsql[{storage.extra}]'"
    return f"this URI cannot be opened ({error})"


def _connect_hdfs(scheme: str, authority: str, options: Mapping[str, Any]) -> fsspec.AbstractFileSystem:
    from mlsql_runtime.storage.hdfs import HdfsFileSystem

    return HdfsFileSystem(scheme, authority, **options)


def _connect_webhdfs(scheme: str, authority: str, options: Mapping[str, Any]) -> fsspec.AbstractFileSystem:
    from mlsql_runtime.storage.webhdfs import WebHdfsFileSystem

    return WebHdfsFileSystem(authority, **{"use_https": scheme == "swebhdfs", **options})


def _other(scheme: str) -> Storage:
    return Storage(f"{scheme}://", (scheme,), None, None, None, None, removes_literally=False)


LOCAL = Storage(
    "local files",
    ("file", "local"),
    None,
    None,
    local_files.create_file,
    local_files.replace_file,
    local_files.write_private,
)
# Writers of small files on HDFS mostly wait for NameNode and DataNodes.
_IN_HADOOP = (hadoop.create_file, hadoop.replace_file, hadoop.write_private)
HDFS = Storage("HDFS", SCHEMES["hdfs"], "hdfs", _connect_hdfs, *_IN_HADOOP, writers=8)
WEBHDFS = Storage("WebHDFS", SCHEMES["webhdfs"], None, _connect_webhdfs, *_IN_HADOOP, writers=8)
S3 = Storage(
    "S3",
    SCHEMES["s3"],
    "s3",
    object_stores.connect_s3,
    object_stores.create_in_s3,
    object_stores.write_object,
    has_folders=False,
    removes_literally=False,
)
AZURE = Storage(
    "Azure Blob Storage",
    SCHEMES["abfs"],
    "azure",
    object_stores.connect_azure,
    object_stores.create_in_azure,
    object_stores.write_object,
    has_folders=False,
    removes_literally=False,
)
GOOGLE = Storage(
    "Google Cloud Storage",
    SCHEMES["gs"],
    "gcs",
    object_stores.connect_google,
    object_stores.create_in_google,
    object_stores.write_object,
    has_folders=False,
    removes_literally=False,
)
STORAGES = (LOCAL, HDFS, WEBHDFS, S3, AZURE, GOOGLE)
BY_SCHEME = {scheme: storage for storage in STORAGES for scheme in storage.schemes}
_CANONICAL = {"s3a": "s3", "gcs": "gs"}  # so that a place has one URI
