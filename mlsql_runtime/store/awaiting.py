"""Whether a version that somebody waits for has landed, has failed, or is not good enough."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from mlsql_runtime.errors import VersionNotFound
from mlsql_runtime.store import layout
from mlsql_runtime.store.location import Location
from mlsql_runtime.store.manifest import FailureRecord, Manifest
from mlsql_runtime.store.read import read_failure, read_manifest, version_state


@dataclass(frozen=True, kw_only=True)
class Awaited:
    """What is waited for; every condition given must hold. With none, any complete version will do."""

    min_version: int | None = None
    published_after: datetime | None = None
    job_id: str | None = None
    min_score: float | None = None

    @property
    def names_a_training(self) -> bool:
        """Whether a failure can be told to be the awaited one, and not an old story."""
        return not (self.min_version is None and self.published_after is None and self.job_id is None)

    def matches(self, record: Manifest | FailureRecord) -> bool:
        return (
            (self.min_version is None or record.version >= self.min_version)
            and (self.published_after is None or record.created > self.published_after)
            and (self.job_id is None or record.job_id == self.job_id)
        )

    def is_good(self, manifest: Manifest) -> bool:
        score = manifest.best.score
        if self.min_score is None:
            return True
        return score is not None and (score >= self.min_score if manifest.greater_is_better else score <= self.min_score)


@dataclass(frozen=True)
class Sighting:
    """``found`` is the newest version that is wanted and good enough; ``low`` the newest wanted one that is not;
    ``failure`` why the awaited training published nothing. At most ``low`` and ``failure`` come together."""

    found: Manifest | None = None
    low: Manifest | None = None
    failure: FailureRecord | None = None


def look(root: Location, awaited: Awaited) -> Sighting:
    """Look once: one listing, and the manifests and failure records of what may be meant, newest first."""
    low: Manifest | None = None
    failure: FailureRecord | None = None
    for number in reversed(layout.claimed_versions(root)):
        if awaited.min_version is not None and number < awaited.min_version:
            break
        state = version_state(root, number)
        if state == "complete":
            try:
                manifest = read_manifest(root, number)
            except VersionNotFound:
                continue  # pruned since the listing
            if awaited.matches(manifest):
                if awaited.is_good(manifest):
                    return Sighting(found=manifest)
                low = low or manifest
        elif state == "failed" and failure is None and awaited.names_a_training:
            record = read_failure(root, number)
            failure = record if record is not None and awaited.matches(record) else None
    return Sighting(low=low, failure=failure)
