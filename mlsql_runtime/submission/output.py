"""spark-submit's output, line by line: the application's events, and those other lines that are worth reading."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import selectors
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field

from mlsql_runtime.events import Event, decode_message
from mlsql_runtime.script.output import is_startup_notice

_SPARK = re.compile(r"\d\d/\d\d/\d\d \d\d:\d\d:\d\d (TRACE|DEBUG|INFO|WARN|ERROR|FATAL) ([\w$]+)")
_STACK = re.compile(r"at [\w.$/<>]+\(.*\)$|\.\.\. \d+ (more|common frames omitted)$")
_OWN = "[mlsql"
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
_TASK_LOGGERS = {"Executor", "TaskSetManager", "FileFormatWriter", "TaskContextImpl", "Utils"}  # they log exceptions of tasks
_THROWN = re.compile(r"(?:^|\s)[\w.$]+(?:Exception|Error)(?:: |$)")
_LINE_END = re.compile(rb"\r?\n|\r")
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
    sources = [_Source(_Printed().read_line), _Source(read_event)]
    with contextlib.ExitStack() as stack:
        selector = stack.enter_context(selectors.DefaultSelector())
        selector.register(output, selectors.EVENT_READ, sources[0])
        if events is not None:
            pipe = stack.enter_context(open(os.open(events, os.O_RDONLY | os.O_NONBLOCK), "rb", buffering=0))
            stack.enter_context(open(events, "wb", buffering=0))  # without a writer the pipe would be at its end
            selector.register(pipe, selectors.EVENT_READ, sources[1])
        timeout = None
        while ready := selector.select(timeout):
            for key, _ in ready:
                data = os.read(key.fd, _CHUNK)
                yield from key.data.read_chunk(data)
                if not data:  # spark-submit has ended; what follows are the events that are in the pipe by now
                    selector.unregister(output)
                    timeout = 0
    for source in sources:
        yield from source.read_rest()


@dataclass(frozen=True)
class _Source:
    """The lines of one pipe. ``pieces`` are those of the line that is not complete yet."""

    read_line: Callable[[str], Iterator[OutputLine]]
    pieces: list[bytes] = field(default_factory=list)

    def read_chunk(self, data: bytes) -> Iterator[OutputLine]:
        first, *others = _LINE_END.split(data)
        self.pieces.append(first)
        for piece in others:
            yield from self.read_line(b"".join(self.pieces).decode(errors="replace"))
            self.pieces[:] = [piece]

    def read_rest(self) -> Iterator[OutputLine]:
        if any(self.pieces):
            yield from self.read_line(b"".join(self.pieces).decode(errors="replace"))


class _Printed:
    """The lines that are printed. Those of an exception that ended a task are not worth reading below Spark's own line about it:
    the application gets the exception, and reports it.
    """

    def __init__(self) -> None:
        self._is_of_task = self._is_in_exception = False

    def read_line(self, line: str) -> Iterator[OutputLine]:
        text = line.strip()
        match = _SPARK.match(text)
        if match is not None:
            self._is_of_task = match[2] in _TASK_LOGGERS
            self._is_in_exception = self._is_of_task and _THROWN.search(text) is not None
        elif text.startswith(_OWN):
            self._is_of_task = self._is_in_exception = False
        elif self._is_of_task and _THROWN.match(text):
            self._is_in_exception = True
        yield OutputLine(line, None if self._is_in_exception and match is None else _choose_level(text))


def read_event(line: str) -> Iterator[OutputLine]:
    """Yield the lines of the text of an event, which is a line of JSON; a line that is not an event is its own text."""
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
