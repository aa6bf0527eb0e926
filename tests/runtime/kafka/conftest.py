"""An admin client on the plain listener, and names that no other test has."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from mlsql_runtime.kafka.clients import open_admin, open_producer
from mlsql_runtime.kafka.settings import KafkaSettings
from mlsql_runtime.kafka.topics import create_topic

Make = Callable[..., str]


@pytest.fixture(scope="module")
def admin(kafka_settings: KafkaSettings) -> Iterator[Any]:
    with open_admin(kafka_settings) as client:
        yield client


@pytest.fixture
def name() -> str:
    return f"t-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def topic(admin: Any, kafka_settings: KafkaSettings, name: str) -> Make:
    """Create a topic, with records in its partitions: ``topic(5, 3)`` has five in the first, three in the second.

    Their timestamps are 1_700_000_000_000 ms and a second more each.
    """

    def make(*records: int, **more: Any) -> str:
        create_topic(admin, name, partitions=len(records), **more)
        if any(records):
            with open_producer(kafka_settings) as producer:
                for partition, count in enumerate(records):
                    for number in range(count):
                        at = 1_700_000_000_000 + 1000 * number
                        producer.send(name, b"x", partition=partition, timestamp_ms=at).get(10)
        return name

    return make
