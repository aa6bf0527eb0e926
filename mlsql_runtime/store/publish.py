"""Writing a version: claim a number, put the data, write the manifest last; or leave a failure record; and pruning."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from mlsql_runtime import codec
from mlsql_runtime.errors import JobFailed, StorageError
from mlsql_runtime.store import layout
from mlsql_runtime.store.claims import Claim, read_claim
from mlsql_runtime.store.functions import pinned_versions, pins
from mlsql_runtime.store.location import Location
from mlsql_runtime.store.manifest import FailureRecord, FileEntry, Manifest
from mlsql_runtime.store.read import read_manifest, version_state

STALE = timedelta(days=7)
CLOCKS = timedelta(hours=1)  # by which those of two hosts may differ


@dataclass(frozen=True)
class Draft:
    """A claimed version that nobody sees yet. ``claim`` is what its writer wrote when it took the number."""

    version: int
    folder: Location
    claim: bytes

    @property
    def is_ours(self) -> bool:
        """Whether nobody has taken the draft for one of a dead attempt, and removed it."""
        return (self.folder / layout.CLAIM).read_if_there() == self.claim

    def entries(self) -> tuple[FileEntry, ...]:
        """Every file of the draft with its digest, for the manifest."""
        skip = (layout.CLAIM, layout.MANIFEST)
        sizes = self.folder.files()
        return tuple(FileEntry(path=p, size=n, sha256=(self.folder / p).sha256()) for p, n in sizes.items() if p not in skip)

    def publish(self, manifest: Manifest) -> None:
        """Make the version complete. Everything the manifest names must be in place.

        :raises JobFailed: when another attempt of the job has taken over.
        """
        if not self.is_ours or not all(manifest.files_below(layout.model_dir(i)) for i in _succeeded(manifest)):
            raise JobFailed(f"another attempt of this job has taken over {self.folder.uri}; this one publishes nothing")
        (self.folder / layout.MANIFEST).replace(codec.dumps(manifest).encode())

    def fail(self, record: FailureRecord) -> None:
        """Say why there will be no such version."""
        (self.folder / layout.FAILURE).replace(codec.dumps(record).encode())


@contextlib.contextmanager
def claimed(root: Location, job_id: str, training: str | None = None) -> Iterator[Draft]:
    """Take the next version number, exclusively, and give it back if the block raises.

    A process killed inside leaves an unfinished folder that readers ignore. The job's next attempt removes it, or
    :func:`prune` when it is stale.
    """
    claim = Claim(job_id=job_id, created=datetime.now(timezone.utc), training=training, attempt=uuid.uuid4().hex).dump()
    number = max(layout.claimed_versions(root), default=0) + 1
    while True:
        folder = layout.version_dir(root, number)
        try:
            (folder / layout.CLAIM).create(claim)
            break
        except FileExistsError:
            number += 1
    draft = Draft(number, folder, claim)
    try:
        yield draft
    except BaseException:
        if draft.is_ours:
            folder.remove()
        raise


def _succeeded(manifest: Manifest) -> list[int]:
    return [fit.alg_index for fit in manifest.fits if fit.status == "success"]


def earlier_version(root: Location, job_id: str, training: str, since: datetime) -> Manifest | None:
    """The version that an attempt of this training has published since then; what one left half-written is removed."""
    for number in reversed(layout.claimed_versions(root)):
        folder = layout.version_dir(root, number)
        claim = read_claim(folder)
        if claim.created is not None and claim.created < since - CLOCKS:
            break  # numbers grow with time
        if (claim.job_id, claim.training) == (job_id, training):
            state = version_state(root, number)
            if state == "complete":
                return read_manifest(root, number)
            if state == "unfinished":
                _remove(folder)
    return None


@dataclass(frozen=True)
class Pruning:
    """What :func:`prune` removes and spares: complete versions beyond the newest to keep, newest first.

    ``pinned`` are those of them that stay because functions point to them, with the functions' names;
    ``abandoned`` the folders of dead jobs, which hold no version.
    """

    versions: tuple[int, ...]
    pinned: Mapping[int, tuple[str, ...]]
    abandoned: tuple[Location, ...]


def choose_pruning(root: Location, keep: int | None, spare: int | None = None) -> Pruning:
    """What may go when the newest ``keep`` complete versions stay (None: all of them), and ``spare``. Changes nothing."""
    abandoned = tuple(_abandoned(root))
    if keep is None:
        return Pruning((), {}, abandoned)
    complete = [n for n in reversed(layout.claimed_versions(root)) if version_state(root, n) == "complete"]
    pinned, beyond = pins(root), [number for number in complete[keep:] if number != spare]
    return Pruning(tuple(n for n in beyond if n not in pinned), {n: pinned[n] for n in beyond if n in pinned}, abandoned)


def prune(root: Location, keep: int | None, spare: int | None = None) -> list[int]:
    """Remove complete versions beyond the newest ``keep``, but not ``spare`` and none that a function points to, and what dead
    jobs left.

    :returns: the versions removed. The manifest goes first, so no reader meets half a version.
    :raises StorageError: when a folder cannot be removed.
    """
    return remove_pruned(root, choose_pruning(root, keep, spare))


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
