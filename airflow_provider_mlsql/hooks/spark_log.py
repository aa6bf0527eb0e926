"""spark-submit's output in the task log."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mlsql_runtime.events import ApplicationStarted
from mlsql_runtime.submission.output import OutputLine

OnStarted = Callable[[ApplicationStarted], None]


class OutputLog:
    """Writes spark-submit's output to a logger.

    :param on_started: called when the application has started. An exception of it is logged: a job does not end because its link
        is missing.
    """

    def __init__(self, logger: Any, on_started: OnStarted | None = None) -> None:
        self._logger, self._on_started = logger, on_started

    def write(self, line: OutputLine) -> None:
        """Log a line that is worth reading, and announce the application if the line is about its start."""
        if line.level is not None:
            self._logger.log(line.level, "%s", line.text)
        if isinstance(line.event, ApplicationStarted):
            self.announce(line.event)

    def announce(self, started: ApplicationStarted) -> None:
        """Call ``on_started``."""
        if self._on_started is not None:
            try:
                self._on_started(started)
            except Exception as error:
                self._logger.warning("There is no link to Spark's UI: %s", error)
