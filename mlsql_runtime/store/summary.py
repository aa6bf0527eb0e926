"""Reports on the versions under a model path: a listing, all details of one, and the kept log of a fit group.

A listing costs one listing of the path, one pointer per function, and one document per version shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from mlsql_runtime import errors
from mlsql_runtime.errors import VersionNotFound
from mlsql_runtime.plan import TaskTry
from mlsql_runtime.result import Best
from mlsql_runtime.store import layout
from mlsql_runtime.store.curve_files import read_curves
from mlsql_runtime.store.curves import Curves
from mlsql_runtime.store.functions import FunctionPackage, read_pointers
from mlsql_runtime.store.manifest import DataFacts, FailureRecord, FitRecord, ImportFacts, Manifest, ScriptFacts
from mlsql_runtime.store.signature import Signature
from mlsql_runtime.store.sources import Source
from mlsql_runtime.store.version_facts import ErrorFacts, State, VersionFacts, find_facts, read_claim_facts, read_facts
from mlsql_runtime.store.versions import ModelStore, read_manifest, read_record


@dataclass(frozen=True, kw_only=True)
class VersionSummary(VersionFacts):
    """A version, and the packages that functions point to or pointed to."""

    functions: tuple[FunctionPackage, ...] = ()


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
    found = read_facts(store.root, shown)
    return Listing(
        model_path=store.root.uri,
        versions=tuple(VersionSummary(**vars(facts), functions=pointers.packages_of(facts.version)) for facts in found),
        more=len(store.versions) - len(shown),
        problems=tuple(errors.to_json(error) for error in pointers.problems),
    )


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
    imported: ImportFacts | None = None
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


_OF_FACTS = ("version", "state", "created", "job_id", "task", "message", "description", "greater_is_better", "best", "score")
_OF_MANIFEST = ("imported", "script", "data", "signature", "sources", "parameters", "environment")


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
    facts = read_claim_facts(root, version) if record is None else find_facts(record)
    has_curves = any(file.path == layout.CURVES for file in files)
    return VersionDetails(
        model_path=root.uri,
        curves=read_curves(layout.version_dir(root, version)) if has_curves else {},
        files=files,
        size=sum(file.size for file in files),
        functions=read_pointers(root).packages_of(version),
        **{name: getattr(facts, name) for name in _OF_FACTS},
        **({} if record is None else _read_document(record)),
    )


def _read_document(record: Manifest | FailureRecord) -> dict[str, Any]:
    """Return what details have of a document, beside the facts of the version."""
    fits = tuple(FitDetails(**vars(fit), seconds=fit.summary.seconds) for fit in record.fits)
    names = ("tails",) if isinstance(record, FailureRecord) else _OF_MANIFEST
    return {"fits": fits, **{name: getattr(record, name) for name in names}}


def read_log(store: ModelStore, version: int, alg_index: int) -> str:
    """Read the kept log of a fit group.

    :raises VersionNotFound: naming the groups that have one.
    """
    if version not in store.versions:
        read_manifest(store.root, version)
    folder = layout.version_dir(store.root, version)
    text = (folder / layout.log_file(alg_index)).read_or_none()
    if text is None:
        names = [name.removesuffix(".log") for name in (folder / "logs").list_names() if name.endswith(".log")]
        kept = ", ".join(sorted((name for name in names if name.isdecimal()), key=int)) or "no group"
        where = f"version {version} of {store.root.uri}"
        raise VersionNotFound(f"{where} keeps no log of group {alg_index}; it has those of {kept}", version=version)
    return text.decode(errors="replace")
