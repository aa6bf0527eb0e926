"""Publish a version: claim a number, write the data, then the manifest; or leave a failure record."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from functools import partial

from mlsql_runtime import codec
from mlsql_runtime.errors import JobFailed
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store import layout
from mlsql_runtime.store.claims import Claim, claim_number, read_claim
from mlsql_runtime.store.manifest import FailureRecord, FileEntry, Manifest
from mlsql_runtime.store.versions import read_record

CLOCKS = timedelta(hours=1)  # the clocks of two hosts differ by less


@dataclass(frozen=True)
class VersionDraft:
    """A claimed version that readers do not see yet. ``claim`` is the claim that its writer wrote."""

    version: int
    folder: Location
    claim: bytes

    @property
    def is_ours(self) -> bool:
        """Whether the claim is still there. The job's next attempt removes the draft of an attempt that it believes dead."""
        return (self.folder / layout.CLAIM).read_or_none() == self.claim

    @property
    def is_complete(self) -> bool:
        """Whether readers see the version, and nobody may change it any more."""
        return (self.folder / layout.MANIFEST).exists()

    def file_entries(self) -> tuple[FileEntry, ...]:
        """Return every file of the draft with its digest, for the manifest."""
        skip = (layout.CLAIM, layout.MANIFEST)
        sizes = self.folder.list_files()
        return tuple(FileEntry(path=p, size=n, sha256=(self.folder / p).sha256()) for p, n in sizes.items() if p not in skip)

    def publish(self, manifest: Manifest) -> None:
        """Make the version complete. All files of the manifest must be in place.

        :raises JobFailed: when another attempt of the job has taken over.
        """
        taken = JobFailed(f"another attempt of this job has taken over {self.folder.uri}; this one publishes nothing")
        succeeded = [fit.alg_index for fit in manifest.fits if fit.status == "success"]
        if not self.is_ours or not all(manifest.files_below(layout.model_dir(index)) for index in succeeded):
            raise taken
        (self.folder / layout.MANIFEST).replace(codec.dumps(manifest).encode())
        if not {entry.path for entry in manifest.files} <= self.folder.list_files().keys():  # removed since the look at the claim
            (self.folder / layout.MANIFEST).remove_file()
            if not (self.folder / layout.CLAIM).exists():
                self.folder.remove()
            raise taken

    def fail(self, record: FailureRecord) -> None:
        """Record why there will be no such version."""
        (self.folder / layout.FAILURE).replace(codec.dumps(record).encode())


@contextlib.contextmanager
def claim_version(root: Location, job_id: str, training: str | None = None) -> Iterator[VersionDraft]:
    """Claim the next version number exclusively, and give it back if the block raises before the version is complete.

    A process killed inside leaves an unfinished folder that readers ignore. The job's next attempt removes it, or pruning
    does when it is old.
    """
    document = Claim(job_id=job_id, created=datetime.now(timezone.utc), training=training, attempt=uuid.uuid4().hex)
    claim = codec.dumps(document).encode()
    number, folder = claim_number(layout.list_claimed_versions(root), partial(layout.version_dir, root), claim)
    draft = VersionDraft(number, folder, claim)
    try:
        yield draft
    except BaseException:
        if draft.is_ours and not draft.is_complete:
            folder.remove()
        raise


def find_published_version(root: Location, job_id: str, training: str, since: datetime) -> Manifest | None:
    """Return the version that an attempt of this training has published since ``since``; remove its unfinished versions."""
    for number in reversed(layout.list_claimed_versions(root)):
        folder = layout.version_dir(root, number)
        claim = read_claim(folder)
        if claim.created is not None and claim.created < since - CLOCKS:
            break  # numbers grow with time
        if (claim.job_id, claim.training) == (job_id, training):
            record = read_record(root, number)
            if record is None:
                (folder / layout.CLAIM).remove_file()  # without it, an attempt that still runs publishes nothing
                record = read_record(root, number)  # it may just have done so
            if isinstance(record, Manifest):
                return record
            if record is None:
                folder.remove()
    return None
