"""Fixtures for all tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.workbench import Script


@pytest.fixture
def script(tmp_path: Path) -> Script:
    """Write a script; its path."""

    def write(source: str, name: str = "script.py") -> str:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
        return str(path)

    return write
