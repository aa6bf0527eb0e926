"""A logger that leaves out of spark-submit's output what nobody wants to read, and says when the application has started."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mlsql_runtime.events import ApplicationStarted
from mlsql_runtime.submission.announcement import parse_announcement
from mlsql_runtime.submission.log_filter import choose_level

OnStarted = Callable[[ApplicationStarted], None]


class ReadableLog:
    """Stands for a logger to which spark-submit's output is written at INFO, and passes on what is worth reading.

    :param on_started: called when a line of the application says that it has started. What it raises is logged: a job does not
        end for want of a link to it.
    """

    def __init__(self, logger: Any, on_started: OnStarted | None = None) -> None:
        self._logger, self._on_started = logger, on_started

    def info(self, message: str, *args: Any) -> None:
        line = message % args if args else message
        level = choose_level(line)
        if level is not None:
            self._logger.log(level, "%s", line)
        started = parse_announcement(line) if self._on_started else None
        if started is not None:
            self._tell(started)

    def _tell(self, started: ApplicationStarted) -> None:
        assert self._on_started is not None
        try:
            self._on_started(started)
        except Exception as error:
            self._logger.warning("There is no link to Spark's UI: %s", error)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._logger, name)
