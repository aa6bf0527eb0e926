"""The permissions that docs/how-to/kafka.md names for each operation are enough for it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from broker import Broker
from support.brokers import secure

from mlsql_runtime.errors import InputError, KafkaRefused
from mlsql_runtime.kafka import groups, topics
from mlsql_runtime.kafka.clients import open_admin
from mlsql_runtime.kafka.settings import KafkaSettings

Make = Callable[..., str]
Ask = Callable[[Any, str], Any]


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
    assert not admin.client.create_acls(acls)["failed"]


def patiently(ask: Ask, admin: Any, name: str) -> Any:
    """A broker learns of an ACL a moment after it is made."""
    deadline = time.monotonic() + 10
    while True:
        try:
            return ask(admin, name)
        except (KafkaRefused, InputError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


@pytest.mark.parametrize(
    ("permissions", "ask"),
    [
        ("topic: Describe, topic: Describe_Configs", topics.describe_topic),
        ("topic: Describe", topics.wait_for_topic),
        ("topic: Alter_Configs", lambda admin, name: topics.alter_configs(admin, name, {"retention.ms": "5"})),
        ("topic: Describe, topic: Alter_Configs", lambda admin, name: topics.reset_configs(admin, name)),
        ("topic: Alter", lambda admin, name: topics.add_partitions(admin, name, 2)),
        (
            "topic: Describe, topic: Describe_Configs",
            lambda admin, name: topics.create_topic(admin, name, configs={"segment.ms": "7"}, exist_ok=True),
        ),
        ("group: Describe", groups.describe_group),
        ("group: Describe, topic: Describe", groups.group_lag),
        ("group: Read, topic: Read", lambda admin, name: groups.reset_offsets(admin, name, "latest", topics=name)),
    ],
)
def test_enough_for_what_is_there(
    admin: Any, kafka_settings: KafkaSettings, broker: Broker, topic: Make, permissions: str, ask: Ask
) -> None:
    name = topic(0, configs={"segment.ms": "7"})
    groups.reset_offsets(admin, name, "earliest", topics=name)
    grant(admin, name, permissions)
    settings = secure(broker, "guest")
    with open_admin(settings) as guest:
        patiently(ask, guest, name)


def test_enough_to_create_and_to_delete(admin: Any, kafka_settings: KafkaSettings, broker: Broker, name: str) -> None:
    settings = secure(broker, "guest")
    with open_admin(settings) as guest:
        grant(admin, name, "topic: Create, topic: Describe")
        patiently(topics.create_topic, guest, name)
        groups.reset_offsets(admin, name, "earliest", topics=name)
        grant(admin, name, "group: Delete, topic: Read")
        gone = patiently(lambda client, each: groups.delete_offsets(client, each, each), guest, name)
        assert gone == ((name, 0),)
        groups.reset_offsets(admin, name, "earliest", topics=name)
        assert patiently(groups.delete_groups, guest, name) == (name,)
        grant(admin, name, "topic: Delete")
        assert patiently(topics.delete_topics, guest, name) == (name,)
