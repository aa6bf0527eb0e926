"""What an application says when it has started, and what is understood of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mlsql_runtime.submission.announcement import Announcement, history_address, parse_announcement

STARTED = Announcement(
    spark="4.2.0", master="local[2]", application="local-1795368914453", ui="http://localhost:4040", history=None
)
HISTORY = "http://history:18080/history/local-1795368914453/"


@pytest.mark.parametrize("told", [STARTED, replace(STARTED, ui=None), replace(STARTED, history=HISTORY)])
def test_what_is_announced_is_understood(told: Announcement) -> None:
    assert parse_announcement(f"[mlsql] {told.line}") == told


@pytest.mark.parametrize(
    "line",
    [
        STARTED.line,
        f"[fit 0] {STARTED.line}",
        f"[mlsql] {STARTED.line} and more",
        "[mlsql] Spark 4.2.0 on local[2], application local-1, javascript:alert(1)",
    ],
)
def test_other_lines_announce_nothing(line: str) -> None:
    assert parse_announcement(line) is None


@pytest.mark.parametrize(
    ("server", "keeps_events", "address"),
    [
        ("history:18080", True, "http://history:18080/history/app-1/"),
        ("https://history/spark/", True, "https://history/spark/history/app-1/"),
        ("history:18080", False, None),
        (None, True, None),
        ("", True, None),
        ("${hadoopconf-yarn.resourcemanager.hostname}:18080", True, None),
    ],
)
def test_a_history_server_is_linked_to_when_it_hears_of_the_application(
    server: str | None, keeps_events: bool, address: str | None
) -> None:
    assert history_address(server, keeps_events, "app-1") == address
