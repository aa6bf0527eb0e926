"""A table as records of a Kafka topic, as the script's input describes it. Standard library only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, kw_only=True)
class SentPartition:
    """The records that one Spark task sent. ``attempt`` is the only one of its partition that counts."""

    run: str
    partition: int
    attempt: int
    records: int
    rows: int


@dataclass(frozen=True, kw_only=True)
class TableTopic:
    """The records of ``topic`` from ``starts`` up to, but without, ``ends`` (offsets by partition number, as text).

    ``parts`` is the feed's manifest, and None for JSON records of another producer. ``rows`` is the number of rows in all;
    ``schema`` is Arrow's IPC schema message in base64. ``settings`` is a file with the client's settings; the committed offsets
    of ``group`` show how far the reader is.
    """

    tag: ClassVar[str] = "topic"
    topic: str
    starts: Mapping[str, int]
    ends: Mapping[str, int]
    parts: tuple[SentPartition, ...] | None
    rows: int
    schema: str
    servers: str
    group: str
    settings: str

    @property
    def local_path(self) -> None:
        """Nothing: the table has no files."""
        return None

    @property
    def file_writer(self) -> None:
        return None

    @property
    def kafka_params(self) -> Mapping[str, str]:
        """Servers, topic and group, for scripts that read Kafka themselves."""
        return {"bootstrap.servers": self.servers, "topic": self.topic, "group_id": self.group}

    def read(self, schema: pa.Schema, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Yield all rows, in a fixed order, with ``columns``.

        :param schema: of the whole table.
        :raises IntegrityError: when the topic does not hold the records that were sent.
        :raises KafkaUnavailable: when nothing arrives for ``delivery.timeout.ms``.
        """
        from mlsql_runtime.feed.topic.receive import read_topic

        return read_topic(self, schema, columns)
