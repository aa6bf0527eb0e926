"""The abilities of file systems that decide how the model store writes and lists files."""

from __future__ import annotations

from dataclasses import dataclass

import fsspec
from fsspec.implementations.local import LocalFileSystem

_OBJECT_STORES = {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl"}


@dataclass(frozen=True)
class Capabilities:
    """The abilities of one kind of file system.

    :param is_local: files can be linked, locked to their owner and opened by path, and every error is an ``OSError``.
    :param has_folders: a folder must exist before a file in it. Without folders, fsspec's ``makedirs`` would create buckets.
    :param replaces_atomically: a write replaces a file at once, so that no reader sees half of it.
    :param lists_deeply: one request lists a thousand files at any depth.
    """

    is_local: bool
    has_folders: bool
    replaces_atomically: bool
    lists_deeply: bool


LOCAL = Capabilities(is_local=True, has_folders=True, replaces_atomically=False, lists_deeply=False)
OBJECT_STORE = Capabilities(is_local=False, has_folders=False, replaces_atomically=True, lists_deeply=True)
OTHER = Capabilities(is_local=False, has_folders=True, replaces_atomically=True, lists_deeply=False)  # HDFS and the like


def find_capabilities(fs: fsspec.AbstractFileSystem) -> Capabilities:
    """Return what a file system can do, by its protocol."""
    if isinstance(fs, LocalFileSystem):
        return LOCAL
    protocols = {fs.protocol} if isinstance(fs.protocol, str) else set(fs.protocol)
    return OBJECT_STORE if protocols & _OBJECT_STORES else OTHER
