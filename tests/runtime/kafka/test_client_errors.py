"""Errors of kafka-python as ours, without a broker."""

from __future__ import annotations

import pytest
from kafka.errors import KafkaConnectionError

from mlsql_runtime.errors import KafkaUnavailable
from mlsql_runtime.kafka.client_errors import convert_error
from mlsql_runtime.kafka.settings import KafkaSettings


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("111 ECONNREFUSED", "the connection was refused; check the address and that the broker runs"),
        ("113 EHOSTUNREACH", "the broker's host cannot be reached; check the address and that the broker runs"),
    ],
)
def test_why_a_broker_does_not_answer(text: str, message: str) -> None:
    error = convert_error(KafkaConnectionError(text), KafkaSettings({"bootstrap_servers": "b:9092"}), "connect")
    assert isinstance(error, KafkaUnavailable)
    assert error.message == f"connect on b:9092: {message}"
