"""Writing a version: claim a number, put the data, write the manifest last; or leave a failure record; and pruning."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from mlsql_runtime import codec
from mlsql_runtime.errors import StorageError
from mlsql_runtime.live import say
from mlsql_runtime.store import layout
from mlsql_runtime.store.functions import pinned_versions, pins
from mlsql_runtime.store.location import Location
from mlsql_runtime.store.manifest import FailureRecord, FileEntry, Manifest
from mlsql_runtime.store.read import version_state

STALE = timedelta(days=7)


@dataclass(frozen=True)
class Draft:
    """A claimed version that nobody sees yet."""

    version: int
    folder: Location

    def entries(self) -> tuple[FileEntry, ...]:
        """Every file of the draft with its digest, for the manifest."""
        skip = (layout.CLAIM, layout.MANIFEST)
        sizes = self.folder.files()
        return tuple(FileEntry(path=p, size=n, sha256=(self.folder / p).sha256()) for p, n in sizes.items() if p not in skip)

    def publish(self, manifest: Manifest) -> None:
        """Make the version complete. Everything the manifest names must be in place."""
        (self.folder / layout.MANIFEST).replace(codec.dumps(manifest).encode())

    def fail(self, record: FailureRecord) -> None:
        """Say why there will be no such version."""
        (self.folder / layout.FAILURE).replace(codec.dumps(record).encode())


@contextlib.contextmanager
def claimed(root: Location, job_id: str) -> Iterator[Draft]:
    """Take the next version number, exclusively, and give it back if the block raises.

    A process killed inside leaves an unfinished folder that readers ignore and :func:`prune` removes when it is stale.
    """
    claim = json.dumps({"job_id": job_id, "claimed": datetime.now(timezone.utc).isoformat()}).encode()
    number = max(layout.claimed_versions(root), default=0) + 1
    while True:
        folder = layout.version_dir(root, number)
        try:
            (folder / layout.CLAIM).create(claim)
            break
        except FileExistsError:
            number += 1
    try:
        yield Draft(number, folder)
    except BaseException:
        folder.remove()
        raise


@contextlib.contextmanager
def staging(root: Location, job_id: str) -> Iterator[Location]:
    """A folder under the model path that driver and executors all see, gone at the end; so is the path if it is still new."""
    made_root = not root.exists()
    folder = root / layout.STAGING / f"{_staging_prefix(job_id)}{uuid.uuid4().hex[:8]}"
    try:
        (folder / layout.CLAIM).write(datetime.now(timezone.utc).isoformat().encode())
        yield folder
    finally:
        try:
            folder.remove()
        except OSError as error:  # what it holds is not worth failing a job that may have published already
            say(f"{folder.uri} could not be removed: {error}")
        if made_root and not layout.claimed_versions(root):
            (root / layout.STAGING).remove_if_empty()
            root.remove_if_empty()


def _staging_prefix(job_id: str) -> str:
    return re.sub(r"[^A-Za-z0-9.-]+", "_", job_id)[:80] + f"-{hashlib.sha256(job_id.encode()).hexdigest()[:8]}-"


def remove_stagings(root: Location, job_id: str) -> None:
    """Remove what a killed job left; only when no process of it is alive."""
    for name in (root / layout.STAGING).names():
        if name.startswith(_staging_prefix(job_id)):
            (root / layout.STAGING / name).remove()


@dataclass(frozen=True)
class Pruning:
    """What :func:`prune` removes and spares: complete versions beyond the newest to keep, newest first.

    ``pinned`` are those of them that stay because functions point to them, with the functions' names;
    ``abandoned`` the folders of dead jobs, which hold no version.
    """

    versions: tuple[int, ...]
    pinned: Mapping[int, tuple[str, ...]]
    abandoned: tuple[Location, ...]


def choose_pruning(root: Location, keep: int | None) -> Pruning:
    """What may go when the newest ``keep`` complete versions stay (None: all of them). Changes nothing."""
    abandoned = tuple(_abandoned(root))
    if keep is None:
        return Pruning((), {}, abandoned)
    complete = [n for n in reversed(layout.claimed_versions(root)) if version_state(root, n) == "complete"]
    pinned, beyond = pins(root), complete[keep:]
    return Pruning(tuple(n for n in beyond if n not in pinned), {n: pinned[n] for n in beyond if n in pinned}, abandoned)


def prune(root: Location, keep: int | None) -> list[int]:
    """Remove complete versions beyond the newest ``keep``, but none that a function points to, and what dead jobs left.

    :returns: the versions removed. The manifest goes first, so no reader meets half a version.
    :raises StorageError: when a folder cannot be removed.
    """
    return remove_pruned(root, choose_pruning(root, keep))


def remove_pruned(root: Location, pruning: Pruning) -> list[int]:
    """Remove what was chosen, but for versions that a function was pointed to meanwhile; answers the versions removed."""
    removed = []
    for number in pruning.versions:
        if number not in pinned_versions(root):  # asked again each time: removing many takes long
            folder = layout.version_dir(root, number)
            _remove(folder / layout.MANIFEST)
            _remove(folder)
            removed.append(number)
    for folder in pruning.abandoned:
        _remove(folder)
    return removed


def _remove(place: Location) -> None:
    try:
        place.remove()
    except OSError as error:
        raise StorageError(f"{place.uri} cannot be removed: {error}", uri=place.uri) from error


def _abandoned(root: Location) -> Iterable[Location]:
    stagings = [root / layout.STAGING / name for name in (root / layout.STAGING).names()]
    unfinished = [layout.version_dir(root, n) for n in layout.claimed_versions(root) if version_state(root, n) == "unfinished"]
    oldest_kept = datetime.now(timezone.utc) - STALE
    for folder in stagings + unfinished:
        modified = []
        with contextlib.suppress(OSError, StorageError):  # another job may be removing it right now
            modified = [folder.fs.modified((folder / name).path) for name in folder.files()]
        if modified and max(time.astimezone(timezone.utc) for time in modified) < oldest_kept:
            yield folder
