"""Settings of Kafka clients, in any of the usual notations, checked before a client connects.

Names are those of kafka-python (``sasl_plain_username``). The dotted names of Kafka and librdkafka, which the official Airflow
provider uses, are accepted as well (``sasl.username``, ``ssl.ca.location``). Files of certificates and keys are read here, on
the machine that has the connection, and travel as text: executors need no such files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlsql_runtime.errors import OptionError, did_you_mean

PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "GSSAPI", "AWS_MSK_IAM")
DELIVERY_MS = 120_000  # the default of delivery_timeout_ms
SECRETS = "kafka"  # the name of the private settings in the job's secrets
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
#: Kept out of plans, manifests and logs. Certificates are not secret, but travel with the key they belong to.
PRIVATE = frozenset({"sasl_plain_password", "ssl_password", "proxy_url", *_FILES.values()})
# Settings that an existing connection may contain, but that our way of sending and reading determines.
_IGNORED = frozenset(
    {
        *("group_id", "auto_offset_reset", "enable_auto_commit", "auto_commit_interval_ms", "session_timeout_ms"),
        *("heartbeat_interval_ms", "max_poll_records", "max_poll_interval_ms", "partition_assignment_strategy"),
        *("acks", "retries", "enable_idempotence", "transactional_id", "linger_ms", "batch_size"),
        *("max_block_ms", "max_request_size"),
        *("max_in_flight_requests_per_connection", "enable_partition_eof", "socket_timeout_ms"),
        *("request_required_acks", "message_send_max_retries", "queue_buffering_max_ms", "enable_auto_offset_store"),
        # of librdkafka, without influence on what is sent or read
        *("error_cb", "stats_cb", "throttle_cb", "statistics_interval_ms", "debug", "log_level", "api_version_request"),
        *("broker_address_family", "socket_keepalive_enable", "queue_buffering_max_messages", "queue_buffering_max_kbytes"),
    }
)


# Not the parsers of plan/, because interpreters of users import this module, and plan/ would cost them 45 ms.
def _parse_boolean(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError("true or false")
    return text.lower() == "true"


def _parse_whole(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = -1
    if number < 0:
        raise ValueError("a whole number")
    return number


_TLS: dict[str, Callable[[str], Any]] = {
    **dict.fromkeys(("ssl_password", "ssl_ca_pem", "ssl_cert_pem", "ssl_key_pem"), str),
    "ssl_check_hostname": _parse_boolean,
}
_CLIENT: dict[str, Callable[[str], Any]] = {
    **dict.fromkeys(("bootstrap_servers", "client_id", "client_dns_lookup", "proxy_url", "security_protocol"), str),
    **dict.fromkeys(("sasl_mechanism", "sasl_plain_username", "sasl_plain_password"), str),
    **dict.fromkeys(("sasl_kerberos_service_name", "sasl_kerberos_domain_name"), str),
    **dict.fromkeys(("request_timeout_ms", "connections_max_idle_ms", "metadata_max_age_ms"), _parse_whole),
    **dict.fromkeys(("reconnect_backoff_ms", "reconnect_backoff_max_ms", "retry_backoff_ms"), _parse_whole),
}
_PRODUCER: dict[str, Callable[[str], Any]] = {"compression_type": str, "delivery_timeout_ms": _parse_whole}
_CONSUMER: dict[str, Callable[[str], Any]] = {
    **dict.fromkeys(("fetch_max_bytes", "max_partition_fetch_bytes", "fetch_max_wait_ms", "fetch_min_bytes"), _parse_whole),
    "check_crcs": _parse_boolean,
    "client_rack": str,
}
_TYPES = _TLS | _CLIENT | _PRODUCER | _CONSUMER


@dataclass(frozen=True)
class KafkaSettings:
    """Checked settings. ``values`` contains passwords, so it is not shown; ``ignored`` are the given settings without effect."""

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
        """The settings that may be shown."""
        return {name: value for name, value in self.values.items() if name not in PRIVATE}

    @property
    def private(self) -> dict[str, str]:
        """Passwords, keys and certificates."""
        return {name: value for name, value in self.values.items() if name in PRIVATE}

    def feed_fields(self, secrets: str) -> dict[str, Any]:
        """Return the fields of a :class:`~mlsql_runtime.plan.KafkaFeed` about the settings; the private ones are in the job's
        secrets as ``secrets``.
        """
        return {"settings": self.public, "secrets": secrets if self.private else None}

    def client_arguments(self) -> dict[str, Any]:
        """Return the typed arguments of every kafka-python client, without those that are for the TLS context."""
        return self._typed(_CLIENT)

    def producer_arguments(self) -> dict[str, Any]:
        return self._typed(_PRODUCER)

    def consumer_arguments(self) -> dict[str, Any]:
        return self._typed(_CONSUMER)

    @property
    def stall_seconds(self) -> float:
        """How long sending or reading may make no progress before it fails (``delivery.timeout.ms``)."""
        return int(self.values.get("delivery_timeout_ms", DELIVERY_MS)) / 1000

    def _typed(self, kinds: Mapping[str, Callable[[str], Any]]) -> dict[str, Any]:
        return {name: kind(self.values[name]) for name, kind in kinds.items() if name in self.values}


def is_private(given: str) -> bool:
    """Return whether a setting, in any notation, is a secret or travels with one."""
    return _to_canonical(given) in PRIVATE


def merge_options(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of all layers; a later layer replaces a setting in any notation, and None removes it."""
    found: dict[str, tuple[str, Any]] = {}
    for layer in layers:
        found |= {_find_target(given): (given, value) for given, value in layer.items()}
    return {given: value for given, value in found.values() if value is not None}


