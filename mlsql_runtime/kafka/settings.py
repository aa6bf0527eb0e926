"""What a Kafka client is told, in any of the usual notations, checked before a broker is asked.

Names are those of kafka-python (``sasl_plain_username``); the dotted ones of Kafka and librdkafka, which the official
Airflow provider uses, are understood (``sasl.username``, ``ssl.ca.location``). Files of certificates and keys are read
here, where the connection is, and travel as text: executors need no such files.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlsql_runtime.errors import InputError, did_you_mean

PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "GSSAPI", "AWS_MSK_IAM")
DELIVERY_MS = 120_000  # as a default
PASSWORD_MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")

_ALIASES = {
    "sasl_mechanisms": "sasl_mechanism",
    "sasl_username": "sasl_plain_username",
    "sasl_password": "sasl_plain_password",
    "ssl_ca_location": "ssl_cafile",
    "ssl_certificate_location": "ssl_certfile",
    "ssl_key_location": "ssl_keyfile",
    "ssl_key_password": "ssl_password",
    "ssl_certificate_pem": "ssl_cert_pem",
    "metadata_broker_list": "bootstrap_servers",
    "compression_codec": "compression_type",
    "fetch_wait_max_ms": "fetch_max_wait_ms",
    "fetch_message_max_bytes": "max_partition_fetch_bytes",
    "message_max_bytes": "max_request_size",
    "message_timeout_ms": "delivery_timeout_ms",
}
_ENDPOINT = "ssl_endpoint_identification_algorithm"
_FILES = {"ssl_cafile": "ssl_ca_pem", "ssl_certfile": "ssl_cert_pem", "ssl_keyfile": "ssl_key_pem"}
#: They never stand in a plan, a manifest or a log. Certificates are not secret, but travel with the key they belong to.
PRIVATE = frozenset({"sasl_plain_password", "ssl_password", "proxy_url", *_FILES.values()})
# Settings of consumers and producers that somebody else's connection may hold; how we send and read decides them here.
_DECIDED = frozenset(
    {
        *("group_id", "auto_offset_reset", "enable_auto_commit", "auto_commit_interval_ms", "session_timeout_ms"),
        *("heartbeat_interval_ms", "max_poll_records", "max_poll_interval_ms", "partition_assignment_strategy"),
        *("acks", "retries", "enable_idempotence", "transactional_id", "linger_ms", "batch_size"),
        *("max_block_ms", "max_request_size"),
        *("max_in_flight_requests_per_connection", "enable_partition_eof", "socket_timeout_ms"),
        *("request_required_acks", "message_send_max_retries", "queue_buffering_max_ms", "enable_auto_offset_store"),
        # librdkafka's own, which change nothing about what is sent or read
        *("error_cb", "stats_cb", "throttle_cb", "statistics_interval_ms", "debug", "log_level", "api_version_request"),
        *("broker_address_family", "socket_keepalive_enable", "queue_buffering_max_messages", "queue_buffering_max_kbytes"),
    }
)


def _boolean(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError("true or false")
    return text.lower() == "true"


def _whole(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = -1
    if number < 0:
        raise ValueError("a whole number")
    return number


_COMMON: dict[str, Callable[[str], Any]] = {
    "bootstrap_servers": str,
    "client_id": str,
    "security_protocol": str,
    "sasl_mechanism": str,
    "sasl_plain_username": str,
    "sasl_plain_password": str,
    "sasl_kerberos_service_name": str,
    "sasl_kerberos_domain_name": str,
    "ssl_check_hostname": _boolean,
    "ssl_password": str,
    "ssl_ca_pem": str,
    "ssl_cert_pem": str,
    "ssl_key_pem": str,
    "proxy_url": str,
    "client_dns_lookup": str,
    "request_timeout_ms": _whole,
    "connections_max_idle_ms": _whole,
    "metadata_max_age_ms": _whole,
    "reconnect_backoff_ms": _whole,
    "reconnect_backoff_max_ms": _whole,
    "retry_backoff_ms": _whole,
}
_PRODUCER: dict[str, Callable[[str], Any]] = {
    "compression_type": str,
    "delivery_timeout_ms": _whole,
}
_CONSUMER: dict[str, Callable[[str], Any]] = {
    "fetch_max_bytes": _whole,
    "max_partition_fetch_bytes": _whole,
    "fetch_max_wait_ms": _whole,
    "fetch_min_bytes": _whole,
    "check_crcs": _boolean,
    "client_rack": str,
}
_TYPES = _COMMON | _PRODUCER | _CONSUMER


@dataclass(frozen=True)
class KafkaSettings:
    """Checked settings; ``values`` is never shown, for it holds passwords. ``ignored`` are given settings without use."""

    values: Mapping[str, str] = field(repr=False)
    ignored: tuple[str, ...] = ()

    @property
    def servers(self) -> str:
        return self.values["bootstrap_servers"]

    @property
    def protocol(self) -> str:
        return self.values.get("security_protocol", "PLAINTEXT")

    @property
    def user(self) -> str | None:
        return self.values.get("sasl_plain_username")

    @property
    def public(self) -> dict[str, str]:
        """What may be seen."""
        return {name: value for name, value in self.values.items() if name not in PRIVATE}

    @property
    def private(self) -> dict[str, str]:
        """Passwords, keys and certificates."""
        return {name: value for name, value in self.values.items() if name in PRIVATE}

    def common(self) -> dict[str, Any]:
        """Typed arguments that every kafka-python client takes; the texts of certificates are not among them."""
        return self._typed({name: kind for name, kind in _COMMON.items() if not name.startswith("ssl_")})

    def producer(self) -> dict[str, Any]:
        return self._typed(_PRODUCER)

    def consumer(self) -> dict[str, Any]:
        return self._typed(_CONSUMER)

    @property
    def stall_seconds(self) -> float:
        """How long sending or reading may stand still before it fails (``delivery.timeout.ms``)."""
        return int(self.values.get("delivery_timeout_ms", DELIVERY_MS)) / 1000

    def _typed(self, kinds: Mapping[str, Callable[[str], Any]]) -> dict[str, Any]:
        return {name: kind(self.values[name]) for name, kind in kinds.items() if name in self.values}


def is_private(given: str) -> bool:
    """Whether a setting, in any notation, is a secret or travels with one."""
    return _canonical(given) in PRIVATE


def layered(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """One mapping, in which a later layer's setting replaces an earlier one's in any notation; None takes it away."""
    found: dict[str, tuple[str, Any]] = {}
    for layer in layers:
        found |= {_slot(given): (given, value) for given, value in layer.items()}
    return {given: value for given, value in found.values() if value is not None}


def _slot(given: str) -> str:
    """What a setting sets, which two of different names may do."""
    name = _canonical(given)
    return "ssl_check_hostname" if name == _ENDPOINT else _FILES.get(name, name)


def _canonical(given: str) -> str:
    plain = given.lower().replace(".", "_").replace("-", "_")
    return _ALIASES.get(plain, plain)


def parse_settings(options: Mapping[str, Any], what: str) -> KafkaSettings:
    """Settings in any notation. ``what`` names their source in errors, such as ``connection my_kafka``.

    :raises InputError: for an unknown setting, a wrong value, settings that contradict each other, a file that is not there.
    """
    values: dict[str, str] = {}
    ignored: list[str] = []
    for given, value in options.items():
        name = _canonical(given)
        if value is None or value == "":
            continue
        text = _text(value)
        if name in _DECIDED:
            ignored.append(given)
        elif name == _ENDPOINT:
            values["ssl_check_hostname"] = "false" if text.lower() == "none" else "true"
        elif name in _FILES:
            values[_FILES[name]] = _read(text, given, what)
        elif name in _TYPES:
            values[name] = _checked(name, text, given, what)
        else:
            known = [*_TYPES, *_FILES, *_ALIASES]
            raise InputError(f"{what}: there is no Kafka setting '{given}'{did_you_mean(name, known)}", setting=given)
    _check_together(values, what)
    return KafkaSettings(values, tuple(ignored))


def _text(value: object) -> str:
    if isinstance(value, (list, tuple)):
        return ",".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def _checked(name: str, text: str, given: str, what: str) -> str:
    if name in ("security_protocol", "sasl_mechanism"):
        choices = PROTOCOLS if name == "security_protocol" else MECHANISMS
        if text.upper() not in choices:
            raise InputError(f"{what}: {given} is {text!r}; expected one of {', '.join(choices)}")
        return text.upper()
    if name == "bootstrap_servers":
        return ",".join(server.strip() for server in text.split(",") if server.strip())
    try:
        _TYPES[name](text)
    except ValueError as error:
        raise InputError(f"{what}: {given} is {text!r}; expected {error}") from None
    return text


def _read(path: str, given: str, what: str) -> str:
    try:
        return Path(path).expanduser().read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{what}: {given} is {path}, which is no readable PEM file: {error}", path=path) from error


def _check_together(values: Mapping[str, str], what: str) -> None:
    request, delivery = values.get("request_timeout_ms"), values.get("delivery_timeout_ms", str(DELIVERY_MS))
    if request is not None and int(request) > int(delivery):
        raise InputError(f"{what}: request_timeout_ms is {request}, delivery_timeout_ms is {delivery}; expected at least as much")
    if "bootstrap_servers" not in values:
        raise InputError(f"{what} names no broker; set its host, or bootstrap.servers, such as broker1:9092,broker2:9092")
    for server in values["bootstrap_servers"].split(","):
        host, _, port = server.rpartition(":")
        if not host or not port.isdigit() or not 0 < int(port) < 65536:
            raise InputError(f"{what}: the broker {server!r} has no port; expected host:port, such as broker1:9092")
    protocol = values.get("security_protocol", "PLAINTEXT")
    mechanism = values.get("sasl_mechanism")
    if not protocol.startswith("SASL"):
        for name in ("sasl_mechanism", "sasl_plain_username", "sasl_plain_password"):
            if name in values:
                raise InputError(
                    f"{what}: {name} is set, but security_protocol is {protocol}; set it to SASL_SSL or SASL_PLAINTEXT"
                )
    elif mechanism is None:
        raise InputError(f"{what}: security_protocol is {protocol}; set sasl_mechanism as well, one of {', '.join(MECHANISMS)}")
    elif mechanism in PASSWORD_MECHANISMS and not {"sasl_plain_username", "sasl_plain_password"} <= values.keys():
        raise InputError(f"{what}: {mechanism} needs a user and a password; set login and password of the connection")
    if not protocol.endswith("SSL"):
        for name in values:
            if name.startswith("ssl_") and name != "ssl_check_hostname":  # which forms set whatever the protocol
                raise InputError(f"{what}: {name} is set, but security_protocol is {protocol}; set it to SSL or SASL_SSL")
    if ("ssl_key_pem" in values) != ("ssl_cert_pem" in values) and "PRIVATE KEY" not in values.get("ssl_cert_pem", ""):
        raise InputError(f"{what}: a client certificate needs its key; set both ssl_certfile and ssl_keyfile")
