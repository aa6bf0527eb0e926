"""Manifests of versions that were never trained, for benchmarks of their readers."""

from __future__ import annotations

from datetime import datetime, timezone

from mlsql_runtime.store.format_version import FORMAT_VERSION
from mlsql_runtime.store.manifest import DataFacts, FileEntry, FitRecord, Manifest, ScriptFacts

NOW = datetime.now(timezone.utc)


def manifest(version: int, files: tuple[FileEntry, ...] = ()) -> Manifest:
    """Return the manifest of a version with one fit group."""
    fit = FitRecord(
        alg_index=0,
        status="success",
        score=0.9,
        metrics={"auc": 0.9},
        message=None,
        params={},
        started=NOW,
        ended=NOW,
        packages={},
    )
    return Manifest(
        format_version=FORMAT_VERSION,
        job_id=f"daily.train/scheduled__{version}/0",
        version=version,
        created=NOW,
        script=ScriptFacts(name="train.py", sha256=""),
        parameters={},
        greater_is_better=True,
        data=DataFacts(rows=70, validate_rows=30, columns={}, feature_column=None, feature_width=None),
        fits=(fit,),
        environment={},
        files=files,
    )
