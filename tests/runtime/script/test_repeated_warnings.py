"""Warnings that a model repeats are shown once, whatever a library does with the filters in between."""

from __future__ import annotations

import uuid
import warnings

from mlsql_runtime.script.repeated_warnings import show_once


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
