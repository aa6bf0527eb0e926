"""The two tables that MLSQL keeps with every version, for reading with Spark: ``meta/0`` and ``meta/1``."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

from mlsql_runtime.plan import Train
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store import layout
from mlsql_runtime.store.manifest import FitRecord

if TYPE_CHECKING:
    import pyarrow as pa


def write_meta(version: Location, statement: Train, fits: tuple[FitRecord, ...]) -> None:
    """Write ``meta/0``, one row per group, and ``meta/1``, the parameters of system and groups."""
    import pyarrow as pa

    write_parquet(groups_table(statement.script_path, fits), version / "meta/0/part-0.parquet")
    texts = pa.map_(pa.string(), pa.string())
    parameters = pa.schema({"systemParam": texts, "trainParams": texts})
    train = {f"fitParam.{fit.alg_index}.{key}": value for fit in fits for key, value in fit.params.items()}
    row = {"systemParam": list(statement.python.system_params.items()), "trainParams": list(train.items())}
    write_parquet(pa.Table.from_pylist([row], schema=parameters), version / "meta/1/part-0.parquet")


def groups_table(script_path: str, fits: tuple[FitRecord, ...]) -> pa.Table:
    """Return one row per group, with MLSQL's column names."""
    import pyarrow as pa

    text = pa.string()
    instant, texts = pa.timestamp("us", "UTC"), pa.map_(text, text)
    groups = pa.schema(
        {
            "modelPath": text,
            "algIndex": pa.int32(),
            "alg": text,
            "score": pa.float64(),
            "metrics": pa.map_(text, pa.float64()),
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
            "modelPath": layout.model_dir(fit.alg_index),
            "algIndex": fit.alg_index,
            "alg": script_path,
            "score": fit.score,
            "metrics": list(fit.metrics.items()),
            "status": fit.status,
            "message": fit.message,
            "startTime": fit.started,
            "endTime": fit.ended,
            "trainParams": list(fit.params.items()),
            "execDesc": json.dumps({"log": layout.log_file(fit.alg_index)}),
        }
        for fit in fits
    ]
    return pa.Table.from_pylist(rows, schema=groups)


def write_parquet(table: pa.Table, place: Location) -> None:
    """Write a small table as one Parquet file."""
    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    place.write(buffer.getvalue())
