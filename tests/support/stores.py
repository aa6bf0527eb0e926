"""Versions in model stores, written as training writes them, without training; the builders of their documents."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from mlsql_runtime.plan import TaskTry
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store.format_version import FORMAT_VERSION
from mlsql_runtime.store.manifest import DataFacts, FailureRecord, FitRecord, Manifest, ScriptFacts
from mlsql_runtime.store.publish import VersionDraft, claim_version
from mlsql_runtime.store.versions import read_states

T0 = datetime(2026, 1, 1, tzinfo=timezone.utc)
Store = Callable[..., None]
Metrics = dict[str, float | None]
NO_METRICS: Metrics = {}


@contextmanager
def open_root(kind: str, folder: Path, request: pytest.FixtureRequest) -> Iterator[Location]:
    """Name a model path that does not exist yet, in storage of a kind: ``local`` or ``s3``; remove it at the end."""
    if kind == "local":
        yield Location.of(str(folder / "models" / "digits"))
        return
    place = Location.of(f"{request.getfixturevalue('s3_server')}/{uuid.uuid4().hex}/digits")
    yield place
    place.remove()


def latest_version(root: Location) -> int | None:
    """Return the newest complete version."""
    return next((number for number, state in read_states(root).items() if state == "complete"), None)


def make_fit_record(alg_index: int, score: float | None, **fields: Any) -> FitRecord:
    """Return the record of a fit group; a successful one unless ``fields`` say otherwise."""
    defaults: dict[str, Any] = {"status": "success", "metrics": {}, "message": None, "params": {}, "packages": {}}
    return FitRecord(alg_index=alg_index, score=score, **defaults | {"started": T0, "ended": T0} | fields)


def make_manifest(version: int, fits: Sequence[FitRecord], **fields: Any) -> Manifest:
    """Return a manifest; ``fields`` replace the default ones."""
    defaults: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "job_id": "job",
        "created": T0,
        "script": ScriptFacts(name="t.py", sha256=""),
        "parameters": {},
        "greater_is_better": True,
        "data": DataFacts(rows=70, validate_rows=30, columns={}, feature_column=None, feature_width=None),
        "environment": {},
        "files": (),
        "description": "<i>of all mail",
    }
    return Manifest(version=version, fits=tuple(fits), **defaults | fields)


def publish(root: str | Location, *scores: float | None, job: str = "job", **how: Any) -> int:
    """Publish the next version as :func:`finish` does, and return its number."""
    with claim_version(Location.of(root) if isinstance(root, str) else root, job) as draft:
        finish(draft, *scores, job=job, **how)
    return draft.version


def finish(
    draft: VersionDraft,
    *scores: float | None,
    job: str = "job",
    created: int = 0,
    maximise: bool = True,
    metrics: Metrics = NO_METRICS,
    others: Metrics = NO_METRICS,
    task: TaskTry | None = None,
) -> None:
    """Publish a claimed version, with a fit group for each score.

    :param created: days after T0.
    :param metrics: of the first group; ``others`` are those of the other groups.
    """
    groups = tuple(enumerate(scores or (0.9,)))
    for index, _ in groups:
        (draft.folder / f"model/{index}/model.pickle").write(b"model")
    fits = [make_fit_record(index, score, metrics=others if index else metrics) for index, score in groups]
    day, files = T0 + timedelta(days=created), draft.file_entries()
    manifest = make_manifest(draft.version, fits, job_id=job, created=day, greater_is_better=maximise, files=files, task=task)
    draft.publish(manifest)


def make_failure(version: int, message: str, **fields: Any) -> FailureRecord:
    """Return the record of a failed training."""
    defaults: dict[str, Any] = {"job_id": "job", "created": T0, "fits": (), "tails": {"0": ("last words",)}}
    return FailureRecord(format_version=FORMAT_VERSION, version=version, message=message, **defaults | fields)


def fail(root: str, message: str, job: str = "job", created: int = 0, task: TaskTry | None = None) -> int:
    """Leave a failure record in the next version, and return its number."""
    with claim_version(Location.of(root), job) as draft:
        draft.fail(make_failure(draft.version, message, job_id=job, created=T0 + timedelta(days=created), task=task))
    return draft.version


def half_written(root: str) -> None:
    """Write a version without a manifest, as a training does that is running or was killed."""
    folder = Location.of(root) / "_model_1"
    (folder / "claim.json").write(b"{}")
    (folder / "model/0/model.pickle").write(b"mod")


def xcom(root: str, version: int, *scores: float | None, best: int = 0) -> dict[str, Any]:
    """Return what the train operator returns for such a version."""
    fits = [
        {"alg_index": index, "status": "success", "score": score, "metrics": {}, "seconds": 0.0}
        for index, score in enumerate(scores)
    ]
    where = Location.of(root).uri
    chosen = {"alg_index": best, "score": scores[best]}
    return {"model_path": where, "version": version, "score": scores[best], "best": chosen, "fits": fits, "rows": 70}
