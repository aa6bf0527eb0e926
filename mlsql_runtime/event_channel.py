"""The channel by which executors send events to the driver: TCP, one event per line, after a line with a secret token."""

from __future__ import annotations

import contextlib
import secrets
import select
import socket
import socketserver
import threading
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from mlsql_runtime.events import LogLine, Message, ScriptEvent, decode_message, emit, encode_message, log

STREAM_BYTES = 2 << 20  # of one script's output that go to the task log; all of it is in its own log
TOKEN_SECONDS = 10
CLOSING_SECONDS = 10


@dataclass(frozen=True)
class EventAddress:
    """Where executors send events to. Travels inside Spark tasks only."""

    host: str
    port: int
    token: str


class EventServer:
    """The driver's end. Use it as a context manager around the Spark job that sends events.

    :param host: the driver's name for executors.
    :param bind_address: where to listen; ``host`` by default.
    """

    def __init__(self, host: str, bind_address: str | None = None) -> None:
        token = secrets.token_hex(16)
        readers: list[threading.Thread] = []

        class Handler(socketserver.StreamRequestHandler):
            timeout = TOKEN_SECONDS

            def handle(self) -> None:
                with contextlib.suppress(OSError):
                    if secrets.compare_digest(self.rfile.readline(256).strip(), token.encode()):
                        self.connection.settimeout(None)  # a script may be silent for hours
                        self._emit_events()

            def _emit_events(self) -> None:
                is_announced = False
                for line in self.rfile:
                    message = decode_message(line)
                    if message is not None:
                        emit(message.event, message.label)
                    elif not is_announced and line.endswith(b"\n"):  # else the connection was lost amid an event
                        is_announced = True
                        log(f"an executor at {self.client_address[0]} sent lines that are not events; they are left out")

        class Server(socketserver.ThreadingTCPServer):
            request_queue_size = 128  # clients that connect at the same time; one more would wait a second

            def process_request(self, request: Any, client_address: Any) -> None:
                """Start a thread for each client, known before it starts, so that closing can wait for it, but not forever."""
                reader = threading.Thread(target=self.process_request_thread, args=(request, client_address), daemon=True)
                readers.append(reader)
                reader.start()

        self._readers = readers
        self._server = Server((bind_address or host, 0), Handler)
        self.address = EventAddress(host, self._server.server_address[1], token)

    def __enter__(self) -> EventServer:
        threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, name="mlsql-events", daemon=True
        ).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._server.shutdown()
        while select.select([self._server], [], [], 0)[0]:  # connections that have not been accepted yet
            self._server.handle_request()
        deadline = time.monotonic() + CLOSING_SECONDS
        for reader in self._readers:  # until all events that were sent are written
            reader.join(max(0.0, deadline - time.monotonic()))
        self._server.server_close()


class EventClient:
    """An executor's end. A lost connection costs live events, never the job."""

    def __init__(self, address: EventAddress, label: str) -> None:
        self._label, self._room = label, STREAM_BYTES
        self._socket: socket.socket | None = None
        with contextlib.suppress(OSError):
            self._socket = socket.create_connection((address.host, address.port), timeout=10)
            self._socket.sendall(address.token.encode() + b"\n")

    def send(self, event: ScriptEvent) -> None:
        """Send one event; after 2 MiB of text, one last line says that there is more."""
        if self._room <= 0 or self._socket is None:
            return
        self._room -= len(event.text) + 1
        last = event if self._room > 0 else LogLine("… more output than the task log takes …")
        line = encode_message(Message(event=last, label=self._label))
        try:
            self._socket.sendall(line.encode(errors="replace") + b"\n")
        except OSError:
            self._socket.close()
            self._socket = None

    def log(self, text: str) -> None:
        """Send a line of text."""
        self.send(LogLine(text))

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
