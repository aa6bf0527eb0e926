"""spark-submit's output, line by line: the application's events, and those other lines that are worth reading."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import selectors
from collections.abc import Generator, Iterator
from dataclasses import dataclass

from mlsql_runtime.events import Event, decode_message
from mlsql_runtime.script.output import is_startup_notice

_SPARK = re.compile(r"\d\d/\d\d/\d\d \d\d:\d\d:\d\d (TRACE|DEBUG|INFO|WARN|ERROR|FATAL) ([\w$]+)")
_STACK = re.compile(r"at [\w.$/<>]+\(.*\)$|\.\.\. \d+ (more|common frames omitted)$")
_LEVELS = {"WARN": logging.WARNING, "ERROR": logging.ERROR, "FATAL": logging.ERROR}
_USUAL_LOGGERS = {"NativeCodeLoader", "LibSVMFileFormat", "FileStreamSink", "SimpleFunctionRegistry"}  # they warn on every run
_CHATTER = (
    "WARNING: Using incubator modules",
    "Using Spark's default log4j profile",
    "Setting default log level",
    "To adjust logging level use",
    "Setting Spark log level to",
    '{"ts": ',  # PySpark's structured logger repeats exceptions that the application reports itself
)


_CHUNK = 1 << 16


@dataclass(frozen=True)
class OutputLine:
    """A line of output. ``level`` is one of :mod:`logging`, None for a line that is not worth reading; ``event`` is the event
    whose text begins with this line.
    """

    text: str
    level: int | None = logging.INFO
    event: Event | None = None


def read_output(output: int, events: str | None) -> Generator[OutputLine]:
    """Yield the lines of spark-submit and of its application's events as they come, until spark-submit's output ends.

    :param output: the pipe of spark-submit's output.
    :param events: the path of the named pipe of the events; None: the application was not asked for events.
    """
    with selectors.DefaultSelector() as selector, contextlib.ExitStack() as reader, contextlib.ExitStack() as writer:
        selector.register(output, selectors.EVENT_READ, _read_printed)
        if events is not None:
            pipe = reader.enter_context(open(os.open(events, os.O_RDONLY | os.O_NONBLOCK), "rb", buffering=0))
            writer.enter_context(open(events, "wb", buffering=0))  # without a writer the pipe would be at its end
            selector.register(pipe.fileno(), selectors.EVENT_READ, _read_event)
        rest = dict.fromkeys(selector.get_map(), b"")  # of a line that is not complete yet, by pipe
        while rest:
            for key, _ in selector.select():
                data = os.read(key.fd, _CHUNK)
                *lines, rest[key.fd] = (rest[key.fd] + data).split(b"\n")
                if not data:
                    selector.unregister(key.fd)
                    lines = [last] if (last := rest.pop(key.fd)) else []
                for line in lines:
                    yield from key.data(line.decode(errors="replace"))
                if not data and key.fd == output:
                    writer.close()


def _read_printed(line: str) -> Iterator[OutputLine]:
    for part in line.rstrip("\r").split("\r"):
        yield OutputLine(part, _choose_level(part.strip()))


def _read_event(line: str) -> Iterator[OutputLine]:
    message = decode_message(line)
    if message is None:
        yield OutputLine(line)
        return
    first, *others = message.text.split("\n")
    yield OutputLine(first, event=message.event)
    yield from map(OutputLine, others)


def _choose_level(line: str) -> int | None:
    """Return the level of a line, None for a line that is not worth reading. Unknown lines are."""
    if not line or line.startswith(_CHATTER) or _STACK.match(line) or is_startup_notice(line):
        return None
    match = _SPARK.match(line)
    if match is None:
        return logging.INFO
    if match[1] not in _LEVELS or match[2] in _USUAL_LOGGERS or "loopback address" in line or "SPARK_LOCAL_IP" in line:
        return None
    return _LEVELS[match[1]]
