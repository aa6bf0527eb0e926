"""Versions to export, the functions that use them, and their predictions in SQL's terms."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from mlsql_runtime import engine
from mlsql_runtime.exchange.exported_function import choose_model, find_function
from mlsql_runtime.feed.decoding.vectors import SPARK_VECTOR_TYPE
from mlsql_runtime.plan import Plan, Register
from mlsql_runtime.result import RegisterResult
from mlsql_runtime.scoring.function_loader import load_function
from mlsql_runtime.scoring.results import to_array
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store.functions import read_function, set_current, write_package
from support.models import publish_model

RANDOM = np.random.default_rng(7)
X = RANDOM.normal(size=(60, 4))
Y = (X[:, 0] + X[:, 1] > 0).astype(np.float64)
VECTORS = pa.table({"features": to_array(X, SPARK_VECTOR_TYPE, len(X))})
COLUMNS = pa.table(
    {
        "age": pa.array(RANDOM.integers(18, 80, 60), pa.int64()),
        "income": pa.array(RANDOM.normal(size=60)),
        "city": pa.array([["Rome", "Paris", "Oslo"][at % 3] for at in range(60)]),
    }
)
BUILTIN = "builtin:sklearn"


@functools.cache
def classifier() -> Any:
    """Return a model of scikit-learn that has learned from the vectors; workers that only collect tests do not import it."""
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression().fit(X, Y)


def publish_files(folder: Path, table: pa.Table, files: Mapping[str, bytes | Path]) -> str:
    """Publish a version whose model is these files, and return its model path."""
    from mlsql_runtime.store.publish import claim_version
    from mlsql_runtime.store.versions import read_manifest

    path = publish_model(folder, None, table)
    root = Location.of(path)
    manifest = read_manifest(root)
    with claim_version(root, "job") as draft:
        (draft.folder / "meta/samples.parquet").copy_from(root / "_model_1/meta/samples.parquet")
        for name, content in files.items():
            (draft.folder / "model/0" / name).write(content if isinstance(content, bytes) else content.read_bytes())
        draft.publish(replace(manifest, version=draft.version, files=draft.file_entries()))
    shutil.rmtree(folder / "_model_1")
    return path


def register(path: str, function: str = "jack", script_path: str | None = None, **fields: Any) -> RegisterResult:
    """Register a function of the newest version, without Spark; raise the error of the job."""
    statement = Register(model_path=path, function=function, script_path=script_path, **fields)
    result = engine.run(Plan(job_id="job", statements=(statement,)), None)
    result.raise_for_error()
    [step] = result.steps
    assert isinstance(step, RegisterResult)
    return step


def package(path: str, script_path: str, function: str = "jack") -> None:
    """Make the function of a script, and point the name to it, without the trial of a registration."""
    root = Location.of(path)
    made, pickled, _ = find_function(choose_model(path, None, None), None, script_path)
    record = write_package(
        root, function, pickled, lambda number, file: replace(made, function=function, function_version=number, pickle=file)
    )
    set_current(root, record)


def score(path: str, table: pa.Table, function: str = "jack") -> list[Any]:
    """Return what the function returns in SQL for the rows of a table, called by name."""
    arrays = [table.column(name).combine_chunks() for name in table.column_names]
    loaded = load_function(read_function(Location.of(path), function))
    is_matrix = table.column_names == ["features"]
    predicted = loaded.score(0, arrays[0] if is_matrix else pa.StructArray.from_arrays(arrays, table.column_names))
    rows: list[Any] = predicted.to_pylist()
    return [row["values"] if isinstance(row, dict) and "values" in row else row for row in rows]
