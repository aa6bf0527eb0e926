"""Clients of kafka-python, opened from our settings. Errors say within seconds why a connection fails."""

from __future__ import annotations

import functools
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlsql_runtime.errors import InputError, KafkaUnavailable
from mlsql_runtime.kafka.client_errors import convert_error, wrap_errors
from mlsql_runtime.kafka.connection import connect, ticks
from mlsql_runtime.kafka.settings import KafkaSettings

if TYPE_CHECKING:
    from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer

CONNECT_SECONDS = 8.0
SENDER_SECONDS = 5.0
_NO_TOPICS = {"allow_auto_create_topics": False}  # a request about a topic must not create it


@dataclass(frozen=True)
class Admin:
    """An open admin client, with the settings that name its brokers in errors."""

    client: KafkaAdminClient
    settings: KafkaSettings

    def wrap_errors(self, doing: str) -> AbstractContextManager[None]:
        """See :func:`~mlsql_runtime.kafka.client_errors.wrap_errors`."""
        return wrap_errors(self.settings, doing)


@contextmanager
def open_admin(settings: KafkaSettings, seconds: float = CONNECT_SECONDS) -> Iterator[Admin]:
    """Open a client for topics, groups and cluster.

    :param seconds: how long to wait for a connection and, unless the settings contain another timeout, for each response.
    :raises KafkaUnavailable: when no broker answers in time.
    :raises KafkaRefused: when a broker rejects the credentials, or TLS fails.
    """
    kafka = _import_kafka()
    timeout = {} if "request_timeout_ms" in settings.values else {"request_timeout_ms": int(seconds * 1000)}
    deadline = time.monotonic() + seconds
    client, network = connect(settings, seconds, kafka.KafkaAdminClient, timeout)
    try:
        _check_advertised(client, network, settings, deadline)
        yield Admin(client, settings)
    finally:
        client.close()


@contextmanager
def open_producer(settings: KafkaSettings, seconds: float = CONNECT_SECONDS, **fixed: Any) -> Iterator[KafkaProducer]:
    """Open a producer. Closing it does not wait for records that are not sent yet.

    :param fixed: arguments of the producer that replace those of the settings.

    Raises what :func:`open_admin` raises.
    """
    kafka = _import_kafka()
    _check_connection(settings, seconds)
    client, _ = connect(settings, seconds, kafka.KafkaProducer, settings.producer_arguments() | _NO_TOPICS | fixed)
    try:
        yield client
    finally:
        _close_producer(client)


@contextmanager
def open_consumer(settings: KafkaSettings, seconds: float = CONNECT_SECONDS, **fixed: Any) -> Iterator[KafkaConsumer]:
    """Open a consumer that commits nothing by itself; ``fixed`` and errors as in :func:`open_producer`."""
    kafka = _import_kafka()
    _check_connection(settings, seconds)
    arguments = settings.consumer_arguments() | _NO_TOPICS | {"enable_auto_commit": False, "auto_offset_reset": "none"} | fixed
    client, _ = connect(settings, seconds, kafka.KafkaConsumer, arguments)
    try:
        yield client
    finally:
        with suppress(RuntimeError):  # when a script ends while it reads, kafka-python's exit hook has closed it already
            client.close(autocommit=False)


def _close_producer(producer: KafkaProducer) -> None:
    """Close it without waiting for records on their way; kafka-python's own close then raises, and leaves its thread."""
    from kafka.errors import KafkaError

    producer._sender.force_close()
    producer._sender.join(SENDER_SECONDS)
    with suppress(KafkaError):
        producer.close(timeout=0)


def _check_connection(settings: KafkaSettings, seconds: float) -> None:
    """Fail as an admin client does: at the first refusal, and when an advertised address cannot be reached."""
    _check_once(tuple(sorted(settings.values.items())), seconds)


@functools.lru_cache  # of successes only, for the process: each task of a Spark worker opens a client, and tasks share no object
def _check_once(values: tuple[tuple[str, str], ...], seconds: float) -> None:
    with open_admin(KafkaSettings(dict(values)), seconds):
        pass


def _import_kafka() -> Any:
    try:
        import kafka
    except ImportError as error:
        raise InputError(
            "this interpreter has no kafka-python; install kafka-python[crc32c], or transport the data as files"
        ) from error
    return kafka


def _check_advertised(client: KafkaAdminClient, network: Any, settings: KafkaSettings, deadline: float) -> None:
    """Send a request to the brokers at the addresses that they advertise, which may differ from those of the settings.

    :param deadline: no request is sent after it but the first, by ``time.monotonic``.
    """
    from kafka.errors import KafkaError

    for _ in ticks(deadline - time.monotonic()):
        try:
            client.describe_cluster()
            return
        except KafkaError as error:
            failure = error
            if not failure.retriable:  # otherwise the next request may go to another broker
                break
    ours = convert_error(failure, settings, "connect")
    if not isinstance(ours, KafkaUnavailable):
        raise ours from failure
    addresses = ", ".join(sorted(f"{broker.host}:{broker.port}" for broker in network.cluster.brokers()))
    raise KafkaUnavailable(
        f"connect on {settings.servers}: it responds, but no broker can be reached at its advertised address ({addresses}); "
        "check advertised.listeners of the brokers, and this machine's network"
    ) from failure
