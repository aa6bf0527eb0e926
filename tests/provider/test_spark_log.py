"""spark-submit's output on its way to the task log."""

from __future__ import annotations

import logging

import pytest

from airflow_provider_mlsql.hooks.spark_log import OutputLog
from mlsql_runtime.events import ApplicationStarted, LogLine
from mlsql_runtime.submission.output import OutputLine


def test_lines_are_passed_on_at_their_level_and_percent_signs_are_harmless(caplog: pytest.LogCaptureFixture) -> None:
    log = OutputLog(logging.getLogger("test.output"))
    with caplog.at_level(logging.INFO):
        log.write(OutputLine("progress: 50% of %s"))
        log.write(OutputLine("  26/11/22 10:48:44 WARN Executor: slow", logging.WARNING))
        log.write(OutputLine("26/11/22 10:48:44 INFO Executor: fast", None))
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("INFO", "progress: 50% of %s"),
        ("WARNING", "  26/11/22 10:48:44 WARN Executor: slow"),
    ]


def test_the_application_s_start_is_told_and_a_failure_to_do_so_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    started = ApplicationStarted(spark="4.2.0", master="local[2]", application="a-1", ui="http://localhost:4040", history=None)
    line = f"[mlsql] {started.text}"
    told: list[str | None] = []

    def listen(started: ApplicationStarted) -> None:
        told.append(started.ui)
        raise ConnectionError("the API server is away")

    log = OutputLog(logging.getLogger("test.output"), listen)
    with caplog.at_level(logging.INFO):
        log.write(OutputLine("[mlsql] train: 71 rows as json files", event=LogLine("train: 71 rows as json files")))
        log.write(OutputLine(line, event=started))
    assert told == ["http://localhost:4040"]
    assert [record.getMessage() for record in caplog.records] == [
        "[mlsql] train: 71 rows as json files",
        line,
        "There is no link to Spark's UI: the API server is away",
    ]
