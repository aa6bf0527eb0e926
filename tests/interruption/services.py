"""A run on services that test_interruption.py interrupts; pytest collects this file only by its name."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

READY = Path(os.environ["MLSQL_TEST_READY"])


@pytest.mark.usefixtures("starts_jvm", "starts_airflow")
def test_services(request: pytest.FixtureRequest) -> None:
    found = [request.getfixturevalue(name) for name in os.environ["MLSQL_TEST_SERVICES"].split()]
    (READY / "services").write_text(repr(found))
    time.sleep(600)
