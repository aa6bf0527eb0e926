"""What of spark-submit's output a person wants to read."""

from __future__ import annotations

import logging
import re

from mlsql_runtime.script.thread_limits import is_startup_notice

_SPARK = re.compile(r"\d\d/\d\d/\d\d \d\d:\d\d:\d\d (TRACE|DEBUG|INFO|WARN|ERROR|FATAL) ([\w$]+)")
_STACK = re.compile(r"at [\w.$/<>]+\(.*\)$|\.\.\. \d+ (more|common frames omitted)$")
_LEVELS = {"WARN": logging.WARNING, "ERROR": logging.ERROR, "FATAL": logging.ERROR}
_USUAL_LOGGERS = {"NativeCodeLoader", "LibSVMFileFormat", "FileStreamSink", "SimpleFunctionRegistry"}  # they warn on every run
_CHATTER = (
    "Spark-Submit cmd:",
    "Could not load connection string",
    "WARNING: Using incubator modules",
    "Using Spark's default log4j profile",
    "Setting default log level",
    "To adjust logging level use",
    "Setting Spark log level to",
    '{"ts": ',  # PySpark's structured logger repeats exceptions that the application reports itself
)


def choose_level(line: str) -> int | None:
    """The level at which to show a line, or None for one to leave out. What it does not know, it shows."""
    if not line or line.startswith(_CHATTER) or _STACK.match(line) or is_startup_notice(line):
        return None
    match = _SPARK.match(line)
    if match is None:
        return logging.INFO
    if match[1] not in _LEVELS or match[2] in _USUAL_LOGGERS or "loopback address" in line or "SPARK_LOCAL_IP" in line:
        return None
    return _LEVELS[match[1]]
