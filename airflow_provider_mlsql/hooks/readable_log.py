"""A logger that leaves out of spark-submit's output what nobody wants to read."""

from __future__ import annotations

from typing import Any

from mlsql_runtime.launch.readable import level_of


class ReadableLog:
    """Stands for a logger to which spark-submit's output is written at INFO, and passes on what is worth reading."""

    def __init__(self, logger: Any) -> None:
        self._logger = logger

    def info(self, message: str, *args: Any) -> None:
        line = message % args if args else message
        level = level_of(line)
        if level is not None:
            self._logger.log(level, "%s", line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._logger, name)
