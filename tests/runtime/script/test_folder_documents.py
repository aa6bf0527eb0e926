"""The small documents in a script's folder: their writers may be killed while they write, and scripts may write to them, too."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mlsql_runtime.script.bundle import ScriptBundle
from mlsql_runtime.script.environments import read_completed_files
from mlsql_runtime.script.package_report import read_package_report
from mlsql_runtime.script.process import read_exception
from mlsql_runtime.script.resources import read_shared_paths
from mlsql_runtime.script.supervisor import CommandEnd, read_status

BUNDLE = ScriptBundle("train.py", {})
NOTHING = [None, b"", b"{", b"null", b"[]", b"7", b'{"words": 7}', b"[" * 100_000, b"\xff", b'{"a": NaN}']


@pytest.mark.parametrize("content", NOTHING)
def test_half_a_document_is_none(tmp_path: Path, content: bytes | None) -> None:
    place = tmp_path / "document.json"
    if content is not None:
        place.write_bytes(content)
    assert read_status(place) is None
    assert read_exception(place, BUNDLE) == ""
    assert read_package_report(place) == {}
    assert read_shared_paths(place) is None
    assert read_completed_files(place) is None


def test_a_command_left_a_process(tmp_path: Path) -> None:
    (tmp_path / "status.json").write_text('{"ended": "exited", "exit_code": 0, "left": [[12, "sleep 5"]]}')
    assert read_status(tmp_path / "status.json") == CommandEnd("exited", 0, ((12, "sleep 5"),))
    (tmp_path / "status.json").write_text('{"ended": "exited", "exit_code": 0, "left": [[]]}')
    assert read_status(tmp_path / "status.json") is None


def test_a_long_exception_is_cut(tmp_path: Path) -> None:
    (tmp_path / "exception.json").write_text(json.dumps({"text": "x" * 100_000, "place": "y" * 100_000}))
    assert len(read_exception(tmp_path / "exception.json", BUNDLE)) < 5000
