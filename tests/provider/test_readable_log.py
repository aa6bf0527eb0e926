"""spark-submit's output on its way to the task log."""

from __future__ import annotations

import logging

import pytest

from airflow_provider_mlsql.hooks.readable_log import ReadableLog


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
