"""The variable by which libraries see the graphics cards that Spark has assigned to a task."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from mlsql_runtime.script import task_resources

SHOW = """
import json, os, sys
from mlsql_runtime.script.task_resources import device_variables
print(device_variables({"gpu": tuple(sys.argv[1:])})["CUDA_VISIBLE_DEVICES"])
"""


@pytest.mark.parametrize(
    ("executor", "assigned", "visible"),
    [
        (None, ["0"], "0"),
        (None, ["2", "3"], "2,3"),
        ("", ["1"], "1"),
        ("4,7", ["1"], "7"),  # positions among the cards that the executor sees
        ("4,7", ["4"], "4"),
        ("GPU-a,GPU-b", ["0"], "GPU-a"),
        ("0,1", ["GPU-b"], "GPU-b"),
    ],
)
def test_the_cards_of_a_task_are_visible(
    monkeypatch: pytest.MonkeyPatch, executor: str | None, assigned: list[str], visible: str
) -> None:
    if executor is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", executor)
    shown = subprocess.run([sys.executable, "-c", SHOW, *assigned], capture_output=True, text=True, check=True).stdout
    assert shown.strip() == visible


def test_without_assigned_resources_nothing_changes(run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    assert task_resources.device_variables({"fpga": ("0",)}) == {}
    source = "import os, mlsql\nprint(mlsql.resources(), os.environ['CUDA_VISIBLE_DEVICES'])"
    assert run(source).lines == ["{} 3"]
