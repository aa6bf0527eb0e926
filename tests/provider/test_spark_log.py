"""spark-submit's output on its way to the task log."""

from __future__ import annotations

import logging

import pytest

from airflow_provider_mlsql.hooks.spark_log import ReadableLog
from mlsql_runtime.events import ApplicationStarted


def test_lines_are_passed_on_at_their_level_and_percent_signs_are_harmless(caplog: pytest.LogCaptureFixture) -> None:
    log = ReadableLog(logging.getLogger("test.readable"))
    with caplog.at_level(logging.INFO):
        log.info("progress: 50% of %s")
        log.info("26/11/22 10:48:44 WARN Executor: slow")
        log.info("Could not load connection string %s, defaulting to %s", "a", "b")
        log.warning("passed through")
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("INFO", "progress: 50% of %s"),
        ("WARNING", "26/11/22 10:48:44 WARN Executor: slow"),
        ("WARNING", "passed through"),
    ]


def test_the_application_s_start_is_told_and_a_failure_to_do_so_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    line = "[mlsql] Spark 4.2.0 on local[2], application local-1, http://localhost:4040"
    told: list[str | None] = []

    def listen(started: ApplicationStarted) -> None:
        told.append(started.ui)
        raise ConnectionError("the API server is away")

    log = ReadableLog(logging.getLogger("test.readable"), listen)
    with caplog.at_level(logging.INFO):
        log.info("[mlsql] train: 71 rows as json files")
        log.info(line)
    assert told == ["http://localhost:4040"]
    assert [record.getMessage() for record in caplog.records] == [
        "[mlsql] train: 71 rows as json files",
        line,
        "There is no link to Spark's UI: the API server is away",
    ]
