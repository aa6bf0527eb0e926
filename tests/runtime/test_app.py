"""The Spark application."""

from __future__ import annotations

import pytest

from mlsql_runtime.app import history_url


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
    assert history_url(server, keeps_events, "app-1") == address
