"""spark-submit's output, line by line: the application's events, and those other lines that are worth reading."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass

from mlsql_runtime.events import MESSAGE_START, Event, decode_message
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


@dataclass(frozen=True)
class OutputLine:
    """A line of output. ``level`` is one of :mod:`logging`, None for a line that is not worth reading; ``event`` is the event
    whose text begins with this line.
    """

    text: str
    level: int | None = logging.INFO
    event: Event | None = None


def read_output(line: str, token: str) -> Iterator[OutputLine]:
    """Yield a line of output, or the lines of the event that it holds.

    :param token: of this reader of events; empty: the application was not asked for events.
    """
    start = line.find(MESSAGE_START) if token else -1  # above 0 after output without a line end, such as a function's
    message = decode_message(line[start:], token) if start >= 0 else None
    output = line if message is None else line[:start]
    if output or message is None:
        yield OutputLine(output, _choose_level(output.strip()))
    if message is not None:
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
