"""Endpoints and credentials of storage, by the URIs that they are for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

ACCESS_PROPERTY = "spark.mlsql.secret.storage"
"""The property of spark-submit with a job's access to storage in cluster mode: :class:`StorageAccess` as JSON."""

SCHEMES: Mapping[str, tuple[str, ...]] = {
    "hdfs": ("hdfs", "viewfs"),
    "webhdfs": ("webhdfs", "swebhdfs"),
    "s3": ("s3", "s3a"),
    "abfs": ("abfs", "abfss", "az"),
    "gs": ("gs", "gcs"),
}
"""The remote storages in which models can be kept, and the schemes of each. How they are opened: :mod:`mlsql_runtime.storage`."""
_FAMILY_OF = {scheme: family for family, schemes in SCHEMES.items() for scheme in schemes}


def find_family(uri: str) -> str | None:
    """Return the storage that a URI names: ``s3``, ``gs``, ``abfs``, ``hdfs`` or ``webhdfs``; None for anything else."""
    scheme, separator, _ = uri.partition("://")
    return _FAMILY_OF.get(scheme.lower()) if separator else None


@dataclass(frozen=True, kw_only=True)
class StorageConnection:
    """Endpoint and credentials for the URIs that begin with ``prefix``.

    :param name: the ID of the Airflow connection, for messages.
    :param prefix: ``s3://`` for all of S3, ``s3://bucket`` or ``s3://bucket/folder`` for a part of it. Schemes of the same
        storage, such as ``s3`` and ``s3a``, are alike.
    :param options: options of fsspec's file system, as JSON text.
    """

    name: str
    prefix: str
    options: str = field(default="{}", repr=False)

    def is_for(self, uri: str) -> bool:
        """Return whether the URI begins with the prefix."""
        uri, prefix = _normalize(uri), _normalize(self.prefix)
        return (prefix.endswith("/") and uri.startswith(prefix)) or f"{uri}/".startswith(f"{prefix}/")

    def load_options(self) -> dict[str, Any]:
        """Return the options of fsspec's file system."""
        options: dict[str, Any] = json.loads(self.options)
        return options


@dataclass(frozen=True)
class StorageAccess:
    """Connections of a job to storage. For URIs without one, the environment of the process decides."""

    connections: tuple[StorageConnection, ...] = ()

    def find(self, uri: str) -> StorageConnection | None:
        """Return the connection for a URI: the one with the longest prefix."""
        suitable = [each for each in self.connections if each.is_for(uri)]
        return max(suitable, key=lambda each: len(_normalize(each.prefix)), default=None)

    def find_options(self, uri: str) -> Mapping[str, Any]:
        """Return the options of fsspec's file system for a URI; none if the environment decides."""
        connection = self.find(uri)
        return {} if connection is None else connection.load_options()


NO_ACCESS = StorageAccess()


def _normalize(uri: str) -> str:
    """Return a URI with the first of the schemes that name its storage."""
    scheme, separator, rest = uri.partition("://")
    return f"{_FAMILY_OF.get(scheme.lower(), scheme.lower())}://{rest}" if separator else uri
