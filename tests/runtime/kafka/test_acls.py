"""The permissions that docs/kafka.md names for each operation are enough for it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from broker import Broker
from support.brokers import secure

from mlsql_runtime.errors import InputError, KafkaRefused
from mlsql_runtime.kafka import group_offsets, groups, topic_changes, topics
from mlsql_runtime.kafka.clients import open_admin
from mlsql_runtime.kafka.settings import KafkaSettings

Make = Callable[..., str]
Ask = Callable[[Any, KafkaSettings, str], Any]


def grant(admin: Any, name: str, permissions: str) -> None:
    """Give guest permissions such as ``topic: Read, group: Delete`` on a topic or group."""
    from kafka.admin import ACL, ACLOperation, ACLPermissionType, ResourcePattern, ResourceType

    acls = [
        ACL(
            principal="User:guest",
            host="*",
            operation=ACLOperation[operation.upper()],
            permission_type=ACLPermissionType.ALLOW,
            resource_pattern=ResourcePattern(ResourceType[kind.upper()], name),
        )
        for kind, operation in (each.split(": ") for each in permissions.split(", "))
    ]
    assert not admin.create_acls(acls)["failed"]


def patiently(ask: Ask, admin: Any, settings: KafkaSettings, name: str) -> Any:
    """A broker learns of an ACL a moment after it is made."""
    deadline = time.monotonic() + 10
    while True:
        try:
            return ask(admin, settings, name)
        except (KafkaRefused, InputError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


@pytest.mark.parametrize(
    ("permissions", "ask"),
    [
        ("topic: Describe, topic: Describe_Configs", topics.describe_topic),
        ("topic: Describe", topics.wait_for_topic),
        ("topic: Alter_Configs", lambda admin, to, name: topic_changes.alter_configs(admin, to, name, {"retention.ms": "5"})),
        ("topic: Describe, topic: Alter_Configs", lambda admin, to, name: topic_changes.reset_configs(admin, to, name)),
        ("topic: Alter", lambda admin, to, name: topic_changes.add_partitions(admin, to, name, 2)),
        (
            "topic: Describe, topic: Describe_Configs",
            lambda admin, to, name: topic_changes.ensure_topic(admin, to, name, configs={"segment.ms": "7"}),
        ),
        ("group: Describe", groups.describe_group),
        ("group: Describe, topic: Describe", groups.group_lag),
        ("group: Read, topic: Read", lambda admin, to, name: group_offsets.reset_offsets(admin, to, name, "latest", topics=name)),
    ],
)
def test_enough_for_what_is_there(
    admin: Any, kafka_settings: KafkaSettings, broker: Broker, topic: Make, permissions: str, ask: Ask
) -> None:
    name = topic(0, configs={"segment.ms": "7"})
    group_offsets.reset_offsets(admin, kafka_settings, name, "earliest", topics=name)
    grant(admin, name, permissions)
    settings = secure(broker, "guest")
    with open_admin(settings) as guest:
        patiently(ask, guest, settings, name)


def test_enough_to_create_and_to_delete(admin: Any, kafka_settings: KafkaSettings, broker: Broker, name: str) -> None:
    settings = secure(broker, "guest")
    with open_admin(settings) as guest:
        grant(admin, name, "topic: Create, topic: Describe")
        patiently(topics.create_topic, guest, settings, name)
        group_offsets.reset_offsets(admin, kafka_settings, name, "earliest", topics=name)
        grant(admin, name, "group: Delete, topic: Read")
        gone = patiently(lambda client, to, each: group_offsets.delete_offsets(client, to, each, each), guest, settings, name)
        assert gone == ((name, 0),)
        group_offsets.reset_offsets(admin, kafka_settings, name, "earliest", topics=name)
        assert patiently(groups.delete_groups, guest, settings, name) == (name,)
        grant(admin, name, "topic: Delete")
        assert patiently(topics.delete_topics, guest, settings, name) == (name,)
