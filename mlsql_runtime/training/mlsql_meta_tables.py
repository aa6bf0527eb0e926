"""The two tables that MLSQL keeps with every version, for reading with Spark: ``meta/0`` and ``meta/1``.

Columns, types and words are MLSQL's: ``status`` is ``success`` or ``fail``, also after a timeout, which ``message`` names.
Times are milliseconds since 1970.
"""

from __future__ import annotations

import io
import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

from mlsql_runtime.storage.location import Location
from mlsql_runtime.store import layout
from mlsql_runtime.store.manifest import FitRecord, Manifest

if TYPE_CHECKING:
    import pyarrow as pa


def write_meta(version: Location, script_path: str, manifest: Manifest) -> None:
    """Write ``meta/0``, one row per group, and ``meta/1``, the options of the training."""
    import pyarrow as pa

    write_parquet(groups_table(script_path, version, manifest.fits), version / "meta/0/part-0.parquet")
    texts = pa.map_(pa.string(), pa.string())
    parameters = pa.schema({"systemParam": texts, "trainParams": texts})
    row = {"systemParam": list(manifest.parameters.items()), "trainParams": list(manifest.train_options.items())}
    write_parquet(pa.Table.from_pylist([row], schema=parameters), version / "meta/1/part-0.parquet")


def groups_table(script_path: str, version: Location, fits: tuple[FitRecord, ...]) -> pa.Table:
    """Return one row per group, as MLSQL has it."""
    import pyarrow as pa

    text, instant = pa.string(), pa.int64()
    texts, metric = pa.map_(text, text), pa.struct({"name": text, "value": pa.float64()})
    groups = pa.schema(
        {
            "modelPath": text,
            "algIndex": pa.int32(),
            "alg": text,
            "score": pa.float64(),
            "metrics": pa.list_(metric),
            "status": text,
            "message": text,
            "startTime": instant,
            "endTime": instant,
            "trainParams": texts,
            "execDesc": text,
        }
    )
    rows: list[dict[str, Any]] = [
        {
            "modelPath": (version / layout.model_dir(fit.alg_index)).uri,
            "algIndex": fit.alg_index,
            "alg": script_path,
            "score": fit.score,
            "metrics": [{"name": name, "value": value} for name, value in fit.metrics.items()],
            "status": "success" if fit.status == "success" else "fail",
            "message": fit.message,
            "startTime": _to_milliseconds(fit.started),
            "endTime": _to_milliseconds(fit.ended),
            "trainParams": list(fit.params.items()),
            "execDesc": json.dumps({"log": layout.log_file(fit.alg_index)}),
        }
        for fit in fits
    ]
    return pa.Table.from_pylist(rows, schema=groups)


def _to_milliseconds(instant: datetime) -> int:
    return round(instant.timestamp() * 1000)


def write_parquet(table: pa.Table, place: Location) -> None:
    """Write a small table as one Parquet file."""
    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    place.write(buffer.getvalue())
