"""How a training table reaches the scripts of the fit groups: through files or a topic, behind one interface.

A stored table of Parquet files needs no feed: it is prepared by :mod:`mlsql_runtime.training.originals`.

::

    driver      Feed.prepare(table)   -> PreparedTable    written to files, or sent to a topic
    executor    PreparedTable.open()  -> ScriptTable      what the script's input says of the table
    script      ScriptTable.read()    -> Arrow batches
    driver      Feed.remove()                             what only this run needed

Standard library only: the packages that scripts import read it in the interpreter that the user chose.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeAlias

from mlsql_runtime.feed.files.table import TableFiles
from mlsql_runtime.feed.originals.table import TableOriginals
from mlsql_runtime.feed.topic.table import TableTopic

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from mlsql_runtime.feed.table_facts import ColumnRoles, TableFacts, TableIdentity


#: A table in files of this machine, as its script's input describes it.
LocalTable: TypeAlias = TableFiles | TableOriginals
#: A table as its script's input describes it. All kinds have ``rows``, ``schema``, ``local_path``, ``file_writer``,
#: ``kafka_params`` and ``read``.
ScriptTable: TypeAlias = LocalTable | TableTopic


class PreparedTable(Protocol):
    """A table that fit groups can read, as it travels inside Spark's tasks."""

    @property
    def facts(self) -> TableFacts: ...

    @property
    def identity(self) -> TableIdentity:
        """What this attempt notes of the table, so that a later one can restore or recognize it."""

    @property
    def offsets(self) -> Mapping[str, tuple[int, ...]]:
        """The first offset of each partition of a topic, and the one after the last; empty for files."""

    def describe(self) -> str:
        """Return how the table reaches scripts, for the task log: ``as parquet files``."""

    def open(self, folder: Path, is_kept: bool, private: Path, alg_index: int) -> ScriptTable:
        """Make the table readable on this node, for one fit group.

        :param folder: for the files of the table; scripts know it as ``tempDataLocalPath``.
        :param is_kept: whether ``folder`` may outlive the prepared table.
        :param private: for files with secrets; it is always removed after the script.
        """

    def check_unchanged(self) -> None:
        """Check that groups have read what was prepared, if others can change it.

        :raises IntegrityError: when they have not.
        """


class PreparedFiles(PreparedTable, Protocol):
    """A prepared table in files."""

    def open(self, folder: Path, is_kept: bool, private: Path, alg_index: int) -> LocalTable: ...


class Feed(Protocol):
    """A way for tables to reach scripts. :meth:`remove` is called once, whatever happened before."""

    def restore(self, identity: TableIdentity) -> PreparedTable | None:
        """Return the table of an earlier attempt; None when it has to be prepared again."""

    def prepare(self, table: DataFrame | None, roles: ColumnRoles) -> PreparedTable:
        """Write or send ``table`` in one Spark job; None stands for the table that is there already.

        :param roles: the columns whose vectors are measured and whose labels are counted. For the table that is there already,
            its columns are found by these names, if it has them.
        :raises DataError: when the table cannot be brought there, or vectors differ in width.
        """

    def remove(self) -> None:
        """Remove what only this run needed."""
