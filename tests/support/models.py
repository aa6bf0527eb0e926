"""Versions of models that were fitted in the test, published as a training on a table with columns publishes them."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mlsql_runtime.feed.decoding.sql_types import name_type
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store import layout
from mlsql_runtime.store.manifest import DataFacts
from mlsql_runtime.store.publish import claim_version
from mlsql_runtime.store.signature import Column, Signature
from support.stores import make_fit_record, make_manifest

SAMPLE_ROWS = 5


def publish_model(
    folder: Path, model: Any, table: pa.Table, label: str | None = None, has_samples: bool = True, has_signature: bool = True
) -> str:
    """Publish a version with one fit group, trained on all columns of ``table`` but the label, and return its model path."""
    root = Location.of(str(folder))
    columns = [Column(name=field.name, type=name_type(field.type)) for field in table.schema]
    features = tuple(column for column in columns if column.name != label)
    signature = Signature(features=features, label=next((column for column in columns if column.name == label), None))
    with claim_version(root, "job") as draft:
        (draft.folder / "model/0/model.pickle").write(pickle.dumps(model))
        if has_samples:
            file = io.BytesIO()
            pq.write_table(table.slice(0, SAMPLE_ROWS), file)
            (draft.folder / layout.SAMPLES).write(file.getvalue())
        manifest = make_manifest(
            draft.version,
            [make_fit_record(0, 0.9)],
            data=DataFacts(
                rows=table.num_rows,
                validate_rows=0,
                columns={column.name: column.type for column in columns},
                feature_column=features[0].name if len(features) == 1 else None,
                feature_width=None,
            ),
            files=draft.file_entries(),
            signature=signature if has_signature else None,
        )
        draft.publish(manifest)
    return str(folder)
