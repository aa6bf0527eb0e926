"""Files of a table for the groups of one node: all read the same ones, brought there once if they are in remote storage."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from mlsql_runtime.errors import StorageError
from mlsql_runtime.feed.files.table import data_files
from mlsql_runtime.storage.location import Location

# Where Spark keeps what belongs to the application on this node, and goes with it: standalone, YARN, all others.
_FOLDERS = ("SPARK_EXECUTOR_DIRS", "LOCAL_DIRS", "SPARK_LOCAL_DIRS")


def application_dir() -> Path:
    """A folder that the tasks of this Spark application on this node share; the system's temporary one outside of Spark."""
    for name in _FOLDERS:
        first = os.environ.get(name, "").replace(":", ",").split(",")[0]
        if first and os.access(first, os.W_OK):
            return Path(first)
    return Path(tempfile.gettempdir())


def bring_files(place: Location, folder: Path, lasting: bool) -> None:
    """Have the data files of ``place`` in a folder of one's own.

    :param lasting: whether the folder may outlive the files; else it has links wherever they are.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if place.is_local:
        _link(Path(place.path), folder, lasting)
    else:
        with node_copy(place, application_dir()) as copy:
            _link(copy, folder, lasting=True)  # a later training removes the copy


def _link(source: Path, folder: Path, lasting: bool) -> None:
    for path in data_files(str(source)):
        target = folder / os.path.relpath(path, source)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(path, target)
        except OSError:  # another disk, or one without hard links
            if lasting:
                shutil.copyfile(path, target)
            else:
                target.symlink_to(os.path.abspath(path))


@contextlib.contextmanager
def node_copy(place: Location, application: Path) -> Iterator[Path]:
    """A copy of ``place`` on this node, for as long as the block runs: whoever comes first brings it, others wait for it.

    Spark removes it with the application. Until then the next training of the application does, so that there is one at a time.

    :raises StorageError: when somebody else made the folder for it.
    """
    root = application / "mlsql-tables"
    root.mkdir(mode=0o700, exist_ok=True)
    if root.stat().st_uid != os.getuid():
        raise StorageError(f"{root} belongs to another user, who could change the tables in it; have it removed", path=str(root))
    training = root / hashlib.sha256(place.uri.rpartition("/")[0].encode()).hexdigest()[:16]
    with _lock(training, fcntl.LOCK_EX):
        folder = training / place.name
        if not folder.exists():
            _remove_others(root, training)
            _download(place, folder)
        yield folder


def _download(place: Location, folder: Path) -> None:
    """All or nothing."""
    part = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)  # of a task that was killed
    part.mkdir(parents=True)
    try:
        place.download(part)
        part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _remove_others(root: Path, training: Path) -> None:
    for lock in root.glob("*.lock"):
        other = lock.with_suffix("")
        if other != training:
            with contextlib.suppress(BlockingIOError), _lock(other, fcntl.LOCK_EX | fcntl.LOCK_NB):
                shutil.rmtree(other, ignore_errors=True)


@contextlib.contextmanager
def _lock(training: Path, operation: int) -> Iterator[None]:
    """Locks go with their processes, however these end. The file stays: who removes one may pull it from under another's lock."""
    with training.with_suffix(".lock").open("w") as file:
        fcntl.flock(file, operation)
        yield
