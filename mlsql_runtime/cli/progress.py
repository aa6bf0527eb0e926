"""A job's lines as they come: with a progress line below them on a terminal, plain elsewhere. All on standard error."""

from __future__ import annotations

import logging
import re
import sys
from types import TracebackType
from typing import TYPE_CHECKING

import click

from mlsql_runtime.submission.log_filter import choose_level

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_STATEMENT = re.compile(r"\[mlsql\] \((\d+)/(\d+)\) (.*)")
_STYLES = {logging.WARNING: "yellow", logging.ERROR: "red"}


class JobProgress:
    """Shows a job's lines while it is used as a context manager."""

    def __init__(self) -> None:
        self._progress: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> JobProgress:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

            columns = (SpinnerColumn(), TimeElapsedColumn(), BarColumn(20), TextColumn("{task.description}", markup=False))
            self._progress = Progress(*columns, console=Console(stderr=True, highlight=False), transient=True)
            self._progress.start()
            self._task = self._progress.add_task("Spark starts", total=None)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._progress is not None:
            self._progress.stop()

    def line(self, text: str) -> None:
        """Show one line of spark-submit's output, or leave it out."""
        level = choose_level(text.strip())
        if level is None:
            return
        if self._progress is None or self._task is None:
            click.echo(text, err=True)
        elif statement := _STATEMENT.match(text):
            done, total, title = int(statement[1]) - 1, int(statement[2]), statement[3]
            self._progress.update(self._task, completed=done, total=total, description=f"{done + 1}/{total} {title}")
        else:
            from rich.text import Text

            self._progress.console.print(Text(text, style=_STYLES.get(level, "")), soft_wrap=True)
