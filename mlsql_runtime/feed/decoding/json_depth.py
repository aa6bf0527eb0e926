"""How deep lists and objects in JSON are nested. Arrow has no limit: at some ten thousand levels it ends the process."""

from __future__ import annotations

import re

import numpy as np

LEVELS = 1000  # as many as Spark reads
_LONG_LINE = re.compile(rb"^[^\n]{%d,}" % LEVELS, re.MULTILINE)
_TEXT = re.compile(rb'"(?:[^"\\]|\\.)*"?')


def find_deep_line(lines: bytes) -> int | None:
    """Return the number, from 1, of the first line whose JSON is nested deeper than LEVELS; None if there is none."""
    if _count_openings(lines) <= LEVELS:
        return None
    for found in _LONG_LINE.finditer(lines):
        if _count_openings(found[0]) > LEVELS and _measure(found[0]) > LEVELS:
            return lines.count(b"\n", 0, found.start()) + 1
    return None


def _count_openings(text: bytes) -> int:
    return text.count(b"[") + text.count(b"{")


def _measure(line: bytes) -> int:
    """Return how many levels deep a line is."""
    letters = np.frombuffer(_TEXT.sub(b"", line), np.uint8)
    steps = np.isin(letters, list(b"[{")).astype(np.int32) - np.isin(letters, list(b"]}"))
    return int(np.cumsum(steps).max(initial=0))
