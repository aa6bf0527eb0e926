"""The line by which an application says that it has started."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mlsql_runtime.events import ApplicationStarted
from mlsql_runtime.submission.announcement import parse_announcement

STARTED = ApplicationStarted(
    spark="4.2.0", master="local[2]", application="local-1795368914453", ui="http://localhost:4040", history=None
)
HISTORY = "http://history:18080/history/local-1795368914453/"


@pytest.mark.parametrize("started", [STARTED, replace(STARTED, ui=None), replace(STARTED, history=HISTORY)])
def test_what_is_announced_is_understood(started: ApplicationStarted) -> None:
    assert parse_announcement(f"[mlsql] {started.text}") == started


@pytest.mark.parametrize("line", [STARTED.text, f"[fit 0] {STARTED.text}", f"[mlsql] {STARTED.text} and more"])
def test_other_lines_announce_nothing(line: str) -> None:
    assert parse_announcement(line) is None
