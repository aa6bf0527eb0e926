"""Read a table's records from its topic as Arrow batches, in the script's process: each row exactly once, or an error."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from mlsql_runtime import codec
from mlsql_runtime.errors import DataError, InputError, IntegrityError, KafkaUnavailable
from mlsql_runtime.feed.decoding.json_lines import read_json_text
from mlsql_runtime.feed.topic import records as messages
from mlsql_runtime.feed.topic.table import SentPartition, TableTopic
from mlsql_runtime.kafka.client_errors import wrap_errors
from mlsql_runtime.kafka.clients import open_consumer
from mlsql_runtime.kafka.settings import KafkaSettings
from mlsql_runtime.kafka.topics import notice_deletion

if TYPE_CHECKING:
    from kafka import KafkaConsumer
    from kafka.consumer.fetcher import ConsumerRecord

FETCH_BYTES = 4 << 20
POLL_MS = 500
BACKOFF_MS = 20  # kafka-python sleeps that long before the first fetch of a partition
COMMIT_SECONDS = 1.0
LAST_COMMIT_MS = 500
JSON_BYTES = 4 << 20
JSON_RECORDS = 1000


@dataclass(frozen=True)
class TopicRange:
    """Records of a topic from ``starts`` up to, but without, ``ends``: offsets by partition number."""

    topic: str
    starts: dict[int, int]
    ends: dict[int, int]


def current_range(settings: KafkaSettings, topic: str) -> TopicRange:
    """Return the range of all records that a topic holds now.

    :raises InputError: when there is no such topic.
    """
    from kafka import TopicPartition

    with open_consumer(settings, isolation_level="read_committed") as consumer, wrap_errors(settings, f"look at topic {topic}"):
        numbers = consumer.partitions_for_topic(topic)
        if not numbers:
            raise InputError(f"there is no topic {topic} on {settings.servers} that this client may read", topic=topic)
        partitions = [TopicPartition(topic, number) for number in numbers]
        starts, ends = consumer.beginning_offsets(partitions), consumer.end_offsets(partitions)
    return TopicRange(topic, {p.partition: starts[p] for p in partitions}, {p.partition: ends[p] for p in partitions})


def read_topic(table: TableTopic, schema: pa.Schema, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Yield all rows of a table, whichever producer sent them.

    :param schema: of the whole table.
    """
    settings = codec.loads(KafkaSettings, Path(table.settings).read_bytes(), table.settings)
    starts, ends = ({int(number): offset for number, offset in each.items()} for each in (table.starts, table.ends))
    span = TopicRange(table.topic, starts, ends)
    if table.parts is None:
        return receive_json(settings, span, table.group, table.rows, schema, columns)
    places = sorted(schema.names.index(name) for name in columns)
    names = [schema.names[place] for place in places]
    return (batch.rename_columns(names) for batch in receive(settings, span, table.group, table.parts, places))


def receive(
    settings: KafkaSettings, span: TopicRange, group: str, parts: Sequence[SentPartition], columns: Sequence[int] | None = None
) -> Iterator[pa.RecordBatch]:
    """Yield all rows of records that :mod:`send` sent: one topic partition after the other, each in the order of its offsets.

    :param columns: the indices of the columns to decode, ascending; None for all.
    :raises IntegrityError: when records or rows of an attempt that counts are missing.
    :raises KafkaUnavailable: when nothing arrives for ``delivery.timeout.ms``.
    """
    return decode_records(records_of(settings, span, group), span.topic, parts, columns)


