"""Opening clients on a real broker: what works, and the reason when it does not."""

from __future__ import annotations

import contextlib
import gc
import logging
import signal
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from broker import PASSWORDS, STORE_PASSWORD, Broker, BrokerProcess
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import pkcs12
from support.brokers import advertising, falling_silent, secure

from mlsql_runtime.errors import InputError, KafkaRefused, KafkaUnavailable, MLSQLError
from mlsql_runtime.kafka.clients import open_admin, open_consumer, open_producer
from mlsql_runtime.kafka.descriptions import describe_cluster
from mlsql_runtime.kafka.groups import describe_group
from mlsql_runtime.kafka.settings import KafkaSettings, parse_settings
from mlsql_runtime.kafka.topics import create_topic, delete_topics, describe_topic, list_topics

WRONG = "wrong-password-40d2"
# kafka-python leaves the socket of a refused connection to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <s:ResourceWarning")


@pytest.fixture(autouse=True)
def _collect_sockets() -> Iterator[None]:
    yield
    gc.collect()


class Heard(logging.Handler):
    """Everything that is logged, at every level."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@pytest.fixture
def heard() -> Iterator[list[str]]:
    handler, root = Heard(), logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield handler.lines
    root.removeHandler(handler)
    root.setLevel(level)


def test_scram_over_tls_end_to_end(broker: Broker, name: str, heard: list[str]) -> None:
    settings = secure(broker)
    with open_admin(settings) as admin:
        create_topic(admin, name)
        with open_producer(settings) as producer:
            producer.send(name, b"hello").get(10)
        with open_consumer(settings, auto_offset_reset="earliest") as consumer:
            consumer.subscribe([name])
            (batch,) = consumer.poll(10_000).values()
        assert [record.value for record in batch] == [b"hello"]
        assert delete_topics(admin, name) == (name,)
    assert PASSWORDS["admin"] not in "\n".join(heard)


LOGIN = r"rejected the password of user '{}'"


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"sasl.password": WRONG}, KafkaRefused, LOGIN.format("admin")),
        ({"sasl.username": "nobody"}, KafkaRefused, LOGIN.format("nobody")),
        ({"sasl.mechanism": "PLAIN"}, KafkaRefused, r"SASL mechanism PLAIN.+sasl_mechanism"),
        ({"ssl_cafile": None}, KafkaRefused, r"certificate is not trusted \(self-signed certificate\); set ssl_cafile"),
        (
            {"security.protocol": "SSL", "sasl.mechanism": None, "sasl.username": None, "sasl.password": None},
            KafkaRefused,
            r"the port expects a login, but security_protocol is SSL;",
        ),
        (
            {"security.protocol": "SASL_PLAINTEXT", "ssl_cafile": None},
            KafkaUnavailable,
            r"the broker closed the connection; check that security_protocol is the one of the port",
        ),
        ({"bootstrap.servers": "127.0.0.1:9"}, KafkaUnavailable, r"the connection was refused; check the address"),
        ({"bootstrap.servers": "no-such-host.invalid:9092"}, KafkaUnavailable, r"the broker's host name is unknown \(DNS\)"),
    ],
)
def test_the_reason_why_there_is_no_connection(
    broker: Broker, changes: dict[str, Any], kind: type[MLSQLError], message: str, heard: list[str]
) -> None:
    settings = secure(broker, **changes)
    threads = set(threading.enumerate())
    with pytest.raises(kind, match=message) as caught, open_admin(settings, seconds=2):
        pytest.fail("it connects")
    text = str(caught.value)
    assert text.startswith(f"connect on {settings.servers}: ")
    assert "\n" not in text
    assert WRONG not in text + "\n".join(heard)
    assert set(threading.enumerate()) <= threads  # kafka-python leaves its own behind


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, r"the port does not speak TLS, but security_protocol is SASL_SSL"),
        (
            {"security.protocol": "SASL_PLAINTEXT", "ssl_cafile": None},
            r"the port takes no login, but security_protocol is SASL_PLAINTEXT",
        ),
    ],
)
def test_more_security_than_the_port_has(broker: Broker, changes: dict[str, Any], message: str) -> None:
    settings = secure(broker, **{"bootstrap.servers": broker.bootstrap} | changes)
    with pytest.raises(KafkaRefused, match=message), open_admin(settings, seconds=1):
        pytest.fail("it connects")


def test_a_broker_that_falls_silent_is_not_one_that_expects_a_login(broker: Broker) -> None:
    options = {"bootstrap.servers": falling_silent(broker), "request.timeout.ms": 500}
    settings = parse_settings(options, "the test broker")
    with pytest.raises(KafkaUnavailable), open_admin(settings, seconds=3):
        pytest.fail("it connects")


def test_a_certificate_for_another_name(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    port = broker.secure_bootstrap.rpartition(":")[2]
    settings = secure(broker, **{"bootstrap.servers": f"127.0.0.1.nip.test:{port}"})
    monkeypatch.setattr(socket, "getaddrinfo", _to_localhost(int(port)))
    expected = pytest.raises(KafkaRefused, match=r"mismatch.+; connect to a name in it, or set ssl_check_hostname to false")
    with expected, open_admin(settings, seconds=2):
        pytest.fail("it connects")


def _to_localhost(port: int) -> Any:
    return lambda *_, **__: [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]


@pytest.fixture
def key_pair(broker: Broker) -> tuple[str, bytes]:
    """The broker's own certificate, and its key encrypted with ``key-password``, as PEM."""
    key, certificate, _ = pkcs12.load_key_and_certificates((broker.folder / "key.p12").read_bytes(), STORE_PASSWORD.encode())
    assert key is not None
    assert certificate is not None
    encryption = serialization.BestAvailableEncryption(b"key-password")
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
    return certificate.public_bytes(serialization.Encoding.PEM).decode(), pem


