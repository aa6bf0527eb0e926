"""The folder into which a model is exported: complete afterwards, or not there."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mlsql_runtime.errors import InputError, StorageError


@dataclass(frozen=True, kw_only=True)
class Exported:
    """A model that was written. ``predictions`` says with what it predicts."""

    model_path: str
    version: int
    alg_index: int
    format: str
    folder: str
    predictions: str
    files: int
    size: int


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """Make a folder beside ``target`` for what is being written, which is removed at the end.

    :raises InputError: when there is something at ``target`` already.
    :raises StorageError: when the folder cannot be written.
    """
    if target.is_symlink() or (target.exists() and (not target.is_dir() or any(target.iterdir()))):
        raise InputError(f"{target} exists already; name a folder that does not exist, or an empty one", path=str(target))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as name:
            yield Path(name)
    except OSError as error:
        raise StorageError(f"{target} cannot be written: {error.strerror or error}", path=str(target)) from error


def publish_folder(written: Path, target: Path) -> None:
    """Put a finished folder in place.

    :raises InputError: when another process has written there meanwhile.
    """
    try:
        os.rename(written, target)  # replaces an empty folder, and nothing else
    except OSError as error:
        if error.errno not in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
            raise
        raise InputError(f"another process has written to {target} meanwhile; name another folder", path=str(target)) from None