def decode_records(
    records: Iterator[ConsumerRecord], topic: str, parts: Sequence[SentPartition], columns: Sequence[int] | None = None
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of the records of ``topic`` that :func:`receive` reads."""
    missing = {(part.run, part.partition, part.attempt): (part.records, part.rows) for part in parts}
    seen: set[tuple[str, int, int, int]] = set()
    for record in records:
        origin = messages.read_origin(record.headers)
        if origin is None:
            continue
        sender = (origin.run, origin.partition, origin.attempt)
        key = (*sender, origin.sequence)
        if sender not in missing or key in seen:  # a task failed or ran twice; or a producer has sent the record again
            continue
        seen.add(key)
        batch = _decode(record, columns)
        if batch.num_rows != origin.rows:
            raise IntegrityError(f"{describe_record(record)} holds {batch.num_rows} rows, its header says {origin.rows}")
        left, rows = missing[sender]
        missing[sender] = (left - 1, rows - origin.rows)
        yield batch
    lost = {sender: left for sender, left in missing.items() if left != (0, 0)}
    if lost:
        (_, partition, _), (left, rows) = next(iter(lost.items()))
        raise IntegrityError(
            f"topic {topic} lacks records of {len(lost)} of {len(missing)} partitions "
            f"(of partition {partition}: {left} records, {rows} rows); was the topic deleted, or is its retention too short?"
        )


def _decode(record: ConsumerRecord, columns: Sequence[int] | None) -> pa.RecordBatch:
    try:
        return messages.decode(record.value, columns)
    except (pa.ArrowException, OSError, EOFError, ValueError) as error:
        raise IntegrityError(f"{describe_record(record)} is damaged: {error}") from error


def receive_json(
    settings: KafkaSettings, span: TopicRange, group: str, rows: int, schema: pa.Schema, columns: Sequence[str]
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of another producer's records, one JSON object each; records without a value are skipped.

    :raises IntegrityError: when the number of rows is not ``rows``.
    :raises DataError: for a record that is not a JSON object, or has other types than ``schema``.
    """
    found = 0
    for texts, what in json_texts(records_of(settings, span, group)):
        for batch in read_json_text(b"\n".join(texts), schema, columns, what):
            found += batch.num_rows
            yield batch
    if found != rows:
        raise IntegrityError(f"topic {span.topic} held {rows} rows when the job began and {found} when they were read")


def json_texts(records: Iterator[ConsumerRecord]) -> Iterator[tuple[list[bytes], str]]:
    """Yield the values of records, about ``JSON_BYTES`` at a time, with a description of where they are from.

    :raises DataError: for a value without the braces of a JSON object.
    """
    texts: list[bytes] = []
    size = 0
    first = last = None
    for record in records:
        if record.value is None:
            continue
        text = record.value.strip().replace(b"\n", b" ")
        if text[:1] != b"{" or text[-1:] != b"}":
            shown = text[:40].decode(errors="replace")
            raise DataError(f"{describe_record(record)}: expected a JSON object, got {shown!r}", offset=record.offset)
        first, last = first or record, record
        texts.append(text)
        size += len(text)
        if size >= JSON_BYTES or len(texts) >= JSON_RECORDS:
            yield texts, f"{describe_record(first)} to {last.partition}:{last.offset}"
            texts, size, first = [], 0, None
    if first is not None and last is not None:
        yield texts, f"{describe_record(first)} to {last.partition}:{last.offset}"


def records_of(settings: KafkaSettings, span: TopicRange, group: str | None) -> Iterator[ConsumerRecord]:
    """Yield every record of the range, one topic partition after the other; ``group`` commits how far the reader is."""
    fetch = {"fetch_max_bytes": 2 * FETCH_BYTES, "max_partition_fetch_bytes": FETCH_BYTES} | settings.consumer_arguments()
    if "retry_backoff_ms" not in settings.values:
        fetch["retry_backoff_ms"] = BACKOFF_MS
    with (
        notice_deletion(settings, span.topic),
        open_consumer(settings, group_id=group, isolation_level="read_committed", **fetch) as consumer,
        wrap_errors(settings, f"read topic {span.topic}"),
        _require_records(span.topic),
    ):
        commits = _Commits(consumer) if group is not None else None
        for number, end in sorted(span.ends.items()):
            for records in _polled(consumer, settings, span.topic, number, span.starts[number], end):
                yield from records
                if commits is not None:
                    commits.commit_sometimes()
            if commits is not None:
                commits.commit_end()


def _polled(
    consumer: KafkaConsumer, settings: KafkaSettings, topic: str, number: int, start: int, end: int
) -> Iterator[Sequence[ConsumerRecord]]:
    """Yield one partition's records up to ``end``, poll by poll. Only time without any progress counts as a stall."""
    from kafka import TopicPartition
    from kafka.errors import KafkaConnectionError

    partition = TopicPartition(topic, number)
    consumer.assign([partition])
    consumer.seek(partition, start)
    position, still_since = start, time.monotonic()
    while position < end:
        try:
            records = consumer.poll(timeout_ms=POLL_MS).get(partition, [])
            new_position = consumer.position(partition, timeout_ms=POLL_MS)  # also past records that are for brokers only
        except KafkaConnectionError:  # kafka-python tries again by itself, but not while it looks for the group's coordinator
            records, new_position = [], None
            time.sleep(POLL_MS / 1000)
        if new_position is not None and new_position > position:
            position = new_position
            yield records if position <= end else [record for record in records if record.offset < end]
            still_since = time.monotonic()
        elif time.monotonic() - still_since > settings.stall_seconds:
            raise KafkaUnavailable(
                f"topic {topic} on {settings.servers}, partition {number}: nothing arrived for {settings.stall_seconds:g} s "
                f"(delivery.timeout.ms) at offset {position} of {end}; is the broker up?"
            )


@contextmanager
def _require_records(topic: str) -> Iterator[None]:
    """Turn the broker's error for records that no longer exist into an IntegrityError."""
    from kafka.errors import OffsetOutOfRangeError

    try:
        yield
    except OffsetOutOfRangeError as error:
        raise IntegrityError(
            f"topic {topic} has lost records since the job began: they were deleted, or its retention is too short"
        ) from error


class _Commits:
    """Commits how far the reader is, only to make its lag visible: the first failure is printed, and ends the commits."""

    def __init__(self, consumer: KafkaConsumer) -> None:
        self._consumer = consumer
        self._last = time.monotonic()
        self._works = True

    def commit_sometimes(self) -> None:
        if self._works and time.monotonic() - self._last > COMMIT_SECONDS:
            self._last = time.monotonic()
            self._consumer.commit_async(callback=self._on_response)

    def commit_end(self) -> None:
        """Commit the end of a partition, waiting for a moment."""
        from kafka.errors import KafkaError

        if self._works:
            try:
                self._consumer.commit(timeout_ms=LAST_COMMIT_MS)
            except KafkaError as error:
                self._on_response({}, error)

    def _on_response(self, _: Any, response: Any) -> None:
        if isinstance(response, Exception) and self._works:
            self._works = False
            print(f"mlsql: the group's lag cannot be shown: {type(response).__name__}", file=sys.stderr)


def describe_record(record: ConsumerRecord) -> str:
    """Return topic, partition and offset as text."""
    return f"topic {record.topic}, partition {record.partition}, offset {record.offset}"
