"""The facts of versions that listings and pages show: one document for each, and one that cannot be read hides no other."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from mlsql_runtime import codec, errors
from mlsql_runtime.errors import MLSQLError
from mlsql_runtime.plan import TaskTry
from mlsql_runtime.result import Best
from mlsql_runtime.storage.concurrency import map_reads
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store import layout
from mlsql_runtime.store.claims import read_claim
from mlsql_runtime.store.manifest import FailureRecord, Manifest
from mlsql_runtime.store.versions import read_record

State = Literal["complete", "failed", "unfinished", "unreadable"]
ErrorFacts = Mapping[str, Any]  # as errors.to_json writes them


@dataclass(frozen=True, kw_only=True)
class VersionFacts:
    """A version. Fields that its state does not have are None or empty.

    :param created: when it was published, failed or, if unfinished, claimed.
    :param metrics: of the best group, without its score.
    :param size: in bytes.
    :param code: a digest of the script and its project.
    :param environment: a digest of what the best group ran with: Python, packages, system parameters.
    :param sources: where the rows came from, in short.
    :param message: why it failed; ``reason`` is the same, shorter, or why it cannot be read.
    :param error: why it cannot be read.
    """

    version: int
    state: State
    created: datetime | None = None
    task: TaskTry | None = None
    job_id: str | None = None
    groups: int | None = None
    groups_succeeded: int | None = None
    best: Best | None = None
    score: float | None = None
    greater_is_better: bool | None = None
    metrics: Mapping[str, float | None] = field(default_factory=dict)
    rows: int | None = None
    size: int | None = None
    description: str | None = None
    code: str | None = None
    environment: str | None = None
    sources: tuple[str, ...] = ()
    message: str | None = None
    reason: str | None = None
    error: ErrorFacts | None = None


def read_facts(root: Location, versions: Sequence[int]) -> list[VersionFacts]:
    """Read the facts of versions, of any state."""
    return map_reads(root, lambda version: _read(root, version), versions)


def _read(root: Location, version: int) -> VersionFacts:
    try:
        record = read_record(root, version)
        return read_claim_facts(root, version) if record is None else find_facts(record)
    except MLSQLError as error:
        return VersionFacts(version=version, state="unreadable", reason=error.message, error=errors.to_json(error))


def read_claim_facts(root: Location, version: int) -> VersionFacts:
    """Read the facts of a version that has neither manifest nor failure record."""
    claim = read_claim(layout.version_dir(root, version))
    return VersionFacts(version=version, state="unfinished", created=claim.created, job_id=claim.job_id)


def find_facts(record: Manifest | FailureRecord) -> VersionFacts:
    """Return the facts in the document of a version that has ended."""
    ended: dict[str, Any] = {
        "version": record.version,
        "state": record.state,
        "created": record.created,
        "task": record.task,
        "job_id": record.job_id,
        "groups": len(record.fits),
        "groups_succeeded": sum(fit.status == "success" for fit in record.fits),
    }
    if isinstance(record, FailureRecord):
        return VersionFacts(**ended, message=record.message, reason=_shorten_failure(record))
    best = record.best
    fit = record.fit(best.alg_index)
    return VersionFacts(
        **ended,
        best=best,
        score=best.score,
        greater_is_better=record.greater_is_better,
        metrics=fit.metrics if fit else {},
        rows=record.data.rows,
        size=sum(entry.size for entry in record.files),
        description=record.description,
        code=record.script.sha256,
        environment=_digest(record.environment, fit.packages if fit else {}, record.parameters, record.requirements),
        sources=tuple(_describe_sources(record)),
    )


def _shorten_failure(record: FailureRecord) -> str:
    """Return the message of the first failed group; that of the training is long, with paths and all groups."""
    bad = [fit for fit in record.fits if fit.status != "success" and fit.message]
    return f"group {bad[0].alg_index}: {bad[0].message}" if bad else record.message


def _describe_sources(manifest: Manifest) -> Iterator[str]:
    for source in manifest.sources:
        if source.kind not in ("select", "view"):
            version = f"version {source.version.id}" if source.version else None
            place = source.path if source.path is not None else source.table
            yield " ".join(filter(None, (source.format, place, version)))


def _digest(*values: object) -> str:
    return hashlib.sha256(json.dumps(codec.encode(values), sort_keys=True).encode()).hexdigest()
