"""Send a Spark table to a topic: one task for each partition of the table, and a manifest of what counts.

Rows arrive exactly once, without transactions: every record carries its task's attempt, each task that succeeds reports what it
sent, and readers skip the records of all other attempts. Tasks that failed or ran twice leave records that no reader uses.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from mlsql_runtime import codec
from mlsql_runtime.errors import DataError, IntegrityError, KafkaRefused
from mlsql_runtime.feed.table_facts import ColumnRoles, TableFacts, TableIdentity, TableObservation
from mlsql_runtime.feed.topic import records as messages
from mlsql_runtime.feed.topic.receive import TopicRange
from mlsql_runtime.feed.topic.records import RECORD_BYTES, RecordOrigin
from mlsql_runtime.feed.topic.table import SentPartition, TableTopic
from mlsql_runtime.kafka.client_errors import wrap_errors
from mlsql_runtime.kafka.clients import open_producer
from mlsql_runtime.kafka.settings import KafkaSettings
from mlsql_runtime.kafka.topics import notice_deletion
from mlsql_runtime.spark_errors import errors_for_driver

if TYPE_CHECKING:
    from kafka import KafkaProducer
    from pyspark.sql import DataFrame

FEED_VERSION = 1  # of records, their headers and the manifest: raise it when one of them changes
OVERHEAD = 1024  # of Kafka's own bytes around a record, its headers included, at most
REQUEST_MS = 30_000
BACKOFF_MS = 20  # kafka-python waits that long for what a new connection learns first
IN_FLIGHT = 16  # records of a task that wait for the broker's acknowledgement
BATCH_BYTES = 1 << 20  # of waiting records that are sent together
_REPORT = pa.schema(
    [
        ("partition", pa.int32()),
        ("attempt", pa.int64()),
        ("records", pa.int32()),
        ("rows", pa.int64()),
        ("topic_partition", pa.int32()),
        ("end", pa.int64()),
    ]
)


@dataclass(frozen=True)
class FeedManifest:
    """The content of a feed's last record: the parts that count. It stays in topics that are kept."""

    run: str
    facts: TableFacts
    parts: tuple[SentPartition, ...]
    feed_version: int = FEED_VERSION


@dataclass(frozen=True)
class SendTarget:
    """The topic that tasks send to. ``max_bytes`` is the size of the largest record that it accepts."""

    settings: KafkaSettings
    topic: str
    partitions: int
    max_bytes: int
    run: str

    @property
    def record_bytes(self) -> int:
        """The size that records are filled up to."""
        return min(RECORD_BYTES, self.max_bytes - OVERHEAD)


@dataclass(frozen=True)
class SentTable:
    """A table in a topic, for the groups to read. ``parts`` is None for JSON records of another producer.

    ``content`` is that of its :class:`TableIdentity`.
    """

    settings: KafkaSettings
    group: str
    span: TopicRange
    parts: tuple[SentPartition, ...] | None
    facts: TableFacts
    content: str | None

    @property
    def identity(self) -> TableIdentity:
        return TableIdentity(facts=self.facts, content=self.content)

    @property
    def offsets(self) -> Mapping[str, tuple[int, ...]]:
        return {str(number): (start, self.span.ends[number]) for number, start in self.span.starts.items()}

    def describe(self) -> str:
        return f"through topic {self.span.topic} on {self.settings.servers}"

    def open(self, folder: Path, is_kept: bool, private: Path, alg_index: int) -> TableTopic:
        file = private / "settings.json"
        file.touch(mode=0o600)
        file.write_text(codec.dumps(self.settings), encoding="utf-8")
        return TableTopic(
            topic=self.span.topic,
            starts={str(number): offset for number, offset in self.span.starts.items()},
            ends={str(number): offset for number, offset in self.span.ends.items()},
            parts=self.parts,
            rows=self.facts.rows,
            schema=self.facts.schema,
            servers=self.settings.servers,
            group=f"{self.group}_{alg_index}",
            settings=str(file),
        )

    def check_unchanged(self) -> None:
        """Check nothing: readers compare what they receive with what was sent."""


def send(df: DataFrame, target: SendTarget, group: str, roles: ColumnRoles) -> SentTable:
    """Send all rows of ``df`` in one Spark job, then the manifest.

    :raises IntegrityError: when tasks sent other rows than the table has.
    :raises KafkaUnavailable: when the brokers do not answer within ``delivery.timeout.ms``.
    """
    from pyspark.sql.pandas.types import from_arrow_schema

    _check_names(df.columns)
    observation = TableObservation(df, roles, with_content=True)
    plain = observation.table.toDF(*[f"c{number}" for number in range(len(df.columns))])  # mapInArrow reads names as expressions
    with _small_batches(df):
        sending = plain.mapInArrow(lambda batches: send_partition(batches, target), from_arrow_schema(_REPORT))
        reports = [report for report in sending.collect() if report.records]
    facts = observation.facts()
    sent = sum(report.rows for report in reports)
    if sent != facts.rows:
        raise IntegrityError(f"the table has {facts.rows} rows, {sent} were sent to topic {target.topic}; nothing was trained")
    parts = tuple(
        SentPartition(run=target.run, partition=each.partition, attempt=each.attempt, records=each.records, rows=each.rows)
        for each in sorted(reports)
    )
    ends: dict[int, int] = {}
    for report in reports:
        ends[report.topic_partition] = max(ends.get(report.topic_partition, 0), report.end)
    send_manifest(target, FeedManifest(target.run, facts, parts))
    return SentTable(
        target.settings, group, TopicRange(target.topic, dict.fromkeys(ends, 0), ends), parts, facts, observation.content()
    )


