"""Helpers of the tests of commands on a model store."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

import pytest

from mlsql_runtime.cli.main import main
from mlsql_runtime.store.function_records import FunctionRecord
from mlsql_runtime.store.manifest import Manifest

Publish = Callable[..., Manifest]
Fail = Callable[..., int]
Package = Callable[..., FunctionRecord]
PublishSources = Callable[..., None]
TIME = datetime(2026, 1, 2, 3, 4, tzinfo=timezone.utc)
Capture = pytest.CaptureFixture[str]
EVERY_STORAGE = pytest.mark.parametrize("root", ["local", "s3"], indirect=True)


def from_json(capsys: Capture, *argv: str, code: int = 0) -> Any:
    assert main([*argv, "--json"]) == code
    return json.loads(capsys.readouterr().out, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
