"""The lines of a script's output, as they are on a terminal in the end.

``\\n`` ends a line. ``\\r`` ends a state of a line, which the script overwrites with the next one, as progress bars do. ``\\b``
moves back; escape sequences and other control characters leave no trace.

Results are read from every line and every state. The log shows every line, and of a line that is not complete its state at
intervals: a progress bar does not fill the log, and text without a line end is not held back.
"""

from __future__ import annotations

import codecs
import os
import re
import selectors
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from mlsql_runtime.script.protocol import MARK_START, RECORD_START, REPORT_MARK

CHUNK_BYTES = 64 << 10
LINE_CHARACTERS = 16 << 10  # longer lines are cut
REPORT_CHARACTERS = 1 << 20  # of lines that report metrics
MARGIN = 512  # characters at the end of a piece, among which no result and no escape sequence is cut
FIRST_SECONDS = 2.0  # until an incomplete line is shown
STATE_SECONDS = 10.0  # between two states of a line

_CONTROL = re.compile(
    r"\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)"  # a string, such as the title of a window
    r"|\x1b\[[0-?]*[ -/]*[@-~]"  # a control sequence, such as a colour
    r"|\x1b[ -/]*[0-~]?"
    r"|[\x00-\x07\x0a-\x1f\x7f-\x9f]"  # all but \b and \t
)
_BACK = re.compile(r"([\b]+)")


@dataclass(frozen=True)
class OutputPart:
    """``line`` is a complete line, or an overwritten state of one: results are read from it. ``shown`` is for the log. Either may
    be None.
    """

    line: str | None
    shown: str | None


def read_output(stream: IO[bytes]) -> Iterator[OutputPart]:
    """Yield the output of a process as it comes, with bounded memory. Bytes that are not UTF-8 are replaced."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    lines = OutputLines()
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        chunk = None
        while chunk != b"":
            if selector.select(lines.seconds_left(time.monotonic())):
                chunk = os.read(stream.fileno(), CHUNK_BYTES)
                yield from lines.feed(decoder.decode(chunk, final=not chunk), time.monotonic())
            else:
                yield from lines.show_state(time.monotonic())
    yield from lines.finish()


class OutputLines:
    """Output that comes in chunks, as lines. Times are in seconds, of any clock."""

    def __init__(self) -> None:
        self._raw = ""  # the part of a line that came last
        self._state = ""  # the newest overwritten state of it, if that has not been shown
        self._seen = ""  # what has been shown of the part
        self._changed: float | None = None  # since when there is something to show
        self._shown: float | None = None  # when a state of the line was shown last

    def feed(self, text: str, now: float) -> Iterator[OutputPart]:
        """Take a chunk, and yield what is complete with it, and a state that is due."""
        text = self._raw + text
        if RECORD_START in text:
            text = text.removeprefix(RECORD_START).replace(f"\n{RECORD_START}", "\n").replace(RECORD_START, "\n")
        *lines, rest = text.split("\n")
        for line in lines:
            yield from self._end_line(line)
        part = rest.rstrip("\r")  # which may be the beginning of \r\n
        yield from self._take(part)
        self._raw += "\r" if part != rest else ""
        if self._changed is None and (self._raw or self._state):
            self._changed = now
        if self.seconds_left(now) == 0:
            yield from self.show_state(now)

    def seconds_left(self, now: float) -> float | None:
        """Return how long it is until :meth:`show_state`; None if there is nothing to show."""
        if self._changed is None:
            return None
        due = self._changed + FIRST_SECONDS
        return max(0.0, (due if self._shown is None else max(due, self._shown + STATE_SECONDS)) - now)

    def show_state(self, now: float) -> Iterator[OutputPart]:
        """Yield what is new in the line that is not complete."""
        part = _clean(self._raw)
        shown = self._unseen(part) if part.strip() else self._state
        if shown:
            yield OutputPart(None, shown)
            self._seen, self._shown = part, now
        self._state, self._changed = "", None

    def finish(self) -> Iterator[OutputPart]:
        """Yield the last line, which has no line end."""
        if _clean(self._raw).strip():
            yield from self._end_line(self._raw)

    def _end_line(self, text: str) -> Iterator[OutputPart]:
        yield from self._take(text.rstrip("\r"))
        line = _clean(self._raw)
        yield OutputPart(line, self._unseen(line))
        self._raw = self._state = self._seen = ""
        self._changed = self._shown = None

    def _take(self, text: str) -> Iterator[OutputPart]:
        """Yield the overwritten states in a part of a line, and what is cut off because the line is too long."""
        *states, self._raw = text.split("\r")
        for state in states:
            *pieces, last = _cut(state)
            for line in map(_clean, (*pieces, last)):
                if line.strip():
                    yield OutputPart(line, None)
                    self._state = "" if line == self._seen else line
            self._seen = ""
        *pieces, self._raw = _cut(self._raw)
        for line in map(_clean, pieces):
            yield OutputPart(line, self._unseen(line))
            self._seen = ""

    def _unseen(self, line: str) -> str | None:
        """Return what has not been shown of a line; None if all of it has."""
        if self._seen and line.startswith(self._seen):
            return line[len(self._seen) :] or None
        return line


def _cut(text: str) -> list[str]:
    """Return a line in pieces of at most LINE_CHARACTERS."""
    pieces = []
    while len(text) > (limit := REPORT_CHARACTERS if text.startswith(REPORT_MARK) else LINE_CHARACTERS) + MARGIN:
        whole = (text.find(start, limit - MARGIN, limit + len(start) - 1) for start in (MARK_START, "\x1b"))
        end = min((place for place in whole if place >= 0), default=limit)
        pieces.append(text[:end])
        text = text[end:]
    return [*pieces, text]


def _clean(text: str) -> str:
    """Return a text without control characters but tabs, as a terminal shows it."""
    if text.isprintable():
        return text
    text = _CONTROL.sub("", text)
    if "\b" not in text:
        return text
    cells: list[str] = []
    place = 0
    for part in _BACK.split(text):
        if part.startswith("\b"):
            place = max(0, place - len(part))
        else:
            cells[place : place + len(part)] = part
            place += len(part)
    return "".join(cells)
