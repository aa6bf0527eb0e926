"""What people ask of a model path: its versions in short, one of them in full, its functions.

Reads lazily: a listing costs one listing of the path, one pointer per function, and one document per version shown.
One document that cannot be read does not hide the others: it is told where it would have been.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

from mlsql_runtime import errors
from mlsql_runtime.errors import FormatError, MLSQLError, VersionNotFound
from mlsql_runtime.result import Best, FitStatus
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store import layout
from mlsql_runtime.store.claims import Claim, read_claim
from mlsql_runtime.store.functions import read_function, read_pointer
from mlsql_runtime.store.manifest import (
    DataFacts,
    FailureRecord,
    FitRecord,
    FunctionPointer,
    FunctionRecord,
    Manifest,
    ScriptFacts,
    load,
)
from mlsql_runtime.store.versions import ModelStore, read_manifest

State = Literal["complete", "failed", "unfinished", "unreadable"]
ErrorFacts = Mapping[str, Any]  # as errors.to_json writes it
_REQUESTS = 16  # at once, to remote storage


@dataclass(frozen=True, kw_only=True)
class FunctionPackage:
    """That a function means a version now (``current``), or meant it before."""

    function: str
    function_version: int
    alg_index: int
    current: bool


@dataclass(frozen=True, kw_only=True)
class VersionSummary:
    """A version in short. What its state does not know is None; ``size`` is in bytes, ``created`` when it was published,
    failed or, of an unfinished one, claimed. ``message`` is why it failed, ``reason`` the same in short, ``error`` why it
    cannot be read."""

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
    """The newest versions; ``more`` older ones are not shown. ``problems`` are functions that cannot be read."""

    model_path: str
    versions: tuple[VersionSummary, ...]
    more: int
    problems: tuple[ErrorFacts, ...]


@dataclass(frozen=True)
class FunctionPointers:
    """The functions' pointers by name, and the errors of those that cannot be read."""

    by_name: Mapping[str, FunctionPointer]
    problems: tuple[MLSQLError, ...]

    def packages_of(self, version: int) -> tuple[FunctionPackage, ...]:
        """Every package that a name pointed to and that answers for the version; what is current first."""
        found = []
        for name, pointer in self.by_name.items():
            moves = {move.function_version: move for move in pointer.history if move.version == version}
            for number, move in moves.items():
                current = number == pointer.current.function_version
                found.append(FunctionPackage(function=name, function_version=number, alg_index=move.alg_index, current=current))
        return tuple(sorted(found, key=lambda m: (not m.current, m.function, -m.function_version)))


def read_pointers(root: Location) -> FunctionPointers:
    """All pointers under the model path: one listing, one document each."""
    found: dict[str, FunctionPointer] = {}
    problems: list[MLSQLError] = []
    for name in (root / layout.FUNCTIONS).list_names():
        try:
            pointer = read_pointer(root, name)
        except MLSQLError as error:
            problems.append(error)
        else:
            if pointer is not None:
                found[name] = pointer
    return FunctionPointers(found, tuple(problems))


def summarize(store: ModelStore, limit: int | None = None) -> Listing:
    """The newest ``limit`` versions (None: all) in short."""
    shown = store.versions[:limit]
    pointers = read_pointers(store.root)

    def one(version: int) -> VersionSummary:
        return summary(store.root, version, pointers)

    if store.root.is_local:
        found = [one(version) for version in shown]
    else:
        with ThreadPoolExecutor(_REQUESTS) as pool:
            found = list(pool.map(one, shown))
    return Listing(
        model_path=store.root.uri,
        versions=tuple(found),
        more=len(store.versions) - len(shown),
        problems=tuple(errors.to_json(error) for error in pointers.problems),
    )


