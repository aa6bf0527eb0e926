"""Helpers of the Kafka tests: settings for the secure listener, forwarders that change what the broker responds."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from typing import Any

from broker import PASSWORDS, Broker

from mlsql_runtime.kafka.settings import KafkaSettings, merge_options, parse_settings


def secure_options(broker: Broker, user: str = "admin") -> dict[str, Any]:
    """Return the secure listener's settings in the dotted notation."""
    return {
        "bootstrap.servers": broker.secure_bootstrap,
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": user,
        "sasl.password": PASSWORDS.get(user, "unknown-users-secret"),
        "ssl.ca.location": str(broker.cafile),
    }


def secure(broker: Broker, user: str = "admin", **changes: Any) -> KafkaSettings:
    """Return checked settings for the secure listener; a change to None removes a setting."""
    return parse_settings(merge_options(secure_options(broker, user), changes), "the test broker")


def advertising(broker: Broker, port: int) -> str:
    """Start a server that forwards to the plain listener but advertises ``port``; return its address."""
    target = int(broker.bootstrap.rpartition(":")[2])
    return _forwarding(target, lambda data: data.replace(target.to_bytes(4, "big"), port.to_bytes(4, "big")))


def falling_silent(broker: Broker) -> str:
    """Start a server that forwards to the plain listener, and only the first response from there; return its address."""
    seen: list[bytes] = []

    def change(data: bytes) -> bytes:
        seen.append(data)
        return data if len(seen) == 1 else b""

    return _forwarding(int(broker.bootstrap.rpartition(":")[2]), change)


def _forwarding(target: int, change: Callable[[bytes], bytes]) -> str:
    """Start a server that forwards one connection to a port, and changes what comes from there; return its address."""
    listener = socket.create_server(("127.0.0.1", 0))

    def pump(source: socket.socket, sink: socket.socket, change: Callable[[bytes], bytes]) -> None:
        with source, sink:
            while data := source.recv(65536):
                sink.sendall(change(data))

    def serve() -> None:
        with listener:
            client, _ = listener.accept()
            server = socket.create_connection(("127.0.0.1", target))
            threading.Thread(target=_quietly, args=(pump, client, server, bytes), daemon=True).start()
            _quietly(pump, server, client, change)

    threading.Thread(target=serve, daemon=True).start()
    return f"127.0.0.1:{listener.getsockname()[1]}"


def _quietly(pump: Any, *arguments: Any) -> None:
    try:
        pump(*arguments)
    except OSError:  # one side went away
        return
