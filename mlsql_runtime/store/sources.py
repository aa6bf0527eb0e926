"""What a version was trained from: the statements that made its tables, and the stored tables that these read."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from mlsql_runtime.errors import FormatError

MAX_SQL = 10_000  # characters of a query that a manifest holds

SourceKind = Literal["load", "select", "predict", "train", "table", "view", "topic"]
SourceUse = Literal["training", "validation"]
Fact = str | int | datetime


@dataclass(frozen=True, kw_only=True)
class SourceFiles:
    """The files of a loaded table: how many, their bytes together, and the newest modification (UTC)."""

    count: int
    size: int
    newest: datetime | None


@dataclass(frozen=True, kw_only=True)
class TableVersion:
    """The version of a Delta table or the snapshot of an Iceberg table that was read.

    :param committed: when it was written (UTC); None if that is not known.
    :param since: the version at the beginning of the job, if it was another: the table was written to while the job ran, and
        rows of every version from that one to this one may have been read.
    """

    id: str
    committed: datetime | None = None
    since: str | None = None


@dataclass(frozen=True, kw_only=True)
class Source:
    """A table that a version depends on.

    :param table: the name: of a table of the job, of a catalog's table or view, or of a topic.
    :param kind: ``load``, ``select``, ``predict`` and ``train`` are the statements that make tables of a job; ``table`` and
        ``view`` are what queries read from a catalog, or by a path in the query; ``topic`` is a Kafka topic that was reused.
    :param used_for: whether the training rows depend on it, or those of the validation table, or both.
    :param path: of the data; for ``predict`` and ``train`` of the model, for a topic the brokers.
    :param options: of Spark's reader, without secrets.
    :param sql: the query, or the definition of a view; longer ones are cut.
    :param content: SHA-256 of data that the statement holds itself, in hex.
    :param files: None if it has no files, or if counting them would have meant to list them again.
    :param version: None for tables without versions.
    :param offsets: of a topic: for each partition the first offset and the one after the last.
    """

    table: str
    kind: SourceKind
    used_for: tuple[SourceUse, ...] = ("training",)
    format: str | None = None
    path: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    sql: str | None = None
    content: str | None = None
    files: SourceFiles | None = None
    version: TableVersion | None = None
    offsets: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if any(len(span) != 2 for span in self.offsets.values()):
            raise FormatError("offsets: expected two for each partition, the first and the one after the last")

    @property
    def facts(self) -> Mapping[str, Fact]:
        """All that is known, by names for people, in the order in which to show it."""
        return dict(self._list_facts())

    @property
    def data_facts(self) -> Mapping[str, Fact]:
        """Those of the facts that change when the stored data change."""
        return {name: value for name, value in self.facts.items() if name in _DATA_FACTS}

    def _list_facts(self) -> Iterator[tuple[str, Fact]]:
        for name in ("format", "path"):
            if (value := getattr(self, name)) is not None:
                yield name, value
        for name, value in sorted(self.options.items()):
            yield f"option {name}", value
        if self.sql is not None:
            yield "sql", self.sql
        if self.content is not None:
            yield "SHA-256", self.content
        if self.version is not None:
            yield "version", self.version.id
            if self.version.since is not None:
                yield "version when the job began", self.version.since
            if self.version.committed is not None:
                yield "version written", self.version.committed
        if self.files is not None:
            yield "files", self.files.count
            yield "bytes", self.files.size
            if self.files.newest is not None:
                yield "newest file", self.files.newest
        if self.offsets:
            yield "offsets", ", ".join(f"{number}: {start} to {end}" for number, (start, end) in sorted(self.offsets.items()))
        if self.used_for != ("training",):
            yield "used for", " and ".join(self.used_for)


_DATA_FACTS = frozenset(("SHA-256", "version", "files", "bytes", "newest file", "offsets"))


def shorten_sql(sql: str) -> str:
    """Return a query as a manifest holds it: a longer one is cut, with a digest of all of it."""
    if len(sql) <= MAX_SQL:
        return sql
    digest = hashlib.sha256(sql.encode()).hexdigest()
    return f"{sql[:MAX_SQL]}… (cut; {len(sql)} characters, SHA-256 {digest})"