def summary(root: Location, version: int, pointers: FunctionPointers) -> VersionSummary:
    """One version in short, whatever became of it."""
    try:
        record = read_record(root, version)
    except MLSQLError as error:
        found = VersionSummary(version=version, state="unreadable", error=errors.to_json(error))
    else:
        found = _in_short(version, record)
    return replace(found, functions=pointers.packages_of(version))


def read_record(root: Location, version: int) -> Manifest | FailureRecord | Claim:
    """The document that says what became of a claimed number: one file when the version is complete.

    :raises FormatError: naming the file that is damaged.
    :raises StorageError: naming the one that cannot be read.
    """
    folder = layout.version_dir(root, version)
    place = folder / layout.MANIFEST
    text = place.read_or_none()
    if text is not None:
        manifest = load(Manifest, text, place.uri)
        if not any(fit.status == "success" for fit in manifest.fits):
            raise FormatError(f"{place.uri}: no group of it succeeded; the file is damaged or was written by something else")
        return manifest
    place = folder / layout.FAILURE
    text = place.read_or_none()
    if text is not None:
        return load(FailureRecord, text, place.uri)
    return read_claim(folder)


def _in_short(version: int, record: Manifest | FailureRecord | Claim) -> VersionSummary:
    if isinstance(record, Claim):
        return VersionSummary(version=version, state="unfinished", created=record.created, job_id=record.job_id)
    common: dict[str, Any] = {
        "version": version,
        "created": record.created,
        "job_id": record.job_id,
        "groups": len(record.fits),
        "groups_succeeded": sum(fit.status == "success" for fit in record.fits),
    }
    if isinstance(record, FailureRecord):
        return VersionSummary(state="failed", message=record.message, reason=_reason(record), **common)
    best, size = record.best, sum(entry.size for entry in record.files)
    return VersionSummary(state="complete", best=best, score=best.score, rows=record.data.rows, size=size, **common)


def _reason(record: FailureRecord) -> str:
    """What the first failed group says; the message that names the training's paths and all groups is long."""
    bad = [fit for fit in record.fits if fit.status != "success" and fit.message]
    return f"group {bad[0].alg_index}: {bad[0].message}" if bad else record.message


@dataclass(frozen=True, kw_only=True)
class FitDetails:
    """A fit group: its record, and how many seconds it took."""

    alg_index: int
    status: FitStatus
    score: float | None
    metrics: Mapping[str, float | None]
    seconds: float
    message: str | None
    params: Mapping[str, str]
    started: datetime
    ended: datetime
    packages: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class StoredFile:
    """A file below the version's folder; ``size`` in bytes, ``sha256`` as its manifest has it, None without one."""

    path: str
    size: int
    sha256: str | None


@dataclass(frozen=True, kw_only=True)
class VersionDetails:
    """A version in full, whatever its state; what its state does not know is None or empty.

    ``tails`` are the last lines of failed groups' output, of a failed version only.
    """

    model_path: str
    version: int
    state: State
    created: datetime | None
    job_id: str | None
    message: str | None
    script: ScriptFacts | None
    greater_is_better: bool | None
    best: Best | None
    score: float | None
    data: DataFacts | None
    parameters: Mapping[str, str]
    environment: Mapping[str, str]
    fits: tuple[FitDetails, ...]
    tails: Mapping[str, tuple[str, ...]]
    files: tuple[StoredFile, ...]
    size: int
    functions: tuple[FunctionPackage, ...]


