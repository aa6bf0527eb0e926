"""kafka-python's clients, opened from our settings, quickly and with the reason when they cannot be."""

from __future__ import annotations

import ssl
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from mlsql_runtime.errors import InputError, KafkaUnavailable
from mlsql_runtime.kafka.attempt import connecting
from mlsql_runtime.kafka.client_errors import explain
from mlsql_runtime.kafka.settings import KafkaSettings

if TYPE_CHECKING:
    from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer

CONNECT_SECONDS = 8.0
SENDER_SECONDS = 5.0
_NO_TOPICS = {"allow_auto_create_topics": False}  # asking for a topic must not make one
_TRIED: set[int] = set()
Client = TypeVar("Client")


@contextmanager
def open_admin(settings: KafkaSettings, seconds: float = CONNECT_SECONDS) -> Iterator[KafkaAdminClient]:
    """A client for topics, groups and cluster; requests wait as long as connecting does, unless the settings say otherwise.

    :raises KafkaUnavailable: when no broker answers in ``seconds``.
    :raises KafkaRefused: when a broker refuses the credentials, or TLS fails.
    """
    kafka = _library()
    waits = {} if "request_timeout_ms" in settings.values else {"request_timeout_ms": int(seconds * 1000)}
    started = time.monotonic()
    client, network = _open(settings, seconds, kafka.KafkaAdminClient, waits)
    try:
        _reach_advertised(client, network, settings, started + seconds)
        yield client
    finally:
        client.close()


@contextmanager
def open_producer(settings: KafkaSettings, seconds: float = CONNECT_SECONDS, **own: Any) -> Iterator[KafkaProducer]:
    """A producer; ``own`` are arguments that stand whatever the settings say. Closing it does not wait for what is unsent.

    Raises what :func:`open_admin` does.
    """
    kafka = _library()
    _try(settings, seconds)
    client, _ = _open(settings, seconds, kafka.KafkaProducer, settings.producer() | _NO_TOPICS | own)
    try:
        yield client
    finally:
        _end(client)


@contextmanager
def open_consumer(settings: KafkaSettings, seconds: float = CONNECT_SECONDS, **own: Any) -> Iterator[KafkaConsumer]:
    """A consumer that commits nothing by itself; ``own`` and errors as in :func:`open_producer`."""
    kafka = _library()
    _try(settings, seconds)
    arguments = settings.consumer() | _NO_TOPICS | {"enable_auto_commit": False, "auto_offset_reset": "none"} | own
    client, _ = _open(settings, seconds, kafka.KafkaConsumer, arguments)
    try:
        yield client
    finally:
        with suppress(RuntimeError):  # a script that ends in mid-reading: kafka-python's exit hook has been here before
            client.close(autocommit=False)


def _end(producer: KafkaProducer) -> None:
    """Close it without waiting for records under way: kafka-python's own close raises then, and leaves its thread."""
    from kafka.errors import KafkaError

    producer._sender.force_close()
    producer._sender.join(SENDER_SECONDS)
    with suppress(KafkaError):
        producer.close(timeout=0)


def _try(settings: KafkaSettings, seconds: float) -> None:
    """Fail as an admin client does: at the first refusal, and when an advertised address cannot be reached.

    Once in a process is enough: Spark's workers open a client for every task.
    """
    key = hash(frozenset(settings.values.items()))
    if key not in _TRIED:
        with open_admin(settings, seconds):
            _TRIED.add(key)


def _library() -> Any:
    try:
        import kafka
    except ImportError as error:
        raise InputError(
            "this interpreter has no kafka-python; install kafka-python[crc32c], or bring the data as files"
        ) from error
    return kafka


def _open(settings: KafkaSettings, seconds: float, kind: Callable[..., Client], arguments: dict[str, Any]) -> tuple[Client, Any]:
    """A client, and the network client that it uses."""
    from kafka.errors import KafkaError

    context = _ssl_context(settings)
    with connecting(seconds) as attempt:
        try:
            client = kind(
                **settings.common(),
                **arguments,
                ssl_context=context,
                bootstrap_timeout_ms=int(seconds * 1000),
                kafka_client=attempt.make_network,
            )
            return client, attempt.network
        except KafkaError as error:
            attempt.give_up()
            raise explain(error, settings, "connect", attempt.reasons) from error
        except Exception as error:  # kafka-python's own checks: a codec's package that is not there, for example
            attempt.give_up()
            raise InputError(f"connect on {settings.servers}: kafka-python cannot: {error}") from error


def _reach_advertised(client: KafkaAdminClient, network: Any, settings: KafkaSettings, deadline: float) -> None:
    """Ask something of the brokers at the addresses that they advertise, which need not be those of the settings."""
    from kafka.errors import KafkaError

    while True:
        try:
            client.describe_cluster()
            return
        except KafkaError as error:
            if getattr(error, "retriable", False) and time.monotonic() < deadline:  # another broker is asked the next time
                time.sleep(0.1)
                continue
            told = explain(error, settings, "connect")
            if not isinstance(told, KafkaUnavailable):
                raise told from error
            addresses = ", ".join(sorted(f"{broker.host}:{broker.port}" for broker in network.cluster.brokers()))
            raise KafkaUnavailable(
                f"connect on {settings.servers}: it answers, but no broker can be reached at the address that it advertises, "
                f"{addresses}; check advertised.listeners of the brokers, and this machine's network",
                advertised=addresses,
            ) from error


def _ssl_context(settings: KafkaSettings) -> ssl.SSLContext | None:
    if not settings.protocol.endswith("SSL"):
        return None
    values = settings.values
    try:
        context = ssl.create_default_context(cadata=values.get("ssl_ca_pem"))
        context.check_hostname = values.get("ssl_check_hostname", "true") == "true"
        if "ssl_cert_pem" in values:
            with tempfile.NamedTemporaryFile("w", prefix="mlsql-", suffix=".pem") as file:  # of mode 0600; ssl takes no text
                file.write(values["ssl_cert_pem"] + "\n" + values.get("ssl_key_pem", ""))
                file.flush()
                context.load_cert_chain(Path(file.name), password=values.get("ssl_password", ""))
    except (ssl.SSLError, ValueError) as error:
        raise InputError(
            f"connect on {settings.servers}: the certificates cannot be used ({error}); "
            "check ssl_cafile, ssl_certfile, ssl_keyfile and ssl_password"
        ) from error
    return context
