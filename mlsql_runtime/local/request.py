"""What is to be trained, and what came of it. Standard library only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mlsql_runtime.local.data_source import DataSource
from mlsql_runtime.plan import Train
from mlsql_runtime.result import FitStatus
from mlsql_runtime.storage.location import Location

TABLE, VALIDATION = "data", "validate"  # the names of the tables in the statement


@dataclass(frozen=True, kw_only=True)
class FitRequest:
    """``statement`` says what a job would do; its model path is not used. ``model_dir`` None: the model is not kept."""

    statement: Train
    data: DataSource
    validate: DataSource | None
    model_dir: Location | None
    use_spark: bool


@dataclass(frozen=True, kw_only=True)
class ModelFile:
    """Path relative to the model's folder, size in bytes."""

    path: str
    size: int


@dataclass(frozen=True, kw_only=True)
class Seconds:
    """``data``: read and written for the script; ``script``: the child process; ``total``: from the request on."""

    data: float
    script: float
    total: float


@dataclass(frozen=True, kw_only=True)
class FitReport:
    """How it went. ``message`` and ``tail`` are what a job would say of the group; ``folder`` is the one that was kept."""

    status: FitStatus
    score: float | None
    metrics: Mapping[str, float | None]
    message: str | None
    rows: int
    validate_rows: int
    files: tuple[ModelFile, ...]
    model_dir: str | None
    folder: str | None
    seconds: Seconds
    tail: tuple[str, ...]
