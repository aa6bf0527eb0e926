"""Files of a table on a node: all its groups read the same ones, downloaded and converted to JSON once."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from mlsql_runtime.errors import DataError, StorageError
from mlsql_runtime.feed.files.table import data_files
from mlsql_runtime.feed.interface import LocalTable
from mlsql_runtime.storage.file_lock import FileLock
from mlsql_runtime.storage.location import Location

_PAUSE = 0.05  # seconds between two tries to take a lock
# Folders that Spark removes with the application: standalone, YARN, all others.
_FOLDERS = ("SPARK_EXECUTOR_DIRS", "LOCAL_DIRS", "SPARK_LOCAL_DIRS")


def application_dir() -> Path | None:
    """Return the folder that the tasks of this Spark application share on this node; None outside of Spark."""
    for name in _FOLDERS:
        first = os.environ.get(name, "").replace(":", ",").split(",")[0]
        if first and os.access(first, os.W_OK):
            return Path(first)
    return None


def bring_files(place: Location, folder: Path, is_kept: bool) -> None:
    """Link or copy the data files of ``place`` into ``folder``.

    :param is_kept: whether the folder may outlive ``place``; if not, it may have symbolic links.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if place.is_local:
        link_files(Path(place.path), folder, is_kept)
    else:
        with node_copy(place.uri, application_dir() or Path(tempfile.gettempdir()), place.download) as copy:
            link_files(copy, folder, is_kept=True)  # a later training removes the copy


def bring_json_files(table: LocalTable, is_cancelled: Callable[[], bool]) -> None:
    """Write the JSON files of a table to its ``json_path``. Groups of a node that share them write them once, and link them.

    A group writes its own where they cannot be shared: on another disk than Spark's folder, or where that has no locks.

    :param is_cancelled: asked while it waits or writes; once it returns True, nothing more is written.
    :raises DataError: see :func:`~mlsql_runtime.feed.files.json_writer.write_json_files`.
    """
    from mlsql_runtime.feed.files.json_writer import write_json_files

    assert table.json_path is not None
    folder, application = Path(table.json_path), application_dir()
    with contextlib.ExitStack() as stack:
        shared = None
        if table.shared_as is not None and application is not None and _is_same_disk(application, Path(table.path)):
            with contextlib.suppress(OSError, StorageError):
                shared = stack.enter_context(_locked_copies(table.shared_as, application, is_cancelled))
        if shared is None:
            write_json_files(table, folder, is_cancelled)
            return
        json_files = shared.with_name(f"{shared.name}.json")
        if not json_files.exists():
            write_json_files(table, json_files, is_cancelled)
        link_files(json_files, folder, is_kept=True)


def _is_same_disk(first: Path, second: Path) -> bool:
    return first.stat().st_dev == second.stat().st_dev


def link_files(source: Path, folder: Path, is_kept: bool) -> None:
    """Link or copy the data files of one local folder into another.

    :param is_kept: whether ``folder`` may outlive ``source``; if not, it may have symbolic links.
    """
    for path in data_files(str(source)):
        target = folder / os.path.relpath(path, source)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(path, target)
        except OSError:  # another disk, or one without hard links
            if is_kept:
                shutil.copyfile(path, target)
            else:
                target.symlink_to(os.path.abspath(path))


@contextlib.contextmanager
def node_copy(uri: str, application: Path, download: Callable[[Path], None]) -> Iterator[Path]:
    """Provide a copy of a table on this node while the block runs: the first task downloads it, others wait for it.

    Spark removes the copy with the application, and the next training of the application before that: only one is kept.

    :param uri: of the table, in the staging folder of its training.
    :param download: writes the table's files into a folder.
    :raises StorageError: when the folder for copies belongs to another user.
    """
    with _locked_copies(uri, application) as folder:
        if not folder.exists():
            _download(download, folder)
        yield folder


@contextlib.contextmanager
def _locked_copies(uri: str, application: Path, is_cancelled: Callable[[], bool] = lambda: False) -> Iterator[Path]:
    """Lock the copies of a training's tables, remove those of others, and yield the path of the copy of the one at ``uri``.

    :raises StorageError: when the folder for copies belongs to another user.
    :raises DataError: when ``is_cancelled()`` becomes true before the lock is free.
    """
    root = application / "mlsql-tables"
    root.mkdir(mode=0o700, exist_ok=True)
    if root.stat().st_uid != os.getuid():
        raise StorageError(f"{root} belongs to another user, who could change the tables in it; have it removed", path=str(root))
    stage, _, name = uri.rpartition("/")
    training = root / hashlib.sha256(stage.encode()).hexdigest()[:16]
    with FileLock(training.with_suffix(".lock")) as lock:
        while not lock.try_acquire():
            if is_cancelled():
                raise DataError("the script ended while its files were written")
            time.sleep(_PAUSE)
        if not training.exists():
            _remove_others(root, training)
        yield training / name


def _download(download: Callable[[Path], None], folder: Path) -> None:
    """Download to a temporary name first: ``folder`` is complete or absent."""
    part = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)  # left by a task that was killed
    part.mkdir(parents=True)
    try:
        download(part)
        part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _remove_others(root: Path, training: Path) -> None:
    for file in root.glob("*.lock"):
        other = file.with_suffix("")
        if other != training:
            with FileLock(file) as lock:
                if lock.try_acquire():
                    shutil.rmtree(other, ignore_errors=True)
