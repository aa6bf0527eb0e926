"""The topic of a run: what it takes to make it, and that nothing of it is left."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from broker import Broker
from support.brokers import secure
from support.kafka import names_with

from mlsql_runtime.errors import InputError, KafkaRefused
from mlsql_runtime.feed.reader import read_arrow
from mlsql_runtime.feed.table_facts import ColumnRoles
from mlsql_runtime.feed.topic.receive import current_range, receive
from mlsql_runtime.feed.topic.scan import scan_topic
from mlsql_runtime.feed.topic.send import SendTarget, deliver
from mlsql_runtime.feed.topic.table import SentPartition
from mlsql_runtime.kafka.clients import open_admin, open_producer
from mlsql_runtime.kafka.run_topic import (
    Owner,
    RunTopic,
    check_topic,
    client_settings,
    create_run_topic,
    group_prefix,
    remove_run,
    try_to_remove_run,
)
from mlsql_runtime.kafka.settings import KafkaSettings
from mlsql_runtime.kafka.topics import create_topic, delete_topics, describe_topic
from mlsql_runtime.plan import KafkaFeed, Secrets

JOB, ANOTHER = Owner("job", "/m", 1), Owner("another job", "/m", 1)


def feed_of(settings: KafkaSettings, topic: str, **fields: Any) -> KafkaFeed:
    return KafkaFeed(topic=topic, settings=settings.public, **fields)


@contextmanager
def run_topic(feed: KafkaFeed, settings: KafkaSettings, owner: Owner, parallelism: int) -> Iterator[RunTopic]:
    """What a feed does: the topic lasts as long as the block."""
    try:
        yield create_run_topic(feed, settings, owner, parallelism)
    finally:
        try_to_remove_run(feed, settings, owner)


def test_the_topic_is_as_asked_while_the_run_lasts(kafka_settings: KafkaSettings) -> None:
    feed = feed_of(kafka_settings, "run-a", partitions=3, topic_configs={"retention.ms": "60000"})
    with run_topic(feed, kafka_settings, Owner("job", "/m", 2), parallelism=8) as topic, open_admin(kafka_settings) as admin:
        found = describe_topic(admin, topic.name)
        assert (len(found.partitions), topic.max_bytes) == (3, 8 << 20)
        assert found.changed == {"retention.ms": "60000", "max.message.bytes": str(8 << 20), "cleanup.policy": "delete"}
    assert names_with(kafka_settings, "run-a") == []


def test_a_retry_removes_what_a_lost_worker_left_and_other_runs_keep_theirs(kafka_settings: KafkaSettings) -> None:
    feed = feed_of(kafka_settings, "run-b")
    with run_topic(feed, kafka_settings, JOB, 1) as left, run_topic(feed, kafka_settings, ANOTHER, 1) as other:
        with run_topic(feed, kafka_settings, JOB, 1) as again:  # while the first one's worker has not noticed that it is lost
            assert sorted(names_with(kafka_settings, "run-b")) == sorted([again.name, other.name])
            assert left.name not in (again.name, other.name)
        assert names_with(kafka_settings, "run-b") == [other.name]


def test_a_topic_is_kept_when_asked(kafka_settings: KafkaSettings, capsys: pytest.CaptureFixture[str]) -> None:
    feed = feed_of(kafka_settings, "run-c", keep=True)
    with run_topic(feed, kafka_settings, JOB, 1) as topic:
        pass
    assert names_with(kafka_settings, "run-c") == [topic.name]
    assert f"topic {topic.name} will be kept" in capsys.readouterr().out
    remove_run(feed_of(kafka_settings, "run-c"), kafka_settings, JOB)
    assert names_with(kafka_settings, "run-c") == []


def test_checking_makes_no_topic(kafka_settings: KafkaSettings) -> None:
    check_topic(feed_of(kafka_settings, "run-d"), kafka_settings, JOB)
    with pytest.raises(KafkaRefused, match=r"create topic run-d_.*InvalidReplicationFactor"):
        check_topic(feed_of(kafka_settings, "run-d", replication_factor=3), kafka_settings, JOB)
    assert names_with(kafka_settings, "run-d") == []


def test_secrets_are_found_by_their_name(kafka_settings: KafkaSettings) -> None:
    feed = feed_of(kafka_settings, "t", secrets="mine")
    found = client_settings(feed, Secrets(kafka={"mine": {"sasl_plain_password": "hush"}}))
    assert found.values == {**kafka_settings.values, "sasl_plain_password": "hush"}
    assert "hush" not in repr(found)
    with pytest.raises(InputError, match="no secrets of the Kafka connection 'mine'"):
        client_settings(feed, Secrets())


@pytest.fixture
def allow(kafka_settings: KafkaSettings) -> Iterator[Callable[..., None]]:
    """Let guest do some things with names that begin so, and nothing else."""
    from kafka.admin import ACL, ACLOperation, ACLPermissionType, ACLResourcePatternType, ResourcePattern, ResourceType

    made = []
    with open_admin(kafka_settings) as admin:

        def add(prefix: str, **operations: str) -> None:
            for kind, names in operations.items():
                pattern = ResourcePattern(ResourceType[kind.upper()], prefix, ACLResourcePatternType.PREFIXED)
                each = [ACL("User:guest", "*", ACLOperation[o.upper()], ACLPermissionType.ALLOW, pattern) for o in names.split()]
                made.extend(each)
                assert not admin.client.create_acls(each)["failed"]

        yield add
        admin.client.delete_acls(made)


def test_the_documented_permissions_are_enough_to_reuse_a_topic(
    allow: Callable[..., None], broker: Broker, kafka_settings: KafkaSettings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = secure(broker, "guest")
    feed = feed_of(settings, "run-events", group="run-readers", reuse=True)
    with open_admin(kafka_settings) as admin:
        create_topic(admin, "run-events")
        with open_producer(kafka_settings) as producer:
            producer.send("run-events", b'{"id": 1}', partition=0).get(timeout=10)
        allow("run-events", topic="read")
        allow("run-readers", group="read delete")
        sent = scan_topic(settings, "run-events", group_prefix(feed, JOB), ColumnRoles(features=("features",)))
        assert [batch.num_rows for batch in read_arrow(sent.open(tmp_path, False, tmp_path, 0))] == [1]
        assert names_with(kafka_settings, "run-readers") == [f"{group_prefix(feed, JOB)}_0"]
        remove_run(feed, settings, JOB)
        assert names_with(kafka_settings, "run-") == ["run-events"]
        delete_topics(admin, ["run-events"])
    assert capsys.readouterr() == ("", "")


def test_the_documented_permissions_are_enough(
    allow: Callable[..., None], broker: Broker, kafka_settings: KafkaSettings, capsys: pytest.CaptureFixture[str]
) -> None:
    allow("run-allowed", topic="create write read delete", group="read delete")
    settings = secure(broker, "guest")
    feed = feed_of(settings, "run-allowed")
    batch = pa.record_batch({"id": [1, 2, 3]})
    check_topic(feed, settings, JOB)
    with run_topic(feed, settings, JOB, 1) as topic:
        target = SendTarget(settings, topic.name, topic.partitions, topic.max_bytes, topic.run)
        [(_, stamp)] = deliver([batch], target, 0, 1, 0)
        part = SentPartition(run=stamp.run, partition=0, attempt=1, records=1, rows=3)
        group = f"{group_prefix(feed, JOB)}_0"
        assert [got.num_rows for got in receive(settings, current_range(settings, topic.name), group, [part])] == [3]
        assert names_with(kafka_settings, "run-allowed") == [topic.name, group]
    assert names_with(kafka_settings, "run-allowed") == []
    assert capsys.readouterr() == ("", "")
