"""The events of a running job, each as one JSON object on a line of its own.

Executors send events to the driver over TCP (:mod:`mlsql_runtime.event_channel`). The driver writes them as JSON to the process
that submitted it, through the named pipe whose path is in the environment variable ``MLSQL_EVENTS``. Standard output would not
do: spark-submit copies it in pieces of 1 KiB, between which the JVM writes its own lines. Without a reader, as on a cluster,
events are printed as people read them in logs, ``[label] text``; there the driver also writes them into the job's folder
(:mod:`mlsql_runtime.submission.event_files`). The label is ``mlsql`` for our own events, ``fit 0`` for those of the script of fit
group 0.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

from mlsql_runtime import codec
from mlsql_runtime.errors import FormatError

PROTOCOL_VERSION = 1
EVENTS_VARIABLE = "MLSQL_EVENTS"
OURS = "mlsql"
_WRITING = threading.Lock()  # the process has one pipe and one standard output, which would mix long lines of several threads
_receivers: list[Callable[[Message], None]] = []


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
        share = f" ({self.done / self.total:.0%})" if self.total else ""
        return f"progress: {self.done:g} of {self.total:g}{share}"


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
    """An event as it travels, with the label of its sender."""

    protocol_version: int = PROTOCOL_VERSION
    label: str
    event: Event

    @property
    def text(self) -> str:
        """The event as people read it, each line with the label."""
        return "\n".join(f"[{self.label}] {line}" for line in self.event.text.replace("\r", "\n").split("\n"))


def encode_message(message: Message) -> str:
    """Return the message as one line of JSON, without a line end."""
    return json.dumps(codec.encode(message), ensure_ascii=False)


def decode_message(line: str | bytes) -> Message | None:
    """Return the message of a line; None if the line is not a message."""
    try:
        return codec.loads(Message, line, "event", version=("protocol_version", PROTOCOL_VERSION))
    except FormatError:
        return None


def emit(event: Event, label: str = OURS) -> None:
    """Write an event for the process that submitted this one, or print it, at once.

    An event that nobody can take is lost: a job whose submitter was killed has to clean up all the same.
    """
    message = Message(event=event, label=label)
    pipe = os.environ.get(EVENTS_VARIABLE)
    with _WRITING:
        if pipe is None or not _write_to_pipe(pipe, message):
            with contextlib.suppress(OSError):
                sys.stdout.write(f"{message.text}\n")
                sys.stdout.flush()
    for receive in _receivers:
        receive(message)


@contextlib.contextmanager
def send_also_to(receive: Callable[[Message], None]) -> Iterator[None]:
    """Call ``receive`` with each message that this process emits during the block."""
    _receivers.append(receive)
    try:
        yield
    finally:
        _receivers.remove(receive)


def _write_to_pipe(path: str, message: Message) -> bool:
    """Write a message to a named pipe; return whether somebody read it."""
    try:
        pipe = os.open(path, os.O_WRONLY | os.O_NONBLOCK)  # which fails without a reader, and would wait for one otherwise
        os.set_blocking(pipe, True)
        with open(pipe, "wb") as stream:
            stream.write(encode_message(message).encode(errors="replace") + b"\n")
    except OSError:
        return False
    return True


def log(text: str, label: str = OURS) -> None:
    """Write a line for people, or several, as :func:`emit` does."""
    emit(LogLine(text), label)
