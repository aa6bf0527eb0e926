"""Send a Spark table to a topic: one task for each partition of the table, and a manifest of what counts.

Exactly once, without transactions: every record carries its task's attempt, each task that succeeds answers what it
sent, and readers pass over the records of every other attempt. Whatever failed, was repeated or ran twice leaves records
that nobody reads.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from mlsql_runtime import codec
from mlsql_runtime.errors import DataError, IntegrityError, KafkaRefused
from mlsql_runtime.feed.table_facts import TableFacts, TableObservation
from mlsql_runtime.feed.topic import records as messages
from mlsql_runtime.feed.topic.receive import TopicRange
from mlsql_runtime.feed.topic.records import RECORD_BYTES, RecordOrigin
from mlsql_runtime.feed.topic.table import SentPartition, TableTopic
from mlsql_runtime.kafka.client_errors import wrap_errors
from mlsql_runtime.kafka.clients import open_producer
from mlsql_runtime.kafka.settings import KafkaSettings
from mlsql_runtime.spark_errors import errors_for_driver

if TYPE_CHECKING:
    from kafka import KafkaProducer
    from pyspark.sql import DataFrame

FEED_VERSION = 1  # of records, their headers and the manifest: raise it when one of them changes
OVERHEAD = 1024  # of Kafka's own bytes around a record, its headers included, at most
REQUEST_MS = 30_000
BACKOFF_MS = 20  # kafka-python waits that long for what a new connection learns first
IN_FLIGHT = 16  # records of a task that wait for the broker's word
BATCH_BYTES = 1 << 20  # of records that wait, sent together
_ANSWER = pa.schema(
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
    """What the last record of a feed says: every part that counts. It stays in topics that are kept."""

    run: str
    facts: TableFacts
    parts: tuple[SentPartition, ...]
    feed_version: int = FEED_VERSION


@dataclass(frozen=True)
class SendTarget:
    """Where tasks send to. ``max_bytes`` is the largest record that the topic takes."""

    settings: KafkaSettings
    topic: str
    partitions: int
    max_bytes: int
    run: str

    @property
    def record_bytes(self) -> int:
        """How large records are made."""
        return min(RECORD_BYTES, self.max_bytes - OVERHEAD)


@dataclass(frozen=True)
class SentTable:
    """A table in a topic, for the groups to read. ``parts`` is None for JSON records of another producer.

    ``content`` is equal for equal tables, and None when that cannot be told.
    """

    settings: KafkaSettings
    group: str
    span: TopicRange
    parts: tuple[SentPartition, ...] | None
    facts: TableFacts
    content: str | None

    @property
    def staged(self) -> None:
        return None

    def describe(self) -> str:
        return f"through topic {self.span.topic} on {self.settings.servers}"

    def open(self, folder: Path, private: Path, alg_index: int, is_kept: bool) -> TableTopic:
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


def send(df: DataFrame, target: SendTarget, group: str, feature_column: str | None) -> SentTable:
    """Send all rows of ``df`` in one Spark job, then the manifest.

    :raises IntegrityError: when tasks sent other rows than the table has.
    :raises KafkaUnavailable: when the brokers do not answer within ``delivery.timeout.ms``.
    """
    from pyspark.sql.pandas.types import from_arrow_schema

    def task(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        with errors_for_driver():
            yield from send_partition(batches, target)

    _check_names(df.columns)
    watch = TableObservation(df, feature_column, with_content=True)
    plain = watch.table.toDF(*[f"c{number}" for number in range(len(df.columns))])  # mapInArrow takes names for expressions
    with _small_batches(df):
        answers = [answer for answer in plain.mapInArrow(task, from_arrow_schema(_ANSWER)).collect() if answer.records]
    facts = watch.facts()
    sent = sum(answer.rows for answer in answers)
    if sent != facts.rows:
        raise IntegrityError(f"the table has {facts.rows} rows, {sent} were sent to topic {target.topic}; nothing was trained")
    parts = tuple(
        SentPartition(run=target.run, partition=each.partition, attempt=each.attempt, records=each.records, rows=each.rows)
        for each in sorted(answers)
    )
    ends: dict[int, int] = {}
    for answer in answers:
        ends[answer.topic_partition] = max(ends.get(answer.topic_partition, 0), answer.end)
    send_manifest(target, FeedManifest(target.run, facts, parts))
    return SentTable(
        target.settings, group, TopicRange(target.topic, dict.fromkeys(ends, 0), ends), parts, facts, watch.content()
    )


def send_partition(batches: Iterable[pa.RecordBatch], target: SendTarget) -> Iterator[pa.RecordBatch]:
    """On an executor: send one partition's batches; yields one row of facts (``_ANSWER``)."""
    from pyspark import TaskContext

    context = TaskContext.get()
    assert context is not None
    partition, attempt = context.partitionId(), context.taskAttemptId()
    topic_partition = partition % target.partitions
    records = rows = end = 0
    for offset, stamp in deliver(batches, target, partition, attempt, topic_partition):
        records, rows, end = records + 1, rows + stamp.rows, max(end, offset + 1)
    values = (partition, attempt, records, rows, topic_partition, end)
    yield pa.RecordBatch.from_arrays([pa.array([v], f.type) for v, f in zip(values, _ANSWER, strict=True)], schema=_ANSWER)