def send_partition(batches: Iterable[pa.RecordBatch], target: SendTarget) -> Iterator[pa.RecordBatch]:
    """Send one partition's batches, on an executor, and yield one row of ``_REPORT``."""
    from pyspark import TaskContext

    context = TaskContext.get()
    assert context is not None
    partition, attempt = context.partitionId(), context.taskAttemptId()
    topic_partition = partition % target.partitions
    records = rows = end = 0
    with errors_for_driver():
        for offset, origin in deliver(batches, target, partition, attempt, topic_partition):
            records, rows, end = records + 1, rows + origin.rows, max(end, offset + 1)
    values = (partition, attempt, records, rows, topic_partition, end)
    yield pa.RecordBatch.from_arrays([pa.array([v], f.type) for v, f in zip(values, _REPORT, strict=True)], schema=_REPORT)


def deliver(
    batches: Iterable[pa.RecordBatch], target: SendTarget, partition: int, attempt: int, topic_partition: int
) -> Iterator[tuple[int, RecordOrigin]]:
    """Send one partition's batches, and yield (offset, origin) of each record once the broker has acknowledged it.

    :raises KafkaRefused: for a row that is larger than the topic accepts.
    """
    encoded = (message for batch in batches for message in messages.encode(batch, target.record_bytes))
    first = next(encoded, None)
    if first is None:
        return  # an empty partition needs no connection
    in_flight: deque[tuple[Future[Any], RecordOrigin]] = deque()
    settings = target.settings
    with _sending(target, "send") as producer:
        for sequence, (content, rows) in enumerate(chain([first], encoded)):
            if len(content) > target.max_bytes - OVERHEAD:
                raise KafkaRefused(
                    f"a row of the table takes {len(content)} bytes, topic {target.topic} on {settings.servers} accepts at most "
                    f"{target.max_bytes}; raise topic.max.message.bytes (kafka_config), select fewer columns, or use files"
                )
            origin = RecordOrigin(target.run, partition, attempt, sequence, rows)
            future = producer.send(target.topic, content, partition=topic_partition, headers=origin.headers())
            in_flight.append((future, origin))
            if len(in_flight) >= IN_FLIGHT:
                yield _wait(in_flight, settings)
        while in_flight:
            yield _wait(in_flight, settings)


def send_manifest(target: SendTarget, manifest: FeedManifest) -> None:
    """Send the last record of the feed, which lists the records that count."""
    content = codec.dumps(manifest).encode()
    with _sending(target, "send the manifest") as producer:
        future = producer.send(target.topic, content, partition=0, headers=messages.manifest_headers())
        future.get(timeout=target.settings.stall_seconds + 5)


@contextmanager
def _sending(target: SendTarget, doing: str) -> Iterator[KafkaProducer]:
    """Open a producer with one time limit, ``stall_seconds``, for everything that can take time; raise its errors as ours."""
    limit_ms = int(target.settings.stall_seconds * 1000)
    ours = {"request_timeout_ms": min(REQUEST_MS, limit_ms), "retry_backoff_ms": BACKOFF_MS}
    request = {name: value for name, value in ours.items() if name not in target.settings.values}
    opened = open_producer(
        target.settings,
        acks="all",
        enable_idempotence=False,  # readers drop what is sent twice, and old brokers require one more permission for it
        batch_size=min(BATCH_BYTES, target.max_bytes - OVERHEAD),
        max_request_size=target.max_bytes + OVERHEAD,
        delivery_timeout_ms=limit_ms,
        max_block_ms=limit_ms,
        **request,
    )
    doing_there = f"{doing} to topic {target.topic}"
    with notice_deletion(target.settings, target.topic), opened as producer, wrap_errors(target.settings, doing_there):
        yield producer


def _wait(in_flight: deque[tuple[Any, RecordOrigin]], settings: KafkaSettings) -> tuple[int, RecordOrigin]:
    future, origin = in_flight.popleft()
    return future.get(timeout=settings.stall_seconds + 5).offset, origin


def _check_names(columns: Sequence[str]) -> None:
    """Refuse names that differ only in case, as Spark's file writers do.

    :raises DataError: for the first such name.
    """
    names = [name.lower() for name in columns]
    for name in columns:
        if names.count(name.lower()) > 1:
            raise DataError(f"the table has more than one column '{name}'; give them different names in SQL", column=name)


@contextmanager
def _small_batches(df: DataFrame) -> Iterator[None]:
    """Let Spark make batches of about one record's size in the job that runs inside the block."""
    option, conf = "spark.sql.execution.arrow.maxBytesPerBatch", df.sparkSession.conf
    before = conf.get(option) or ""
    conf.set(option, str(RECORD_BYTES - (32 << 10)))
    try:
        yield
    finally:
        conf.set(option, before)
