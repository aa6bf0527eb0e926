"""Reports on the versions under a model path: a summary of each, all details of one, and the kept log of a fit group.

A listing costs one listing of the path, one pointer per function, and one document per version shown. A document that cannot be
read does not hide the others: its version is reported as unreadable.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from mlsql_runtime import errors
from mlsql_runtime.errors import MLSQLError, VersionNotFound
from mlsql_runtime.plan import TaskTry
from mlsql_runtime.result import Best
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store import layout
from mlsql_runtime.store.claims import read_claim
from mlsql_runtime.store.curve_files import read_curves
from mlsql_runtime.store.curves import Curves
from mlsql_runtime.store.functions import FunctionPackage, FunctionPointers, read_pointers
from mlsql_runtime.store.manifest import DataFacts, FailureRecord, FitRecord, Manifest, ScriptFacts
from mlsql_runtime.store.signature import Signature
from mlsql_runtime.store.sources import Source
from mlsql_runtime.store.versions import ModelStore, read_manifest, read_record

State = Literal["complete", "failed", "unfinished", "unreadable"]
ErrorFacts = Mapping[str, Any]  # as errors.to_json writes them
REQUESTS = 16  # at the same time, to remote storage


@dataclass(frozen=True, kw_only=True)
class VersionSummary:
    """A version. Fields that its state does not have are None.

    :param created: when it was published, failed or, if unfinished, claimed.
    :param size: in bytes.
    :param message: why it failed; ``reason`` is the same, shorter.
    :param error: why it cannot be read.
    """

    version: int
    state: State
    created: datetime | None = None
    job_id: str | None = None
    groups: int | None = None
    groups_succeeded: int | None = None
    best: Best | None = None
    score: float | None = None
    rows: int | None = None
    size: int | None = None
    functions: tuple[FunctionPackage, ...] = ()
    message: str | None = None
    reason: str | None = None
    error: ErrorFacts | None = None


@dataclass(frozen=True, kw_only=True)
class Listing:
    """The newest versions; ``more`` older ones are left out. ``problems`` are the functions that cannot be read."""

    model_path: str
    versions: tuple[VersionSummary, ...]
    more: int
    problems: tuple[ErrorFacts, ...]


def summarize(store: ModelStore, limit: int | None = None) -> Listing:
    """Return the newest ``limit`` versions, all of them if None."""
    shown = store.versions[:limit]
    pointers = read_pointers(store.root)
    if store.root.is_local:
        found = [_summarize(store.root, version, pointers) for version in shown]
    else:
        with ThreadPoolExecutor(REQUESTS) as pool:
            found = list(pool.map(lambda version: _summarize(store.root, version, pointers), shown))
    return Listing(
        model_path=store.root.uri,
        versions=tuple(found),
        more=len(store.versions) - len(shown),
        problems=tuple(errors.to_json(error) for error in pointers.problems),
    )


def _summarize(root: Location, version: int, pointers: FunctionPointers) -> VersionSummary:
    try:
        record = read_record(root, version)
        facts = _claim_facts(root, version) if record is None else _record_facts(record)
    except MLSQLError as error:
        facts = {"state": "unreadable", "error": errors.to_json(error)}
    return VersionSummary(version=version, functions=pointers.packages_of(version), **facts)


def _claim_facts(root: Location, version: int) -> dict[str, Any]:
    claim = read_claim(layout.version_dir(root, version))
    return {"state": "unfinished", "created": claim.created, "job_id": claim.job_id}


def _record_facts(record: Manifest | FailureRecord) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "state": record.state,
        "created": record.created,
        "job_id": record.job_id,
        "groups": len(record.fits),
        "groups_succeeded": sum(fit.status == "success" for fit in record.fits),
    }
    if isinstance(record, FailureRecord):
        return facts | {"message": record.message, "reason": shorten_failure(record)}
    size = sum(entry.size for entry in record.files)
    return facts | {"best": record.best, "score": record.best.score, "rows": record.data.rows, "size": size}


def shorten_failure(record: FailureRecord) -> str:
    """Return the message of the first failed group; that of the training is long, with paths and all groups."""
    bad = [fit for fit in record.fits if fit.status != "success" and fit.message]
    return f"group {bad[0].alg_index}: {bad[0].message}" if bad else record.message


@dataclass(frozen=True, kw_only=True)
class FitDetails(FitRecord):
    """A fit group as programs read it: its record, and how long it took."""

    seconds: float


@dataclass(frozen=True, kw_only=True)
class StoredFile:
    """A file below the version's folder: size in bytes, and the digest in the manifest, None without a manifest."""

    path: str
    size: int
    sha256: str | None = None


