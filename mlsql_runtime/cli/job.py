"""Run a job; show its output on standard error, on a terminal with a progress bar below it."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING

import click

from mlsql_runtime.cli.process import handle_signals
from mlsql_runtime.events import StatementStarted
from mlsql_runtime.plan import Plan, Secrets
from mlsql_runtime.submission.output import OutputLine

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from mlsql_runtime.result import RunResult

_STYLES = {logging.WARNING: "yellow", logging.ERROR: "red"}


def run_job(plan: Plan, secrets: Secrets, master: str, conf: Mapping[str, str]) -> RunResult:
    """Run a plan as a Spark application, and return its result. A signal ends all its processes.

    :raises MLSQLError: what ended the plan.
    """
    from mlsql_runtime.submission.client_mode import ClientJob
    from mlsql_runtime.submission.spark_submit import build_command

    with handle_signals(), JobProgress() as progress:
        return ClientJob(plan, secrets, master, conf).run(partial(build_command, master), progress.show)


class JobProgress:
    """The display of a job's output, while it is used as a context manager."""

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
            self._task = self._progress.add_task("the job starts", total=None)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._progress is not None:
            self._progress.stop()

    def show(self, line: OutputLine) -> None:
        """Show a line that is worth reading. On a terminal, the progress bar shows the statement that runs."""
        event = line.event
        if line.level is None:
            return
        if self._progress is None or self._task is None:
            click.echo(line.text, err=True)
        elif isinstance(event, StatementStarted):
            description = f"{event.number}/{event.total} {event.title}"
            self._progress.update(self._task, completed=event.number - 1, total=event.total, description=description)
        else:
            from rich.text import Text

            self._progress.console.print(Text(line.text, style=_STYLES.get(line.level, "")), soft_wrap=True)
