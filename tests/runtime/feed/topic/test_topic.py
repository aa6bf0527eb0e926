"""Sending to and reading from a topic of a real broker, attempt by attempt, as Spark's tasks would."""

from __future__ import annotations

import itertools
import json
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from mlsql_runtime.errors import DataError, FormatError, InputError, IntegrityError, KafkaRefused, KafkaUnavailable
from mlsql_runtime.feed.decoding.vectors import VECTOR_TYPE
from mlsql_runtime.feed.reader import read_arrow, rebatch
from mlsql_runtime.feed.table_facts import ColumnRoles, TableFacts, encode_schema
from mlsql_runtime.feed.topic.receive import TopicRange, current_range, receive
from mlsql_runtime.feed.topic.scan import scan_topic
from mlsql_runtime.feed.topic.send import FEED_VERSION, FeedManifest, SendTarget, SentTable, deliver, send_manifest
from mlsql_runtime.feed.topic.table import SentPartition
from mlsql_runtime.kafka.clients import open_admin, open_producer
from mlsql_runtime.kafka.groups import delete_groups
from mlsql_runtime.kafka.settings import KafkaSettings
from mlsql_runtime.kafka.topics import create_topic, delete_topics

FEATURES = ColumnRoles(features=("features",))
SCHEMA = pa.schema([("id", pa.int64()), ("text", pa.string())])
_numbers = itertools.count()


