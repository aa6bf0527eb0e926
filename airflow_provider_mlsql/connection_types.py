"""Connection types as Airflow's forms show them."""

from __future__ import annotations

from typing import Any

from mlsql_runtime.kafka.settings import MECHANISMS, PROTOCOLS


def kafka() -> dict[str, Any]:
    """Return the form of the connection of :class:`~airflow_provider_mlsql.hooks.kafka.KafkaHook`."""
    return {
        "connection-type": "mlsql_kafka",
        "hook-class-name": "airflow_provider_mlsql.hooks.kafka.KafkaHook",
        "hook-name": "MLSQL Kafka",
        "ui-field-behaviour": {
            "hidden-fields": ["schema"],
            "relabeling": {
                "host": "Bootstrap servers",
                "port": "Port of servers without one",
                "login": "SASL user",
                "password": "SASL password",
            },
            "placeholders": {
                "host": "broker1:9092,broker2:9092",
                "login": "for SASL_PLAINTEXT and SASL_SSL",
                "extra": '{"compression.type": "gzip"}',
            },
        },
        "conn-fields": {
            "security_protocol": {
                "label": "Security protocol",
                "description": "Protocol of the brokers' port.",
                "schema": {"type": "string", "enum": list(PROTOCOLS), "default": PROTOCOLS[0]},
            },
            "sasl_mechanism": {
                "label": "SASL mechanism",
                "description": "Login mechanism, for SASL_PLAINTEXT and SASL_SSL.",
                "schema": {"type": ["string", "null"], "enum": [None, *MECHANISMS]},
            },
            "ssl_cafile": _file("CA certificate", "PEM file of the authority that signed the brokers' certificates."),
            "ssl_certfile": _file("Client certificate", "PEM file, for brokers that require a certificate."),
            "ssl_keyfile": _file("Client key", "PEM file with the key of the certificate."),
            "ssl_password": {
                "label": "Password of the client key",
                "schema": {"type": ["string", "null"], "format": "password"},
            },
            "ssl_check_hostname": {
                "label": "Check the broker's name",
                "description": "Whether the broker's certificate must be for the host name of the connection.",
                "schema": {"type": "boolean", "default": True},
            },
        },
    }


def _file(label: str, description: str) -> dict[str, Any]:
    text = f"{description} It is read on the worker that uses the connection."
    return {"label": label, "description": text, "schema": {"type": ["string", "null"]}}
