"""The request to ``mlsql fit``, and its report. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlsql_runtime.local.data_source import DataSource
from mlsql_runtime.plan import Train
from mlsql_runtime.storage.location import Location

if TYPE_CHECKING:
    from mlsql_runtime.feed.files.table import TableFiles
    from mlsql_runtime.store.signature import Signature
    from mlsql_runtime.training.group import GroupResult

TABLE, VALIDATION = "data", "validate"  # the names of the tables in the statement


@dataclass(frozen=True, kw_only=True)
class FitRequest:
    """A training to try. ``statement`` is that of a job; its model path is not used.

    ``data_format`` is the format of the script's data files, None for the default. ``model_dir`` is where the model is kept, None
    for nowhere. ``use_spark`` loads the data with a local Spark in any case.
    """

    statement: Train
    data: DataSource
    validate: DataSource | None
    data_format: str | None
    model_dir: Location | None
    use_spark: bool

    def list_spark_needs(self) -> list[str]:
        """Return what of the request only Spark can do."""
        sources = [self.data] if self.validate is None else [self.data, self.validate]
        needs = [source.format for source in sources if source.needs_spark]
        return needs + (["--data-format csv"] if self.data_format == "csv" else [])

    @property
    def loads_with_spark(self) -> bool:
        return self.use_spark or bool(self.list_spark_needs())


@dataclass(frozen=True, kw_only=True)
class LoadedData:
    """The data of a request, as files. ``signature`` and ``columns`` are those of the script's input."""

    table: TableFiles
    validate: TableFiles | None
    signature: Signature | None
    columns: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class ModelFile:
    """A file of the model: its path relative to the model's folder, its size in bytes."""

    path: str
    size: int


@dataclass(frozen=True, kw_only=True)
class Seconds:
    """``data``: reading, and writing for the script; ``script``: the child process; ``total``: the whole request."""

    data: float
    script: float
    total: float


@dataclass(frozen=True, kw_only=True)
class FitReport:
    """The outcome of a request. ``folder`` is the folder of the script's run, if it is kept."""

    result: GroupResult
    rows: int
    validate_rows: int
    files: tuple[ModelFile, ...]
    model_dir: str | None
    folder: str | None
    seconds: Seconds

    def to_document(self) -> dict[str, Any]:
        """Return the report for programs, as docs/how-to/fit.md has it."""
        record = self.result.record
        return {
            "status": record.status,
            "score": record.score,
            "metrics": record.metrics,
            "message": record.message,
            "rows": self.rows,
            "validate_rows": self.validate_rows,
            "files": self.files,
            "model_dir": self.model_dir,
            "folder": self.folder,
            "seconds": self.seconds,
            "tail": () if self.result.is_successful else self.result.tail,
        }
