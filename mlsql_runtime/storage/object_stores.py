"""How objects of S3, Azure and Google are created and replaced: each with one request that writes the whole object.

Creation has a condition: ``If-None-Match: *`` for S3 and Azure, ``ifGenerationMatch=0`` for Google. Some servers that speak these
protocols ignore it, so the first creation of a process in a bucket is sent twice.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
https://learn.microsoft.com/en-us/rest/api/storageservices/specifying-conditional-headers-for-blob-service-operations
https://cloud.google.com/storage/docs/request-preconditions
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import fsspec

from mlsql_runtime.errors import InputError

_AZURE_HOST = re.compile(r"([a-z0-9]+)\.(?:dfs|blob)\.(core\.(?:windows\.net|chinacloudapi\.cn|usgovcloudapi\.net))")
_CONFLICT_WAITS = (0.1, 0.4, 1.6, 6.4)  # seconds; S3 rejects a creation while another one of the same object is under way
_proven: set[tuple[str, str]] = set()  # endpoint and bucket of the stores that are known to heed conditions


def connect_s3(scheme: str, authority: str, options: Mapping[str, Any]) -> Any:
    """Return the file system of a bucket."""
    return fsspec.filesystem("s3", use_listings_cache=False, **options)


def connect_google(scheme: str, authority: str, options: Mapping[str, Any]) -> Any:
    """Return the file system of a bucket."""
    from gcsfs.core import GCSFileSystem  # not its subclass, which asks for the type of each bucket

    return GCSFileSystem(use_listings_cache=False, **options)


def connect_azure(scheme: str, authority: str, options: Mapping[str, Any]) -> Any:
    """Return the file system of a container; the account may be in the URI, the options or the environment."""
    from mlsql_runtime.storage.azure import AzureFileSystem

    container, at, host = authority.partition("@")
    match = _AZURE_HOST.fullmatch(host)
    if "." in container or (at and not match):  # credentials go to no other host
        raise ValueError("expected abfss://container@account.dfs.core.windows.net/path")
    account = {"account_name": match[1], "account_host": f"{match[1]}.blob.{match[2]}"} if match else {}
    return AzureFileSystem(use_listings_cache=False, **{**account, **options})


def write_object(fs: Any, path: str, data: bytes) -> None:
    """Write an object with one request, by which a store replaces it at once."""
    fs.pipe_file(path, data)


def _create(endpoint_of: Callable[[Any], str], fs: Any, path: str, data: bytes) -> None:
    """Write an object that must not exist.

    :raises FileExistsError: when it exists.
    :raises InputError: when the store would have overwritten it.
    """
    _create_once(fs, path, data)
    store = endpoint_of(fs), path.partition("/")[0]
    if store in _proven:
        return
    try:
        _create_once(fs, path, data)
    except FileExistsError:
        _proven.add(store)
        return
    fs.rm_file(path)
    raise InputError(
        f"{store[0]} overwrites objects that were to be created only if they do not exist, so two trainings could publish the "
        f"same version; use a store with conditional writes",
        uri=fs.unstrip_protocol(path),
    )


def _create_once(fs: Any, path: str, data: bytes) -> None:
    for wait in (*_CONFLICT_WAITS, None):
        try:
            fs.pipe_file(path, data, mode="create")
            return
        except OSError as error:
            code = getattr(error.__cause__, "response", {}).get("Error", {}).get("Code")  # of botocore
            if code in ("PreconditionFailed", "412"):
                raise FileExistsError(path) from error
            if code != "ConditionalRequestConflict" or wait is None:
                raise
            time.sleep(wait)


create_in_s3 = partial(_create, lambda fs: str(fs.s3.meta.endpoint_url))
create_in_azure = partial(_create, lambda fs: str(fs.service_client.url))
create_in_google = partial(_create, lambda fs: str(fs.base))
