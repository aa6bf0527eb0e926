"""Publish a model that was made elsewhere as a version, as a training does: data first, the manifest last."""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

from mlsql_runtime.exchange.foreign_model import ForeignModel
from mlsql_runtime.storage.local_files import link_or_copy
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store import layout
from mlsql_runtime.store.format_version import FORMAT_VERSION
from mlsql_runtime.store.manifest import DataFacts, FitRecord, ImportFacts, Manifest
from mlsql_runtime.store.publish import claim_version
from mlsql_runtime.training.mlsql_meta_tables import write_meta, write_parquet


def import_version(
    root: Location,
    model: ForeignModel,
    *,
    score: float | None = None,
    greater_is_better: bool | None = None,
    description: str | None = None,
    by: str | None = None,
) -> Manifest:
    """Publish the model as the next version of the model path, with one fit group.

    :param score: with which gates compare it; None: that of the model, if it has one.
    :param greater_is_better: of the score; None: as the model says, else true.
    :param by: user and host, for the manifest.
    :returns: the manifest of the version.
    :raises StorageError: when the storage refuses; nothing is left then.
    """
    now = datetime.now(timezone.utc)
    job_id = f"import/{uuid.uuid4().hex[:8]}"
    fit = FitRecord(
        alg_index=0,
        status="success",
        score=model.score if score is None else score,
        metrics={},
        message=None,
        params={},
        started=now,
        ended=now,
        packages=model.packages,
    )
    signature = model.signature
    columns = {} if signature is None else {each.name: each.type for each in signature.features}
    with claim_version(root, job_id) as draft:
        _upload(model.files, draft.folder / layout.model_dir(0))
        if model.samples is not None:
            write_parquet(model.samples, draft.folder / layout.SAMPLES)
        if model.project is not None:
            (draft.folder / layout.PROJECT).write(model.project)
        manifest = Manifest(
            format_version=FORMAT_VERSION,
            job_id=job_id,
            version=draft.version,
            created=now,
            script=model.script,
            parameters={},
            greater_is_better=greater_is_better if greater_is_better is not None else model.greater_is_better is not False,
            data=DataFacts(
                rows=0,
                validate_rows=0,
                columns=columns,
                feature_column=signature.names[0] if signature and len(signature.names) == 1 else None,
                feature_width=model.width,
            ),
            fits=(fit,),
            environment=model.packages,
            files=(),
            description=description,
            signature=signature,
            imported=ImportFacts(format=model.format, source=model.source, by=by, facts=model.facts),
        )
        write_meta(draft.folder, model.source, manifest)
        manifest = replace(manifest, files=draft.file_entries())
        draft.publish(manifest)
    return manifest


def _upload(files: Mapping[str, Path], target: Location) -> None:
    """Copy the files into the version, from a folder in which they have their paths."""
    with tempfile.TemporaryDirectory(prefix="mlsql-import-") as name:
        folder = Path(name)
        for path, place in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            link_or_copy(str(place), folder / path)
        target.upload(folder)