@dataclass(frozen=True, kw_only=True)
class VersionDetails:
    """All details of a version. Fields that its state does not have are None or empty.

    :param tails: the last lines of failed groups' output, for a failed version only.
    :param curves: of the metrics that the scripts reported, by group.
    """

    model_path: str
    version: int
    state: State
    created: datetime | None
    job_id: str | None
    task: TaskTry | None = None
    message: str | None = None
    description: str | None = None
    script: ScriptFacts | None = None
    greater_is_better: bool | None = None
    best: Best | None = None
    score: float | None = None
    data: DataFacts | None = None
    signature: Signature | None = None
    sources: tuple[Source, ...] = ()
    parameters: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    fits: tuple[FitDetails, ...] = ()
    tails: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    curves: Mapping[int, Curves] = field(default_factory=dict)
    files: tuple[StoredFile, ...]
    size: int
    functions: tuple[FunctionPackage, ...]


def read_details(store: ModelStore, version: int | None = None) -> VersionDetails:
    """Read everything of a version, by default of the newest complete one.

    :raises VersionNotFound: naming the versions that exist.
    :raises FormatError: naming the document that is damaged.
    """
    root = store.root
    if version is None or version not in store.versions:
        version = read_manifest(root, version).version
    record = read_record(root, version)
    files: tuple[StoredFile, ...]
    if isinstance(record, Manifest):
        files = tuple(StoredFile(path=entry.path, size=entry.size, sha256=entry.sha256) for entry in record.files)
    else:
        existing = layout.version_dir(root, version).list_files()
        files = tuple(StoredFile(path=path, size=size) for path, size in existing.items())
    has_curves = any(file.path == layout.CURVES for file in files)
    return VersionDetails(
        model_path=root.uri,
        version=version,
        curves=read_curves(layout.version_dir(root, version)) if has_curves else {},
        files=files,
        size=sum(file.size for file in files),
        functions=read_pointers(root).packages_of(version),
        **(_claim_facts(root, version) if record is None else _detailed_facts(record)),
    )


def _detailed_facts(record: Manifest | FailureRecord) -> dict[str, Any]:
    fits = tuple(FitDetails(**vars(fit), seconds=fit.summary.seconds) for fit in record.fits)
    facts = {"state": record.state, "created": record.created, "job_id": record.job_id, "task": record.task, "fits": fits}
    if isinstance(record, FailureRecord):
        return facts | {"message": record.message, "tails": record.tails}
    copied = ("description", "script", "greater_is_better", "best", "data", "signature", "sources", "parameters", "environment")
    return facts | {name: getattr(record, name) for name in copied} | {"score": record.best.score}


def read_log(store: ModelStore, version: int, alg_index: int) -> str:
    """Read the kept log of a fit group.

    :raises VersionNotFound: naming the groups that have one.
    """
    folder = layout.version_dir(store.root, version)
    text = (folder / layout.log_file(alg_index)).read_or_none()
    if text is None:
        names = [name.removesuffix(".log") for name in (folder / "logs").list_names() if name.endswith(".log")]
        kept = ", ".join(sorted((name for name in names if name.isdecimal()), key=int)) or "no group"
        where = f"version {version} of {store.root.uri}"
        raise VersionNotFound(f"{where} keeps no log of group {alg_index}; it has those of {kept}", version=version)
    return text.decode(errors="replace")