def test_a_client_certificate(broker: Broker, key_pair: tuple[str, bytes]) -> None:
    own = {"ssl_cert_pem": key_pair[0], "ssl_key_pem": key_pair[1].decode()}
    with open_admin(secure(broker, **own, ssl_password="key-password")):
        pass  # this broker wants none, and takes it
    expected = pytest.raises(InputError, match=r"the certificates cannot be used \(.+\); check .+ ssl_password")
    with expected as caught, open_admin(secure(broker, **own, ssl_password=WRONG)):
        pytest.fail("it connects")
    assert WRONG not in str(caught.value)


def test_a_port_that_wants_a_client_certificate(broker: Broker, key_pair: tuple[str, bytes], tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_bytes(key_pair[1])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(broker.cafile, tmp_path / "key.pem", "key-password")
    context.verify_mode = ssl.CERT_REQUIRED
    context.maximum_version = ssl.TLSVersion.TLSv1_2  # 1.3 tells after the client sent more, and a reset may come first
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(5)  # ends the thread below

        def serve() -> None:
            with contextlib.suppress(OSError):  # which an SSLError is
                while True:
                    client, _ = listener.accept()
                    with contextlib.suppress(ssl.SSLError), client, context.wrap_socket(client, server_side=True):
                        pass

        threading.Thread(target=serve, daemon=True).start()
        settings = secure(broker, **{"bootstrap.servers": f"127.0.0.1:{listener.getsockname()[1]}"})
        expected = pytest.raises(
            KafkaRefused, match=r"the broker ended the TLS handshake \(.*alert.*\); check ssl_certfile and ssl_keyfile"
        )
        with expected, open_admin(settings, seconds=2):
            pytest.fail("it connects")


def test_an_advertised_address_that_cannot_be_reached(broker: Broker) -> None:
    settings = parse_settings({"bootstrap.servers": advertising(broker, 9)}, "here")
    expected = pytest.raises(KafkaUnavailable, match=r"it responds, but no broker.+ \(127.0.0.1:9\); check advertised.listeners")
    with expected, open_admin(settings, seconds=2):
        pytest.fail("it connects")


@pytest.mark.parametrize("open_client", [open_producer, open_consumer])
def test_producers_and_consumers_explain_themselves_too(broker: Broker, open_client: Any) -> None:
    settings = secure(broker, **{"sasl.password": WRONG})
    with pytest.raises(KafkaRefused, match=LOGIN.format("admin")), open_client(settings, seconds=2):
        pytest.fail("it connects")


def test_a_codec_whose_package_is_missing(broker: Broker) -> None:
    settings = parse_settings({"bootstrap.servers": broker.bootstrap, "compression.type": "brotli"}, "here")
    with pytest.raises(InputError, match=r"kafka-python refused: Not supported codec: brotli"), open_producer(settings):
        pytest.fail("it opens")


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda admin: create_topic(admin, "mine"), r"create topic mine on .+: user 'guest' is not authorized"),
        (lambda admin: delete_topics(admin, "mine"), r"delete topic mine on .+: user 'guest' is not authorized"),
        (lambda admin: describe_topic(admin, "mine"), r"describe topic mine on .+: user 'guest' is not authorized"),
        (lambda admin: describe_group(admin, "ours"), r"describe group ours on .+: user 'guest' is not authorized"),
    ],
)
def test_a_missing_acl(broker: Broker, topic: Callable[..., str], ask: Any, message: str) -> None:
    settings = secure(broker, "guest")
    hidden = topic(0)
    with open_admin(settings) as admin:
        assert hidden not in list_topics(admin)  # a broker hides what one may not see
        with pytest.raises(KafkaRefused, match=message):
            ask(admin)


def test_a_cluster_tells_what_it_is(admin: Any, kafka_settings: KafkaSettings, broker: Broker) -> None:
    found = describe_cluster(admin)
    assert [f"{each.host}:{each.port}" for each in found.brokers] == [broker.bootstrap]
    assert found.controller == found.brokers[0].broker
    assert (found.cluster_id, found.version >= "4") == ("mlsqlmlsqlmlsqlmlsqlml", True)
    assert found.features["metadata.version"] > 0


def test_a_broker_that_dies_is_unavailable_until_it_is_back(mortal_broker: BrokerProcess) -> None:
    address = mortal_broker.broker.bootstrap
    settings = parse_settings({"bootstrap.servers": address}, "here")
    with open_admin(settings, seconds=2) as client:
        mortal_broker.kill()
        with pytest.raises(KafkaUnavailable, match=rf"list topics on {address}: "):
            list_topics(client)
    mortal_broker.start()
    with open_admin(settings) as client:
        list_topics(client)


def test_a_signal_handler_may_connect_while_its_thread_connects() -> None:
    """As when a task is killed: its handler removes topics."""
    settings, heard = parse_settings({"bootstrap.servers": "127.0.0.1:9"}, "nowhere"), list[str]()

    def handle(*_: object) -> None:
        with pytest.raises(KafkaUnavailable), open_admin(settings, 0.2):
            pass
        heard.append("handled")

    before = signal.signal(signal.SIGALRM, handle)
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    try:
        with pytest.raises(KafkaUnavailable), open_admin(settings, 1.5):
            pass
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert heard == ["handled"]
