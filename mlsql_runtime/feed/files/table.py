"""A table as files in a local folder, as the script's input describes it. Standard library only."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, kw_only=True)
class TableFiles:
    """``rows`` is what Spark wrote, and so what a reader must find; ``schema`` is Arrow's IPC schema message in base64."""

    tag: ClassVar[str] = "files"
    path: str
    format: str
    options: Mapping[str, str]
    rows: int
    schema: str

    @property
    def local_path(self) -> str:
        """The folder of the table's files."""
        return self.path

    @property
    def kafka_params(self) -> Mapping[str, str]:
        """Nothing: scripts cannot read this table from Kafka."""
        return {}

    def read(self, schema: pa.Schema, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Yield all rows, in a fixed order. Batches have ``columns``, and perhaps others, but none that a file lacks.

        :param schema: of the whole table.
        :raises InputError: for a format that only the script itself can read.
        :raises DataError: when the files do not hold the table, or another number of rows than Spark wrote.
        """
        from mlsql_runtime.feed.files.formats import read_files

        return read_files(self, schema, columns)


def data_files(folder: str) -> list[str]:
    """Return the files that hold rows, in a fixed order; the names of Spark's own begin with ``_`` or ``.``."""
    paths = [os.path.join(where, name) for where, _, names in os.walk(folder) for name in names if name[0] not in "._"]
    return sorted(paths)
