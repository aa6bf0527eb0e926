"""Settings in every notation, and what is said of those that cannot be."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest

from mlsql_runtime.errors import InputError
from mlsql_runtime.kafka.settings import merge_options, parse_settings

SECRET = "s3cret-9b1d"
SASL = {"bootstrap.servers": "b1:9092", "security.protocol": "SASL_SSL", "sasl.mechanism": "PLAIN"}
FULL = SASL | {"sasl.username": "me", "sasl.password": SECRET}


@pytest.fixture
def pem(tmp_path: Path) -> str:
    path = tmp_path / "a.pem"
    path.write_text("-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----\n")
    return str(path)


@pytest.mark.parametrize(
    "notation",
    [
        FULL,
        {name.replace(".", "_"): value for name, value in FULL.items()},
        {
            "bootstrap_servers": ["b1:9092"],
            "security_protocol": "sasl_ssl",
            "sasl.mechanisms": "plain",
            "sasl_plain_username": "me",
            "sasl_plain_password": SECRET,
        },
        {"metadata.broker.list": " b1:9092 ,", **{name.upper(): value for name, value in FULL.items() if name[0] == "s"}},
    ],
)
def test_every_notation_says_the_same(notation: dict[str, Any]) -> None:
    assert parse_settings(notation, "here") == parse_settings(FULL, "here")


def test_files_are_read_and_travel_as_text(pem: str) -> None:
    settings = parse_settings({"bootstrap.servers": "b1:9092", "security.protocol": "SSL", "ssl.ca.location": pem}, "here")
    assert settings.values["ssl_ca_pem"] == Path(pem).read_text()
    assert "ssl_ca_pem" not in settings.client_arguments()  # the context has it


def test_secrets_are_in_no_text_but_survive_a_pickle(pem: str) -> None:
    settings = parse_settings(FULL | {"ssl_cafile": pem, "proxy_url": f"socks5://me:{SECRET}@p"}, "here")
    assert SECRET not in f"{settings!r} {settings} {settings.public}"
    assert set(settings.private) == {"sasl_plain_password", "ssl_ca_pem", "proxy_url"}
    assert pickle.loads(pickle.dumps(settings)) == settings


def test_values_get_their_types() -> None:
    settings = parse_settings(
        {"bootstrap.servers": "b1:9092,b2:9093", "request.timeout.ms": 7, "check.crcs": "True", "compression.type": "gzip"},
        "here",
    )
    assert settings.client_arguments() == {"bootstrap_servers": "b1:9092,b2:9093", "request_timeout_ms": 7}
    assert settings.consumer_arguments() == {"check_crcs": True}
    assert settings.producer_arguments() == {"compression_type": "gzip"}


def test_settings_that_decide_nothing_here_are_named() -> None:
    settings = parse_settings({"bootstrap.servers": "b1:9092", "group.id": "g", "max.block.ms": 5, "error_cb": "a.b"}, "here")
    assert settings.ignored == ("group.id", "max.block.ms", "error_cb")
    assert settings.public == {"bootstrap_servers": "b1:9092"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, r"here names no broker; set its host, or bootstrap.servers"),
        ({"bootstrap.servers": "b1"}, r"here names the broker 'b1' without a port; expected host:port"),
        ({"bootstrap.servers": "b1:9092,b2:99999"}, r"the broker 'b2:99999' without a port"),
        (FULL | {"sasl.pasword": SECRET}, r"no Kafka setting 'sasl.pasword'; did you mean 'sasl_password'"),
        (FULL | {"security.protocol": "TLS"}, r"security.protocol is 'TLS'; expected one of PLAINTEXT, SSL,"),
        (FULL | {"sasl.mechanism": "SCRAM"}, r"sasl.mechanism is 'SCRAM'; expected one of PLAIN, SCRAM-SHA-256"),
        (FULL | {"request.timeout.ms": "soon"}, r"request.timeout.ms is 'soon'; expected a whole number"),
        (
            FULL | {"request.timeout.ms": 9000, "delivery.timeout.ms": 8000},
            r"request_timeout_ms to 9000, delivery_timeout_ms is 8000",
        ),
        (FULL | {"check.crcs": "maybe"}, r"check.crcs is 'maybe'; expected true or false"),
        (FULL | {"ssl.ca.location": "/no/such.pem"}, r"ssl.ca.location is /no/such.pem, which is not a readable PEM file"),
        (
            {"bootstrap.servers": "b1:9092", "sasl.password": SECRET},
            r"sets sasl_plain_password, but security_protocol is PLAIN",
        ),
        ({"bootstrap.servers": "b1:9092", "ssl.password": SECRET}, r"sets ssl_password, but security_protocol is PLAINTEXT"),
        (
            {"bootstrap.servers": "b1:9092", "security.protocol": "SASL_SSL"},
            r"SASL_SSL without sasl_mechanism; set it to one of PLAIN",
        ),
        (SASL | {"sasl.password": SECRET}, r"PLAIN, which needs a user and a password; set login and password"),
        (FULL | {"ssl_cert_pem": "CERT"}, r"a client certificate or its key alone; set both ssl_certfile and ssl_keyfile"),
    ],
)
def test_a_wrong_setting_is_named_without_the_password(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        parse_settings(options, "here")
    assert str(caught.value).startswith("here")
    assert SECRET not in f"{caught.value} {caught.value.facts}"


def test_later_layers_win_in_any_notation() -> None:
    below = {
        "bootstrap_servers": "a:1",
        "sasl.username": "me",
        "ssl.ca.location": "/a",
        "ssl.endpoint.identification.algorithm": "none",
    }
    above = {"bootstrap.servers": "b:1", "sasl_plain_username": None, "ssl_ca_pem": "PEM", "ssl_check_hostname": True}
    assert merge_options(below, above) == {"bootstrap.servers": "b:1", "ssl_ca_pem": "PEM", "ssl_check_hostname": True}
