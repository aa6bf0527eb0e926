"""A table as files in a local folder, as the script's input describes it. Standard library only."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, kw_only=True)
class TableFiles:
    """``rows`` is how many rows Spark wrote, and so how many a reader must find. ``schema`` is Arrow's IPC schema message in
    base64. ``json_path`` is the folder of JSON files that is written when the script asks for ``tempDataLocalPath``; None when
    that is ``path`` itself, because the statement names a format. ``shared_as`` names the table for all groups of a node, which
    then share their JSON files.
    """

    tag: ClassVar[str] = "files"
    path: str
    format: str
    options: Mapping[str, str]
    rows: int
    schema: str
    json_path: str | None = None
    shared_as: str | None = None

    @property
    def local_path(self) -> str:
        """The folder that scripts know as ``tempDataLocalPath``."""
        return self.json_path or self.path

    @property
    def file_writer(self) -> Callable[[Callable[[], bool]], None] | None:
        """:meth:`write_local_files`; None when the files exist already."""
        return None if self.json_path is None else self.write_local_files

    def write_local_files(self, is_cancelled: Callable[[], bool]) -> None:
        """Write the JSON files of ``local_path``, until ``is_cancelled()`` is true.

        :raises DataError: when they cannot be written.
        """
        from mlsql_runtime.feed.files.node_copy import bring_json_files

        bring_json_files(self, is_cancelled)

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

    def read_parts(self, schema: pa.Schema) -> Iterator[Iterator[pa.RecordBatch]]:
        """Yield the rows of each file, which must be a Parquet file, with all columns."""
        from mlsql_runtime.feed.files.formats import read_parquet

        return (read_parquet(path, schema.names) for path in data_files(self.path))


def data_files(folder: str) -> list[str]:
    """Return the files that hold rows, in a fixed order; the names of Spark's own begin with ``_`` or ``.``."""
    paths = [os.path.join(where, name) for where, _, names in os.walk(folder) for name in names if name[0] not in "._"]
    return sorted(paths)
