"""Lines that people read while a job runs: ``[mlsql]`` for our own, ``[fit 0]`` for the script of group 0.

The driver prints them on standard output, from where the Airflow hook takes them into the task log. Executors send
theirs to a :class:`EventServer` on the driver over TCP, one JSON object per line, the first one a secret token.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import select
import socket
import socketserver
import threading
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Any

OURS = "mlsql"
STREAM_BYTES = 2 << 20  # of one script's output that go to the task log; all of it is in its own log
TOKEN_SECONDS = 10
CLOSING_SECONDS = 10
_printing = threading.Lock()


def log(text: str, label: str = OURS) -> None:
    """Print a line for people, at once; a text with line ends in it as several."""
    with _printing:
        for line in text.replace("\r", "\n").split("\n"):
            print(f"[{label}] {line}", flush=True)


@dataclass(frozen=True)
class EventAddress:
    """Where executors send lines to. Travels inside Spark tasks only."""

    host: str
    port: int
    token: str


class EventServer:
    """The driver's end. Use it as a context manager around the Spark job that sends lines.

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
                        for line in self.rfile:
                            label, text = json.loads(line)
                            log(text, label)

        class Server(socketserver.ThreadingTCPServer):
            request_queue_size = 128  # clients that connect at the same time; one more would wait a second

            def process_request(self, request: Any, client_address: Any) -> None:
                """One thread for each client, known before it starts, so that closing can wait for it, but not forever."""
                reader = threading.Thread(target=self.process_request_thread, args=(request, client_address), daemon=True)
                readers.append(reader)
                reader.start()

        self._readers = readers
        self._server = Server((bind_address or host, 0), Handler)
        self.address = EventAddress(host, self._server.server_address[1], token)

    def __enter__(self) -> EventServer:
        threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, name="mlsql-live", daemon=True
        ).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._server.shutdown()
        while select.select([self._server], [], [], 0)[0]:  # connections that nobody has looked at yet
            self._server.handle_request()
        deadline = time.monotonic() + CLOSING_SECONDS
        for reader in self._readers:  # until all lines that were sent are printed
            reader.join(max(0.0, deadline - time.monotonic()))
        self._server.server_close()


class EventClient:
    """An executor's end. A lost connection costs the live lines, never the job."""

    def __init__(self, address: EventAddress, label: str) -> None:
        self._label, self._room = label, STREAM_BYTES
        self._socket: socket.socket | None = None
        with contextlib.suppress(OSError):
            self._socket = socket.create_connection((address.host, address.port), timeout=10)
            self._socket.sendall(address.token.encode() + b"\n")

    def send(self, text: str) -> None:
        """Send one line; after 2 MiB, one last line says that there is more."""
        if self._room <= 0:
            return
        self._room -= len(text) + 1
        self._write(text if self._room > 0 else "… more output than the task log takes …")

    def _write(self, text: str) -> None:
        if self._socket is None:
            return
        try:
            self._socket.sendall(json.dumps([self._label, text]).encode() + b"\n")
        except OSError:
            self._socket.close()
            self._socket = None

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