def _find_target(given: str) -> str:
    """Return the setting that an option determines; several options may determine one."""
    name = _to_canonical(given)
    return "ssl_check_hostname" if name == _ENDPOINT else _FILES.get(name, name)


def _to_canonical(given: str) -> str:
    plain = given.lower().replace(".", "_").replace("-", "_")
    return _ALIASES.get(plain, plain)


def parse_settings(options: Mapping[str, Any], source: str) -> KafkaSettings:
    """Return the settings that options in any notation give.

    :param source: names where the options come from in errors, such as ``connection my_kafka``.
    :raises InputError: for an unknown setting, a wrong value, settings that contradict each other, a file that does not exist.
    """
    values: dict[str, str] = {}
    ignored: list[str] = []
    for given, value in options.items():
        name = _to_canonical(given)
        if value is None or value == "":
            continue
        text = _to_text(value)
        if name in _IGNORED:
            ignored.append(given)
        elif name == _ENDPOINT:
            values["ssl_check_hostname"] = "false" if text.lower() == "none" else "true"
        elif name in _FILES:
            values[_FILES[name]] = _read_pem(text, given, source)
        elif name in _TYPES:
            values[name] = _check_value(name, text, given, source)
        else:
            hint = did_you_mean(name, [*_TYPES, *_FILES, *_ALIASES])
            raise OptionError(f"{source}: there is no Kafka setting '{given}'{hint}", name=given)
    conflict = next(_find_conflicts(values), None)
    if conflict is not None:
        raise OptionError(f"{source} {conflict[1]}", name=conflict[0])
    return KafkaSettings(values, tuple(ignored))


def _to_text(value: object) -> str:
    if isinstance(value, (list, tuple)):
        return ",".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def _check_value(name: str, text: str, given: str, source: str) -> str:
    if name in ("security_protocol", "sasl_mechanism"):
        choices = PROTOCOLS if name == "security_protocol" else MECHANISMS
        if text.upper() not in choices:
            raise OptionError(f"{source}: {given} is {text!r}; expected one of {', '.join(choices)}", name=given)
        return text.upper()
    if name == "bootstrap_servers":
        return ",".join(server.strip() for server in text.split(",") if server.strip())
    try:
        _TYPES[name](text)
    except ValueError as error:
        raise OptionError(f"{source}: {given} is {text!r}; expected {error}", name=given) from None
    return text


def _read_pem(path: str, given: str, source: str) -> str:
    try:
        return Path(path).expanduser().read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise OptionError(f"{source}: {given} is {path}, which is not a readable PEM file: {error}", name=given) from error


def _find_conflicts(values: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with the settings together, as a setting and the end of a sentence about their source."""
    if "bootstrap_servers" not in values:
        yield "bootstrap_servers", "names no broker; set its host, or bootstrap.servers, such as broker1:9092,broker2:9092"
        return
    for server in values["bootstrap_servers"].split(","):
        host, _, port = server.rpartition(":")
        if not host or not port.isdigit() or not 0 < int(port) < 65536:
            yield "bootstrap_servers", f"names the broker {server!r} without a port; expected host:port, such as broker1:9092"
    request, delivery = values.get("request_timeout_ms"), values.get("delivery_timeout_ms", str(DELIVERY_MS))
    if request is not None and int(request) > int(delivery):
        yield (
            "request_timeout_ms",
            f"sets request_timeout_ms to {request}, delivery_timeout_ms is {delivery}; expected at least as much",
        )
    protocol = values.get("security_protocol", "PLAINTEXT")
    mechanism = values.get("sasl_mechanism")
    if not protocol.startswith("SASL"):
        for name in sorted({"sasl_mechanism", "sasl_plain_username", "sasl_plain_password"} & values.keys()):
            yield name, f"sets {name}, but security_protocol is {protocol}; set it to SASL_SSL or SASL_PLAINTEXT"
    elif mechanism is None:
        yield (
            "security_protocol",
            f"sets security_protocol to {protocol} without sasl_mechanism; set it to one of {', '.join(MECHANISMS)}",
        )
    elif mechanism in PASSWORD_MECHANISMS and not {"sasl_plain_username", "sasl_plain_password"} <= values.keys():
        yield "sasl_mechanism", f"sets {mechanism}, which needs a user and a password; set login and password of the connection"
    if not protocol.endswith("SSL"):
        for name in values:
            if name.startswith("ssl_") and name != "ssl_check_hostname":  # forms set this one whatever the protocol
                yield name, f"sets {name}, but security_protocol is {protocol}; set it to SSL or SASL_SSL"
    if ("ssl_key_pem" in values) != ("ssl_cert_pem" in values) and "PRIVATE KEY" not in values.get("ssl_cert_pem", ""):
        yield "ssl_cert_pem", "sets a client certificate or its key alone; set both ssl_certfile and ssl_keyfile"
