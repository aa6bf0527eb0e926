"""The events of a running job, each as one JSON object on a line of its own.

Executors send events to an :class:`EventServer` on the driver over TCP. The driver writes events on its standard output: as JSON
if the process that submitted it reads them (the environment variable ``MLSQL_EVENTS`` then holds the token that it expects),
else as the text that people read in the logs of a cluster, ``[label] text``. The label is ``mlsql`` for our own events, ``fit 0``
for those of the script of fit group 0.

A line counts as an event only with the token of its reader, so that no output of a user's code is mistaken for one: what a script
prints travels inside events.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import select
import socket
import socketserver
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, ClassVar

from mlsql_runtime import codec
from mlsql_runtime.errors import FormatError

PROTOCOL_VERSION = 1
EVENTS_VARIABLE = "MLSQL_EVENTS"
OURS = "mlsql"
STREAM_BYTES = 2 << 20  # of one script's output that go to the task log; all of it is in its own log
TOKEN_SECONDS = 10
CLOSING_SECONDS = 10
_STDOUT = threading.Lock()  # unbuffered, it would mix long lines of several threads


@dataclass(frozen=True, kw_only=True)
class ApplicationStarted:
    """The Spark application has started.

    ``ui`` is the URL of its UI while it runs, ``history`` that of the history server's page about it; None if there is none.
    """

    tag: ClassVar[str] = "application_started"
    spark: str
    master: str
    application: str
    ui: str | None
    history: str | None

    @property
    def text(self) -> str:
        history = f", history {self.history}" if self.history else ""
        return f"Spark {self.spark} on {self.master}, application {self.application}, {self.ui or 'no UI'}{history}"


@dataclass(frozen=True, kw_only=True)
class StatementStarted:
    """The job begins with a statement of its plan; ``number`` counts from 1."""

    tag: ClassVar[str] = "statement_started"
    number: int
    total: int
    title: str

    @property
    def text(self) -> str:
        return f"({self.number}/{self.total}) {self.title}"


@dataclass(frozen=True)
class LogLine:
    """A line for people, of ours or of a script. A text with line ends is shown as several lines."""

    tag: ClassVar[str] = "log_line"
    text: str


@dataclass(frozen=True)
class Progress:
    """A script has done ``done`` of ``total``, both in a unit of its own."""

    tag: ClassVar[str] = "progress"
    done: float
    total: float

    @property
    def text(self) -> str:
        return f"progress: {self.done:g} of {self.total:g} ({self.done / self.total:.0%})"


@dataclass(frozen=True, kw_only=True)
class Metrics:
    """Metrics that a script reported at ``step``; a value that is not finite is None, and in ``text`` what it was."""

    tag: ClassVar[str] = "metrics"
    step: int | None
    values: Mapping[str, float | None]
    text: str


ScriptEvent = LogLine | Progress | Metrics
Event = ApplicationStarted | StatementStarted | LogLine | Progress | Metrics


@dataclass(frozen=True, kw_only=True)
class Message:
    """An event as it travels, with the label of its sender and the token of its reader."""

    protocol_version: int = PROTOCOL_VERSION
    token: str
    label: str
    event: Event

    @property
    def text(self) -> str:
        """The event as people read it, each line with the label."""
        return "\n".join(f"[{self.label}] {line}" for line in self.event.text.replace("\r", "\n").split("\n"))


def encode_message(message: Message) -> str:
    """Return the message as one line of JSON, without a line end."""
    return json.dumps(codec.encode(message), ensure_ascii=False)


def decode_message(line: str | bytes, token: str) -> Message | None:
    """Return the message of a line; None if the line is not a message, or is for another reader."""
    try:
        message = codec.loads(Message, line, "event", version=("protocol_version", PROTOCOL_VERSION))
    except (FormatError, RecursionError):
        return None
    return message if secrets.compare_digest(message.token.encode(), token.encode()) else None


def emit(event: Event, label: str = OURS) -> None:
    """Write an event on standard output, at once."""
    token = os.environ.get(EVENTS_VARIABLE, "")
    message = Message(event=event, label=label, token=token)
    with _STDOUT:
        sys.stdout.write(f"{encode_message(message) if token else message.text}\n")
        sys.stdout.flush()


def log(text: str, label: str = OURS) -> None:
    """Write a line for people, or several, as :func:`emit` does."""
    emit(LogLine(text), label)


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
                        for line in self.rfile:
                            message = decode_message(line, token)
                            if message is None:
                                break
                            emit(message.event, message.label)

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
        self._token, self._label, self._room = address.token, label, STREAM_BYTES
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
        line = encode_message(Message(event=last, label=self._label, token=self._token))
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