def read_details(store: ModelStore, version: int | None = None) -> VersionDetails:
    """Everything of a version, by default of the newest complete one.

    :raises VersionNotFound: naming what there is instead.
    :raises FormatError: naming the document that is damaged.
    """
    root = store.root
    if version is None or version not in store.versions:
        version = read_manifest(root, version).version
    record = read_record(root, version)
    manifest = record if isinstance(record, Manifest) else None
    files = _stored_files(root, version, manifest)
    fits = () if isinstance(record, Claim) else record.fits
    return VersionDetails(
        model_path=root.uri,
        version=version,
        state="complete" if manifest else "failed" if isinstance(record, FailureRecord) else "unfinished",
        created=record.created,
        job_id=record.job_id,
        message=record.message if isinstance(record, FailureRecord) else None,
        script=manifest.script if manifest else None,
        greater_is_better=manifest.greater_is_better if manifest else None,
        best=manifest.best if manifest else None,
        score=manifest.best.score if manifest else None,
        data=manifest.data if manifest else None,
        parameters=manifest.parameters if manifest else {},
        environment=manifest.environment if manifest else {},
        fits=tuple(_fit_details(fit) for fit in fits),
        tails=record.tails if isinstance(record, FailureRecord) else {},
        files=files,
        size=sum(file.size for file in files),
        functions=read_pointers(root).packages_of(version),
    )


def _stored_files(root: Location, version: int, manifest: Manifest | None) -> tuple[StoredFile, ...]:
    """Those of the manifest, or, without one, those that lie there."""
    if manifest is not None:
        return tuple(StoredFile(path=entry.path, size=entry.size, sha256=entry.sha256) for entry in manifest.files)
    there = layout.version_dir(root, version).list_files()
    return tuple(StoredFile(path=path, size=size, sha256=None) for path, size in there.items())


def _fit_details(fit: FitRecord) -> FitDetails:
    return FitDetails(
        alg_index=fit.alg_index,
        status=fit.status,
        score=fit.score,
        metrics=fit.metrics,
        seconds=fit.summary.seconds,
        message=fit.message,
        params=fit.params,
        started=fit.started,
        ended=fit.ended,
        packages=fit.packages,
    )


def read_log(store: ModelStore, version: int, alg_index: int) -> str:
    """The kept log of a fit group.

    :raises VersionNotFound: naming the groups that have one.
    """
    folder = layout.version_dir(store.root, version)
    text = (folder / layout.log_file(alg_index)).read_or_none()
    if text is None:
        kept = ", ".join(
            str(index) for index in sorted(int(name[:-4]) for name in (folder / "logs").list_names() if _is_log(name))
        )
        where = f"version {version} of {store.root.uri}"
        raise VersionNotFound(f"{where} keeps no log of group {alg_index}; it has those of {kept or 'no group'}", version=version)
    return text.decode(errors="replace")


def _is_log(name: str) -> bool:
    return name.endswith(".log") and name[:-4].isdecimal()


@dataclass(frozen=True, kw_only=True)
class FunctionSummary:
    """A registered function in short. ``created`` is when its current package was registered, ``at`` since when it is current,
    by which job, on whose behalf and why.

    When its pointer or package cannot be read, ``error`` says why and the rest is None.
    """

    function: str
    function_version: int | None = None
    version: int | None = None
    alg_index: int | None = None
    score: float | None = None
    created: datetime | None = None
    at: datetime | None = None
    contract: str | None = None
    python: str | None = None
    script: str | None = None
    job_id: str | None = None
    by: str | None = None
    reason: str | None = None
    error: ErrorFacts | None = None


def summarize_functions(root: Location) -> list[FunctionSummary]:
    """Every registered function: a pointer and a package each."""
    found = []
    for name in (root / layout.FUNCTIONS).list_names():
        try:
            pointer = read_pointer(root, name)
            if pointer is not None:
                found.append(_function(pointer, read_function(root, name, pointer.current.function_version)))
        except MLSQLError as error:
            found.append(FunctionSummary(function=name, error=errors.to_json(error)))
    return found


def _function(pointer: FunctionPointer, record: FunctionRecord) -> FunctionSummary:
    return FunctionSummary(
        function=pointer.function,
        function_version=record.function_version,
        version=record.version,
        alg_index=record.alg_index,
        score=record.score,
        created=record.created,
        at=pointer.current.at,
        contract=record.contract,
        python=record.python,
        script=record.script.name,
        job_id=pointer.current.job_id,
        by=pointer.current.by,
        reason=pointer.current.reason,
    )
