"""spark-submit's output in the task log."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mlsql_runtime.events import ApplicationStarted
from mlsql_runtime.submission.announcement import parse_announcement
from mlsql_runtime.submission.log_filter import choose_level

OnStarted = Callable[[ApplicationStarted], None]


class OutputLog:
    """Writes what is worth reading of spark-submit's output to a logger.

    :param on_started: called when a line of the application says that it has started. What it raises is logged: a job does not
        end because its link is missing.
    """

    def __init__(self, logger: Any, on_started: OnStarted | None = None) -> None:
        self._logger, self._on_started = logger, on_started

    def write(self, line: str) -> None:
        """Log a line at its level, or leave it out."""
        level = choose_level(line.strip())
        if level is not None:
            self._logger.log(level, "%s", line)
        started = parse_announcement(line) if self._on_started else None
        if started is not None:
            self.announce(started)

    def announce(self, started: ApplicationStarted) -> None:
        """Call ``on_started``."""
        if self._on_started is not None:
            try:
                self._on_started(started)
            except Exception as error:
                self._logger.warning("There is no link to Spark's UI: %s", error)
