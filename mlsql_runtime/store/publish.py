"""Writing a version: claim a number, put the data, write the manifest last; or leave a failure record."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from mlsql_runtime import codec
from mlsql_runtime.errors import JobFailed
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store import layout
from mlsql_runtime.store.claims import Claim, read_claim
from mlsql_runtime.store.manifest import FailureRecord, FileEntry, Manifest
from mlsql_runtime.store.versions import read_manifest, version_state

CLOCKS = timedelta(hours=1)  # by which those of two hosts may differ


@dataclass(frozen=True)
class VersionDraft:
    """A claimed version that nobody sees yet. ``claim`` is what its writer wrote when it took the number."""

    version: int
    folder: Location
    claim: bytes

    @property
    def is_ours(self) -> bool:
        """Whether nobody has taken the draft for one of a dead attempt, and removed it."""
        return (self.folder / layout.CLAIM).read_or_none() == self.claim

    def file_entries(self) -> tuple[FileEntry, ...]:
        """Every file of the draft with its digest, for the manifest."""
        skip = (layout.CLAIM, layout.MANIFEST)
        sizes = self.folder.list_files()
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
def claim_version(root: Location, job_id: str, training: str | None = None) -> Iterator[VersionDraft]:
    """Take the next version number, exclusively, and give it back if the block raises.

    A process killed inside leaves an unfinished folder that readers ignore. The job's next attempt removes it, or pruning when
    it is stale.
    """
    claim = Claim(job_id=job_id, created=datetime.now(timezone.utc), training=training, attempt=uuid.uuid4().hex).dump()
    number = max(layout.list_claimed_versions(root), default=0) + 1
    while True:
        folder = layout.version_dir(root, number)
        try:
            (folder / layout.CLAIM).create(claim)
            break
        except FileExistsError:
            number += 1
    draft = VersionDraft(number, folder, claim)
    try:
        yield draft
    except BaseException:
        if draft.is_ours:
            folder.remove()
        raise


def _succeeded(manifest: Manifest) -> list[int]:
    return [fit.alg_index for fit in manifest.fits if fit.status == "success"]


def find_published_version(root: Location, job_id: str, training: str, since: datetime) -> Manifest | None:
    """The version that an attempt of this training has published since then; what one left half-written is removed."""
    for number in reversed(layout.list_claimed_versions(root)):
        folder = layout.version_dir(root, number)
        claim = read_claim(folder)
        if claim.created is not None and claim.created < since - CLOCKS:
            break  # numbers grow with time
        if (claim.job_id, claim.training) == (job_id, training):
            state = version_state(root, number)
            if state == "complete":
                return read_manifest(root, number)
            if state == "unfinished":
                folder.remove()
    return None