def deliver(
    batches: Iterable[pa.RecordBatch], target: SendTarget, partition: int, attempt: int, topic_partition: int
) -> Iterator[tuple[int, RecordOrigin]]:
    """Send one partition's batches, and yield (offset, stamp) of each record once the broker has it.

    :raises KafkaRefused: for a row that is larger than the topic takes.
    """
    encoded = (message for batch in batches for message in messages.encode(batch, target.record_bytes))
    first = next(encoded, None)
    if first is None:
        return  # an empty partition asks no broker
    under_way: deque[tuple[Future[Any], RecordOrigin]] = deque()
    settings = target.settings
    with _producer(target) as producer, wrap_errors(settings, f"send to topic {target.topic}"):
        for sequence, (content, rows) in enumerate(chain([first], encoded)):
            if len(content) > target.max_bytes - OVERHEAD:
                raise KafkaRefused(
                    f"a row of the table takes {len(content)} bytes, topic {target.topic} on {settings.servers} takes at most "
                    f"{target.max_bytes}; raise topic.max.message.bytes (kafka_config), select fewer columns, or use files"
                )
            stamp = RecordOrigin(target.run, partition, attempt, sequence, rows)
            future = producer.send(target.topic, content, partition=topic_partition, headers=stamp.headers())
            under_way.append((future, stamp))
            if len(under_way) >= IN_FLIGHT:
                yield _wait(under_way, settings)
        while under_way:
            yield _wait(under_way, settings)


def send_manifest(target: SendTarget, manifest: FeedManifest) -> None:
    """End the feed: say which of its records count."""
    content = codec.dumps(manifest).encode()
    with _producer(target) as producer, wrap_errors(target.settings, f"send the manifest to topic {target.topic}"):
        future = producer.send(target.topic, content, partition=0, headers=messages.manifest_headers())
        future.get(timeout=target.settings.stall_seconds + 5)


def _producer(target: SendTarget) -> AbstractContextManager[KafkaProducer]:
    """One patience for all that can take time; whatever the settings say of batches."""
    patience = int(target.settings.stall_seconds * 1000)
    ours = {"request_timeout_ms": min(REQUEST_MS, patience), "retry_backoff_ms": BACKOFF_MS}
    request = {name: value for name, value in ours.items() if name not in target.settings.values}
    return open_producer(
        target.settings,
        acks="all",
        enable_idempotence=False,  # readers drop what is sent twice, and old brokers want a permission more for it
        batch_size=min(BATCH_BYTES, target.max_bytes - OVERHEAD),
        max_request_size=target.max_bytes + OVERHEAD,
        delivery_timeout_ms=patience,
        max_block_ms=patience,
        **request,
    )


def _wait(under_way: deque[tuple[Any, RecordOrigin]], settings: KafkaSettings) -> tuple[int, RecordOrigin]:
    future, stamp = under_way.popleft()
    return future.get(timeout=settings.stall_seconds + 5).offset, stamp


def _check_names(columns: Sequence[str]) -> None:
    """Files refuse this too."""
    names = [name.lower() for name in columns]
    for name in columns:
        if names.count(name.lower()) > 1:
            raise DataError(f"the table has more than one column '{name}'; give them different names in SQL", column=name)


@contextmanager
def _small_batches(df: DataFrame) -> Iterator[None]:
    """Have Spark hand over batches of about one record's size in the job that runs inside."""
    option, conf = "spark.sql.execution.arrow.maxBytesPerBatch", df.sparkSession.conf
    before = conf.get(option) or ""
    conf.set(option, str(RECORD_BYTES - (32 << 10)))
    try:
        yield
    finally:
        conf.set(option, before)
