"""What is kept of a script's output: a log file of limited size, the last lines for errors."""

from __future__ import annotations

import re
from collections import deque
from pathlib import Path

TAIL_LINES = 100
TAIL_CHARACTERS = 32 << 10
LOG_CHARACTERS = 8 << 20  # kept from the beginning of the output; the last lines are kept, too

# TensorFlow 2.21 logs these before it has read its log level.
_STARTUP_NOTICE = re.compile(
    r"I\d{4} \d\d:\d\d:\d+\.\d+ +\d+ \S+:\d+\] |WARNING: All log messages before absl::InitializeLog\(\) is called "
)


def is_startup_notice(line: str) -> bool:
    """Return whether a line is one that a library prints at every start, whatever its log level."""
    return _STARTUP_NOTICE.match(line) is not None


class Tail:
    """The last lines that were added, at most TAIL_LINES of together TAIL_CHARACTERS."""

    def __init__(self) -> None:
        self._lines: deque[str] = deque(maxlen=TAIL_LINES)

    def add(self, line: str) -> None:
        self._lines.append(line)

    def lines(self) -> tuple[str, ...]:
        kept: list[str] = []
        room = TAIL_CHARACTERS
        for line in reversed(self._lines):
            room -= len(line) + 1
            if room < 0:
                break
            kept.append(line)
        return tuple(reversed(kept))


class CappedLog:
    """A log file that keeps the beginning and the end of what is written to it."""

    def __init__(self, path: Path, limit: int = LOG_CHARACTERS) -> None:
        self._path, self._room = path, limit
        self._tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._left_out = 0

    def __enter__(self) -> CappedLog:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._path.open("w", encoding="utf-8")
        return self

    def write(self, line: str) -> None:
        if self._room > 0:
            self._room -= len(line) + 1
            self._file.write(line + "\n")
        else:
            if len(self._tail) == TAIL_LINES:
                self._left_out += len(self._tail[0]) + 1
            self._tail.append(line)

    def __exit__(self, *_: object) -> None:
        if self._left_out:
            self._file.write(f"… {self._left_out} characters left out …\n")
        self._file.writelines(line + "\n" for line in self._tail)
        self._file.close()