def batch(ids: Sequence[int], width: int = 10) -> pa.RecordBatch:
    return pa.record_batch([pa.array(ids, pa.int64()), pa.array([os.urandom(width // 2).hex() for _ in ids])], schema=SCHEMA)


@pytest.fixture
def topic(kafka_settings: KafkaSettings) -> Iterator[str]:
    """A topic with two partitions."""
    name = f"transport-{next(_numbers)}"
    with open_admin(kafka_settings) as admin:
        create_topic(admin, name, partitions=2)
        yield name
        delete_topics(admin, [name])
        delete_groups(admin, [f"{name}_0"])


@pytest.fixture
def target(kafka_settings: KafkaSettings, topic: str) -> SendTarget:
    return SendTarget(kafka_settings, topic, partitions=2, max_bytes=1 << 20, run="run")


def attempt(target: SendTarget, partition: int, number: int, batches: Sequence[pa.RecordBatch]) -> SentPartition:
    records = list(deliver(batches, target, partition, number, partition % target.partitions))
    return SentPartition(
        run=target.run, partition=partition, attempt=number, records=len(records), rows=sum(stamp.rows for _, stamp in records)
    )


def read(target: SendTarget, parts: Sequence[SentPartition]) -> list[int]:
    got = receive(target.settings, current_range(target.settings, target.topic), f"{target.topic}_0", parts)
    return [value for part in got for value in part.column("id").to_pylist()]


def test_rows_come_back_once_in_a_fixed_order(target: SendTarget) -> None:
    parts = [attempt(target, number, 10 + number, [batch(range(number * 100, number * 100 + 50))] * 2) for number in range(4)]
    first = read(target, parts)
    assert sorted(first) == sorted(2 * [i for n in range(4) for i in range(n * 100, n * 100 + 50)])
    assert read(target, parts) == first


def test_attempts_that_do_not_count_are_passed_over(target: SendTarget) -> None:
    attempt(target, 0, 1, [batch(range(5))])  # died half-way
    good = attempt(target, 0, 2, [batch(range(10))])
    attempt(target, 0, 3, [batch(range(10))])  # repeated after it had succeeded
    other = attempt(target, 1, 4, [batch(range(10, 20))])
    assert sorted(read(target, [good, other])) == list(range(20))


def test_records_that_a_producer_sent_twice_count_once(target: SendTarget) -> None:
    part = attempt(target, 0, 1, [batch(range(10)), batch(range(10, 20))])
    attempt(target, 0, 1, [batch(range(10)), batch(range(10, 20))])
    assert read(target, [part]) == list(range(20))


def test_missing_records_are_an_error_that_counts_them(target: SendTarget) -> None:
    part = attempt(target, 0, 1, [batch(range(10))])
    promised = SentPartition(run="run", partition=0, attempt=1, records=3, rows=30)
    assert part.rows == 10
    with pytest.raises(IntegrityError, match=r"partition 0: 2 records, 20 rows"):
        read(target, [promised])


def test_records_of_other_rows_than_they_say_are_an_error(target: SendTarget, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlsql_runtime.feed.topic import records as messages

    content = bytes(next(messages.encode(batch(range(3)), 10_000))[0])
    with open_producer(target.settings) as producer:
        headers = messages.RecordOrigin("run", 0, 1, 0, 4).headers()
        producer.send(target.topic, content, partition=0, headers=headers).get(timeout=10)
    with pytest.raises(IntegrityError, match="holds 3 rows, its header says 4"):
        read(target, [SentPartition(run="run", partition=0, attempt=1, records=1, rows=4)])


def test_records_beyond_the_end_are_not_read(target: SendTarget) -> None:
    part = attempt(target, 0, 1, [batch(range(10))])
    span = current_range(target.settings, target.topic)
    attempt(target, 0, 2, [batch(range(10, 20))])
    got = receive(target.settings, span, f"{target.topic}_0", [part])
    assert [len(part) for part in got] == [10]
    assert span.ends == {0: 1, 1: 0}


def test_large_batches_are_cut_and_put_together_again(target: SendTarget) -> None:
    large = batch(range(3000), width=1000)
    part = attempt(target, 0, 1, [large])
    assert part.records > 3000 * 1000 / (512 << 10)
    got = receive(target.settings, current_range(target.settings, target.topic), f"{target.topic}_0", [part])
    assert [table.num_rows for table in rebatch(got, 700)] == [700, 700, 700, 700, 200]


def test_a_row_larger_than_the_topic_takes_is_named(target: SendTarget) -> None:
    with pytest.raises(
        KafkaRefused, match=rf"row .* takes 2\d+ bytes, topic {target.topic} on .* at most 1048576; raise topic\.max"
    ):
        attempt(target, 0, 1, [batch([1], width=2 << 20)])


def test_a_broker_that_takes_less_than_we_believe_is_named(target: SendTarget) -> None:
    believing = SendTarget(target.settings, target.topic, 2, max_bytes=8 << 20, run="run")
    with pytest.raises(KafkaRefused, match=f"topic {target.topic} on .*MessageSizeTooLarge"):
        attempt(believing, 0, 1, [batch([1], width=2 << 20)])


def test_a_reader_that_waits_for_records_that_never_come_gives_up(target: SendTarget) -> None:
    part = attempt(target, 0, 1, [batch(range(10))])
    hasty = KafkaSettings({**target.settings.values, "delivery_timeout_ms": "700"})
    with pytest.raises(KafkaUnavailable, match=rf"topic {target.topic} .*nothing arrived for 0\.7 s .* at offset 1 of 5"):
        list(receive(hasty, TopicRange(target.topic, {0: 0}, {0: 5}), f"{target.topic}_0", [part]))


def test_the_table_of_a_script_reads_the_same(target: SendTarget, tmp_path: Path) -> None:
    part = attempt(target, 1, 1, [batch(range(10))])
    facts = TableFacts(rows=10, schema=encode_schema(SCHEMA), columns={}, width=None)
    sent = SentTable(target.settings, target.topic, current_range(target.settings, target.topic), (part,), facts, None)
    table = sent.open(tmp_path, False, tmp_path, 0)
    assert Path(table.settings).stat().st_mode & 0o777 == 0o600
    assert [b.to_pydict()["id"] for b in read_arrow(table)] == [list(range(10))]


# -- a topic that is trained from as it is


@pytest.fixture
def put(kafka_settings: KafkaSettings, topic: str) -> Callable[..., None]:
    """Another producer's records."""

    def send(*values: Any, partition: int = 0) -> None:
        with open_producer(kafka_settings) as producer:
            for value in values:
                content = value if value is None or isinstance(value, bytes) else json.dumps(value).encode()
                producer.send(topic, content, key=b"k", partition=partition).get(timeout=10)

    return send


def rows_in(sent: SentTable, folder: Path) -> list[dict[str, Any]]:
    return [row for part in read_arrow(sent.open(folder, False, folder, 0)) for row in part.to_pylist()]


def test_json_records_of_another_producer(put: Any, kafka_settings: KafkaSettings, topic: str, tmp_path: Path) -> None:
    vector = {"type": 0, "size": 4, "indices": [1], "values": [2.5]}
    put({"label": 1, "features": vector}, None, {"label": 0.5, "features": {"type": 1, "values": [1, 2, 3, 4]}})
    put({"label": None, "extra": "größe\nzwei"}, b'{"label": 3,\n "features": null}', partition=1)
    sent = scan_topic(kafka_settings, topic, topic, FEATURES)
    assert (sent.facts.rows, sent.facts.width, sent.parts) == (4, 4, None)
    assert sent.facts.columns == {"label": "double", "features": "vector", "extra": "string"}
    rows = rows_in(sent, tmp_path)
    assert [row["label"] for row in rows] == [1.0, 0.5, None, 3.0]
    assert rows[0]["features"] == vector
    assert rows[2]["extra"] == "größe\nzwei"


@pytest.mark.parametrize("wrong", [b"\x00\x01", b"{", b"[1]", b"3", b"null", b"", b'{"a": 1}{"a": 2}'])
def test_a_record_other_than_a_json_object_is_named(put: Any, kafka_settings: KafkaSettings, topic: str, wrong: bytes) -> None:
    put({"label": 1}, wrong)
    with pytest.raises(DataError, match=rf"topic {topic}, partition 0, offset .*: expected (a|one) JSON object"):
        scan_topic(kafka_settings, topic, topic, FEATURES)


def test_columns_of_changing_types_are_named(put: Any, kafka_settings: KafkaSettings, topic: str) -> None:
    put(*[{"label": 1}] * 1000, {"label": "one"})
    with pytest.raises(DataError, match=r"offset 1000 to 0:1000: a column has other types .*label"):
        scan_topic(kafka_settings, topic, topic, FEATURES)


def test_rows_that_come_after_the_start_are_not_read(put: Any, kafka_settings: KafkaSettings, topic: str, tmp_path: Path) -> None:
    put({"label": 1})
    sent = scan_topic(kafka_settings, topic, topic, FEATURES)
    put({"label": 2})
    assert rows_in(sent, tmp_path) == [{"label": 1}]


def test_a_kept_run_is_read_by_its_manifest(target: SendTarget, tmp_path: Path) -> None:
    attempt(target, 0, 1, [batch(range(5))])
    part = attempt(target, 0, 2, [batch(range(10))])
    facts = TableFacts(rows=10, schema=encode_schema(SCHEMA), columns={"id": "bigint", "text": "string"}, width=None)
    send_manifest(target, FeedManifest("run", facts, (part,)))
    sent = scan_topic(target.settings, target.topic, target.topic, FEATURES)
    assert sent.facts == facts
    assert [row["id"] for row in rows_in(sent, tmp_path)] == list(range(10))


def test_a_run_of_a_later_version_is_refused(target: SendTarget) -> None:
    facts = TableFacts(rows=10, schema=encode_schema(SCHEMA), columns={}, width=None)
    part = attempt(target, 0, 1, [batch(range(10))])
    send_manifest(target, FeedManifest("run", facts, (part,), feed_version=FEED_VERSION + 1))
    with pytest.raises(FormatError, match=f"the manifest in topic {target.topic}: feed_version is {FEED_VERSION + 1}"):
        scan_topic(target.settings, target.topic, target.topic, FEATURES)


def test_a_run_that_was_never_finished_is_refused(target: SendTarget) -> None:
    attempt(target, 0, 1, [batch(range(5))])
    with pytest.raises(IntegrityError, match=f"topic {target.topic} on .* holds run run, which was never finished"):
        scan_topic(target.settings, target.topic, target.topic, FEATURES)


def test_two_kinds_of_records_are_refused(target: SendTarget, put: Any) -> None:
    facts = TableFacts(rows=10, schema=encode_schema(SCHEMA), columns={}, width=None)
    send_manifest(target, FeedManifest("run", facts, (attempt(target, 0, 2, [batch(range(10))]),)))
    put({"label": 1})
    with pytest.raises(InputError, match="holds records of a kept run and"):
        scan_topic(target.settings, target.topic, target.topic, FEATURES)


def test_an_empty_topic_and_one_that_is_not_there(kafka_settings: KafkaSettings, topic: str) -> None:
    with pytest.raises(DataError, match=f"topic {topic} on 127.0.0.1:.* is empty"):
        scan_topic(kafka_settings, topic, topic, FEATURES)
    with pytest.raises(InputError, match="there is no topic nowhere on 127"):
        scan_topic(kafka_settings, "nowhere", "nowhere", FEATURES)


def test_text_that_looks_like_a_time_stays_text(put: Any, kafka_settings: KafkaSettings, topic: str, tmp_path: Path) -> None:
    put(*[{"day": "2026-11-22"}] * 1000, {"day": ""}, {"day": "2026-11-22T10:00:00Z"})
    sent = scan_topic(kafka_settings, topic, topic, FEATURES)
    assert sent.facts.columns == {"day": "string"}
    assert [row["day"] for row in rows_in(sent, tmp_path)][999:] == ["2026-11-22", "", "2026-11-22T10:00:00Z"]


def test_vectors_of_different_widths_are_refused(put: Any, kafka_settings: KafkaSettings, topic: str) -> None:
    put({"features": None}, {"other": 1}, {"features": {"type": 1, "values": [1.0, 2.0]}})
    assert scan_topic(kafka_settings, topic, topic, FEATURES).facts.width == 2
    put({"features": {"type": 0, "size": 3, "indices": [1], "values": [1.0]}})
    with pytest.raises(DataError, match="column 'features' holds vectors of different widths, from 2 to 3"):
        scan_topic(kafka_settings, topic, topic, FEATURES)


def test_records_deleted_after_the_start_are_an_error(target: SendTarget) -> None:
    from kafka import TopicPartition

    part = attempt(target, 0, 1, [batch(range(10)), batch(range(10, 20))])
    span = current_range(target.settings, target.topic)
    with open_admin(target.settings) as admin:
        admin.client.delete_records({TopicPartition(target.topic, 0): 1})
    with pytest.raises(IntegrityError, match=f"topic {target.topic} has lost records since the job began: they were deleted"):
        list(receive(target.settings, span, f"{target.topic}_0", [part]))


def test_a_topic_that_is_deleted_meanwhile_is_an_error_that_says_so(target: SendTarget) -> None:
    impatient = replace(target, settings=KafkaSettings({**target.settings.values, "delivery_timeout_ms": "3000"}))
    part = attempt(impatient, 0, 1, [batch(range(10))])
    span = current_range(target.settings, target.topic)
    with open_admin(target.settings) as admin:
        delete_topics(admin, [target.topic])
    facts = TableFacts(rows=0, schema=encode_schema(SCHEMA), columns={}, width=None)
    deleted = rf"^topic {target.topic} on 127\.0\.0\.1:\d+ was deleted while it was used, by another attempt of the task"
    with pytest.raises(KafkaUnavailable, match=deleted):
        list(receive(impatient.settings, span, f"{target.topic}_0", [part]))
    with pytest.raises(KafkaUnavailable, match=deleted):
        attempt(impatient, 0, 2, [batch(range(10))])
    with pytest.raises(KafkaUnavailable, match=deleted):
        send_manifest(impatient, FeedManifest(target.run, facts, ()))


def test_what_goes_wrong_in_between_keeps_its_reason_and_leaves_no_thread(target: SendTarget) -> None:
    before = threading.active_count()

    def until_it_breaks() -> Iterator[pa.RecordBatch]:
        for _ in range(12):
            yield batch(range(2000), width=300)
        raise ValueError("upstream")

    with pytest.raises(ValueError, match="upstream"):
        attempt(target, 0, 1, until_it_breaks())  # type: ignore[arg-type]
    with pytest.raises(KafkaRefused, match="a row of the table takes"):
        attempt(target, 0, 1, [*[batch(range(2000), width=300)] * 12, batch([1], width=2 << 20)])
    assert threading.active_count() == before


def test_a_vector_column_keeps_its_type(put: Any, kafka_settings: KafkaSettings, topic: str, tmp_path: Path) -> None:
    put(*[{"features": {"type": 1, "values": [float(i)]}} for i in range(3)])
    sent = scan_topic(kafka_settings, topic, topic, FEATURES)
    [got] = read_arrow(sent.open(tmp_path, False, tmp_path, 0))
    assert got.column("features").type == VECTOR_TYPE
