"""Topics on a real broker: made, looked at, changed, awaited, removed; and the broker's own words when it refuses."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from mlsql_runtime.errors import InputError, KafkaRefused, KafkaUnavailable
from mlsql_runtime.kafka import topics
from mlsql_runtime.kafka.clients import open_admin
from mlsql_runtime.kafka.descriptions import Partition
from mlsql_runtime.kafka.settings import KafkaSettings

Make = Callable[..., str]


def test_a_topic_from_creation_to_deletion(admin: Any, kafka_settings: KafkaSettings, topic: Make) -> None:
    name = topic(3, 0, 2, configs={"retention.ms": -1, "preallocate": True})
    found = topics.describe_topic(admin, name)
    assert found.partitions == tuple(
        Partition(partition=number, leader=1, replicas=(1,), in_sync=(1,), begin=0, end=end)
        for number, end in enumerate((3, 0, 2))
    )
    assert (found.records, found.replication_factor, found.is_internal) == (5, 1, False)
    assert found.changed == {"retention.ms": "-1", "preallocate": "true"}
    assert found.configs["cleanup.policy"].is_default
    assert topics.list_topics(admin, name[:-1]) == (name,)
    assert topics.delete_topics(admin, [name, f"{name}-not-there"]) == (name,)
    assert topics.list_topics(admin, name) == ()
    assert topics.delete_topics(admin, name) == ()


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"replication_factor": 3}, r"InvalidReplicationFactor: .+only 1 broker\(s\) are registered"),
        ({"configs": {"retention": "1"}}, r"InvalidConfiguration: Unknown topic config name: retention"),
        ({"configs": {"retention.ms": "soon"}}, r"InvalidConfiguration: Invalid value soon for configuration retention.ms"),
        ({"partitions": 0}, r"InvalidPartitions: Number of partitions was set to an invalid non-positive value"),
    ],
)
def test_a_topic_that_cannot_be(admin: Any, kafka_settings: KafkaSettings, name: str, wanted: Any, message: str) -> None:
    with pytest.raises(KafkaRefused, match=rf"create topic {name} on {kafka_settings.servers}: the broker refused: {message}"):
        topics.create_topic(admin, name, **wanted)
    with pytest.raises(KafkaRefused, match=message):
        topics.create_topic(admin, name, validate_only=True, **wanted)


def test_validating_creates_nothing(admin: Any, kafka_settings: KafkaSettings, name: str) -> None:
    topics.create_topic(admin, name, validate_only=True)
    assert not topics.create_topic(admin, name, validate_only=True, exist_ok=True)
    assert topics.list_topics(admin, name) == ()


def test_a_name_that_cannot_be_or_is_taken(admin: Any, kafka_settings: KafkaSettings, topic: Make) -> None:
    name = topic(0)
    with pytest.raises(KafkaRefused, match=f"TopicAlreadyExists: Topic '{name}' already exists"):
        topics.create_topic(admin, name)
    with pytest.raises(KafkaRefused, match=r"create topic a b on .+ InvalidTopic: Topic name is invalid: 'a b' contains"):
        topics.create_topic(admin, "a b")


def test_a_topic_that_is_there_must_be_as_asked(admin: Any, kafka_settings: KafkaSettings, name: str) -> None:
    wanted: dict[str, Any] = {"partitions": 2, "replication_factor": 1, "configs": {"retention.ms": 60000}}
    assert topics.create_topic(admin, name, **wanted, exist_ok=True)
    assert not topics.create_topic(admin, name, **wanted, exist_ok=True)
    assert not topics.create_topic(admin, name, exist_ok=True)
    with pytest.raises(
        InputError, match=r"exists with other settings \(partitions: 2, expected 4; .+ retention.ms: 60000, expected 1;"
    ) as caught:
        topics.create_topic(
            admin,
            name,
            partitions=4,
            replication_factor=2,
            configs={"retention.ms": "1", "retention": "1"},
            exist_ok=True,
        )
    assert caught.value.facts["differences"] == {
        "partitions": {"expected": 4, "got": 2},
        "replication_factor": {"expected": 2, "got": 1},
        "retention.ms": {"expected": "1", "got": "60000"},
        "retention": {"expected": "1", "got": "not known to the broker"},
    }


def test_a_missing_topic_is_named_with_the_nearest(admin: Any, kafka_settings: KafkaSettings, topic: Make) -> None:
    name = topic(0)
    with pytest.raises(InputError, match=rf"describe topic {name}s on .+ no such topic; did you mean '{name}'\?"):
        topics.describe_topic(admin, f"{name}s")


def test_configs_are_set_and_taken_back(admin: Any, kafka_settings: KafkaSettings, topic: Make) -> None:
    name = topic(0, configs={"retention.ms": "1", "segment.ms": "7"})

    def changed() -> dict[str, str | None]:
        return topics.describe_topic(admin, name).changed

    topics.alter_configs(admin, name, {"retention.ms": "2", "preallocate": True}, validate_only=True)
    assert changed() == {"retention.ms": "1", "segment.ms": "7"}
    topics.alter_configs(admin, name, {"retention.ms": "2", "preallocate": True})
    assert changed() == {"retention.ms": "2", "preallocate": "true", "segment.ms": "7"}
    assert topics.reset_configs(admin, name, "preallocate") == ("preallocate",)
    assert topics.reset_configs(admin, name, ["preallocate"]) == ()
    assert topics.reset_configs(admin, name) == ("retention.ms", "segment.ms")
    assert changed() == {}


def test_configs_that_cannot_be(admin: Any, kafka_settings: KafkaSettings, topic: Make) -> None:
    name = topic(0)
    with pytest.raises(KafkaRefused, match=rf"alter the configs of topic {name} on .+ Unknown topic config name: retention"):
        topics.alter_configs(admin, name, {"retention": "1"})
    with pytest.raises(InputError, match=r"there is no config 'retention.m'; did you mean 'retention.ms'"):
        topics.reset_configs(admin, name, ["retention.m"])
    with pytest.raises(KafkaRefused, match=r"alter the configs of topic not-there on .+ there is no such topic"):
        topics.alter_configs(admin, "not-there", {"retention.ms": "1"})
    with pytest.raises(InputError, match=r"topic not-there on .+ there is no such topic"):
        topics.reset_configs(admin, "not-there")


def test_partitions_are_added(admin: Any, kafka_settings: KafkaSettings, topic: Make) -> None:
    name = topic(0, 0)
    topics.add_partitions(admin, name, 3, validate_only=True)
    assert len(topics.describe_topic(admin, name).partitions) == 2
    topics.add_partitions(admin, name, 3)
    assert [each.leader for each in topics.describe_topic(admin, name).partitions] == [1, 1, 1]
    with pytest.raises(KafkaRefused, match=rf"add partitions to topic {name} on .+ InvalidPartitions: .*3 partition"):
        topics.add_partitions(admin, name, 2)
    with pytest.raises(KafkaRefused, match=r"add partitions to topic not-there on .+ there is no such topic"):
        topics.add_partitions(admin, "not-there", 2)


def test_waiting_for_a_topic_and_its_records(admin: Any, kafka_settings: KafkaSettings, topic: Make, name: str) -> None:
    with pytest.raises(KafkaUnavailable, match=rf"wait for topic {name} on .+ after 0.2 s it does not exist"):
        topics.wait_for_topic(admin, name, seconds=0.2)
    held: list[int] = []

    def wait() -> None:
        with open_admin(kafka_settings) as client:
            held.append(topics.wait_for_topic(client, name, records=4))

    waiting = threading.Thread(target=wait)
    waiting.start()
    topic(3, 1)
    waiting.join()
    assert held == [4]
    with pytest.raises(KafkaUnavailable, match=r"after 0.2 s it holds 4 records, expected 5"):
        topics.wait_for_topic(admin, name, records=5, seconds=0.2)
