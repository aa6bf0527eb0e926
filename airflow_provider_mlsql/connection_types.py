"""Connection types as Airflow's forms show them."""

from __future__ import annotations

from typing import Any

from mlsql_runtime.kafka.settings import MECHANISMS, PROTOCOLS


def kafka() -> dict[str, Any]:
    """The connection of :class:`~airflow_provider_mlsql.hooks.kafka.KafkaHook`."""
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
                "description": "What the port speaks.",
                "schema": {"type": "string", "enum": list(PROTOCOLS), "default": PROTOCOLS[0]},
            },
            "sasl_mechanism": {
                "label": "SASL mechanism",
                "description": "How to log in, for SASL_PLAINTEXT and SASL_SSL.",
                "schema": {"type": ["string", "null"], "enum": [None, *MECHANISMS]},
            },
            "ssl_cafile": _file("CA certificate", "PEM file of the authority that signed the brokers' certificates."),
            "ssl_certfile": _file("Client certificate", "PEM file, where brokers want one."),
            "ssl_keyfile": _file("Client key", "PEM file of the certificate's key."),
            "ssl_password": {
                "label": "Password of the client key",
                "schema": {"type": ["string", "null"], "format": "password"},
            },
            "ssl_check_hostname": {
                "label": "Check the broker's name",
                "description": "Whether its certificate must be for the name that it is reached by.",
                "schema": {"type": "boolean", "default": True},
            },
        },
    }


def _file(label: str, description: str) -> dict[str, Any]:
    told = f"{description} Read where the connection is used, on a worker."
    return {"label": label, "description": told, "schema": {"type": ["string", "null"]}}
