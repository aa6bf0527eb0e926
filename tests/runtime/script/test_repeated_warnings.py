"""Warnings that a model repeats are shown once, whatever a library does with the filters in between."""

from __future__ import annotations

import uuid
import warnings
from collections.abc import Callable
from typing import Any

import pytest

from mlsql_runtime.plan import PythonEnv
from mlsql_runtime.script.repeated_warnings import show_once

Run = Callable[..., Any]


def test_each_text_is_shown_once() -> None:
    text = f"X does not have valid feature names, {uuid.uuid4()}"
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        for _ in range(3):
            with show_once():
                for _ in range(3):
                    with warnings.catch_warnings():  # as libraries do, which makes Python forget what it has shown
                        warnings.simplefilter("ignore", DeprecationWarning)
                    warnings.warn(text, UserWarning, stacklevel=1)
                    warnings.warn(text, RuntimeWarning, stacklevel=1)
    assert [(each.category, str(each.message)) for each in shown] == [(UserWarning, text), (RuntimeWarning, text)]


def test_outside_of_the_block_nothing_changes() -> None:
    before = warnings.showwarning
    with show_once():
        assert warnings.showwarning is not before
    assert warnings.showwarning is before


LOOP = """
import warnings
import mlsql

for row in range(1000):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
    warnings.warn("X does not have valid feature names", UserWarning)
"""


@pytest.mark.parametrize(("flags", "count"), [((), 1), (("-W", "always"), 1000)])
def test_a_script_shows_a_warning_once_unless_flags_ask_for_more(run: Run, flags: tuple[str, ...], count: int) -> None:
    ran = run(LOOP, role="predict", python=PythonEnv(timeout=60, flags=flags))
    assert ran.outcome.problem is None
    assert sum("UserWarning: X does not have" in line for line in ran.lines) == count
