"""A stored table as the Parquet files that it is made of, as the script's input describes it. Standard library only."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from mlsql_runtime import codec
from mlsql_runtime.store.signature import Class

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, kw_only=True)
class OriginalFile:
    """A file of the table. ``path`` is local; of a remote file, it is the name of its copy in the folder of copies.

    ``size`` and ``written`` are those of :class:`~mlsql_runtime.storage.location.FileState`. ``layout`` is the index of its
    columns in the list's layouts. ``constants`` are the values of columns that its folder names, by the places of the columns.
    """

    uri: str
    path: str
    size: int
    written: str
    rows: int
    layout: int
    constants: Mapping[str, str | int | None]


@dataclass(frozen=True, kw_only=True)
class FileList:
    """The files of a table, in the order of its rows.

    A layout has, for each column of the table, the name of that column in a file, or None for a column that the file lacks.
    """

    layouts: tuple[tuple[str | None, ...], ...]
    files: tuple[OriginalFile, ...]


@dataclass(frozen=True, kw_only=True)
class Strata:
    """The last draw of each class that is held out, -1 for a class of which no row is. ``label`` is the place of their column."""

    label: int
    classes: tuple[Class, ...]
    lasts: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class RowPart:
    """A part of a table's rows: those that are held out, or all others. Which ones follows from ``fraction`` and their numbers.

    With ``strata`` they follow from these, the numbers and the labels. A table of which no rows are held out has the fraction 0.
    """

    fraction: float = 0.0
    is_held_out: bool = False
    strata: Strata | None = None

    @property
    def is_whole(self) -> bool:
        """Whether all rows of the table are in the part."""
        return self.fraction == 0


@dataclass(frozen=True, kw_only=True)
class TableOriginals:
    """``list_file`` is a local copy of the :class:`FileList`, ``copies`` the folder of the copies of remote files.

    ``rows`` is the number of rows of ``part``, and so how many a reader must find. ``schema``, ``json_path`` and ``shared_as``
    are as in :class:`~mlsql_runtime.feed.files.table.TableFiles`; ``json_path`` is None for rows to validate with.
    """

    tag: ClassVar[str] = "originals"
    list_file: str
    copies: str
    part: RowPart
    rows: int
    schema: str
    json_path: str | None = None
    shared_as: str | None = None

    @property
    def path(self) -> str:
        """The file that lists the table's files, for messages."""
        return self.list_file

    @property
    def local_path(self) -> str | None:
        """The folder that scripts know as ``tempDataLocalPath``."""
        return self.json_path

    @property
    def file_writer(self) -> Callable[[Callable[[], bool]], None] | None:
        """A function that writes the JSON files of ``local_path``, as that of ``TableFiles`` does."""
        if self.json_path is None:
            return None
        from mlsql_runtime.feed.files.node_copy import bring_json_files

        return lambda is_cancelled: bring_json_files(self, is_cancelled)

    @property
    def kafka_params(self) -> Mapping[str, str]:
        """Nothing: scripts cannot read this table from Kafka."""
        return {}

    def find_path(self, file: OriginalFile) -> str:
        """Return where a file is on this machine."""
        return str(Path(self.copies, file.path))

    def read_list(self) -> FileList:
        """Return the list of the files.

        :raises FormatError: when the list is damaged.
        """
        return codec.loads(FileList, Path(self.list_file).read_bytes(), self.list_file)

    def read(self, schema: pa.Schema, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Yield all rows, in a fixed order. Batches have ``columns``, of the types of the files, and no others.

        :param schema: of the whole table.
        :raises DataError: when the files are damaged, or hold another number of rows than they did.
        """
        from mlsql_runtime.feed.originals.read import read_originals

        return read_originals(self, schema, columns)

    def read_parts(self, schema: pa.Schema) -> Iterator[Iterator[pa.RecordBatch]]:
        """Yield the rows of each file, with all columns."""
        from mlsql_runtime.feed.originals.read import read_each_file

        return read_each_file(self, schema, schema.names)
