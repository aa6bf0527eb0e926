"""What a script shows while it trains: metrics and progress."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Mapping
from typing import Any, SupportsFloat, SupportsInt

from mlsql_runtime.script.current_job import current_job
from mlsql_runtime.script.protocol import PROGRESS_MARK, RECORD_START, REPORT_MARK

PROGRESS_SECONDS = 1.0
_progress_shown = -PROGRESS_SECONDS
_stdout = None if current_job() is None else os.dup(1)


def _print_marked(mark: str, document: Mapping[str, Any]) -> None:
    """Print to where standard output led when the script began: it may have closed or replaced it."""
    with contextlib.suppress(Exception):
        sys.stdout.flush()
    line = f"{RECORD_START}{mark}{json.dumps(document)}\n"  # at once: other threads may print, too
    if _stdout is None:
        sys.stdout.write(line)
        return
    rest = line.encode()
    while rest:
        rest = rest[os.write(_stdout, rest) :]


def report(step: SupportsInt | None = None, **metrics: SupportsFloat) -> None:
    """Show metrics in the task log now, and keep the last value of each with the model."""
    if current_job() is None:
        print(f"step {step}: {metrics}" if step is not None else metrics)
        return
    _print_marked(
        REPORT_MARK,
        {"step": None if step is None else int(step), "metrics": {name: float(value) for name, value in metrics.items()}},
    )


def progress(done: SupportsFloat, total: SupportsFloat) -> None:
    """Show in the task log that ``done`` of ``total`` steps are done, whatever the unit: once in a second, and the end."""
    global _progress_shown
    if current_job() is None:
        print(f"{done} of {total}")
        return
    if float(done) < float(total) and time.monotonic() < _progress_shown + PROGRESS_SECONDS:
        return
    _progress_shown = time.monotonic()
    _print_marked(PROGRESS_MARK, {"done": float(done), "total": float(total)})
