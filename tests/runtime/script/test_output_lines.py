"""What a script prints, as lines: for the log, and for scores and metrics."""

from __future__ import annotations

import os
import random
import threading
import tracemalloc
from collections.abc import Iterator

import pytest

from mlsql_runtime.script.output_lines import (
    FIRST_SECONDS,
    LINE_CHARACTERS,
    MARGIN,
    STATE_SECONDS,
    OutputLines,
    OutputPart,
    read_output,
)
from mlsql_runtime.script.protocol import RECORD_START, ScriptReport

SCORE = "mlsql_validation_score:0.9"
REPORT = RECORD_START + 'mlsql_report:{"step": 1, "metrics": {"loss": 0.25}}\n'


def read(*chunks: str) -> list[OutputPart]:
    """Return the parts of an output that is written at one time."""
    lines = OutputLines()
    return [part for chunk in chunks for part in lines.feed(chunk, 0.0)] + list(lines.finish())


def shown(*chunks: str) -> list[str]:
    return [part.shown for part in read(*chunks) if part.shown is not None]


@pytest.mark.parametrize(
    ("text", "log"),
    [
        ("a\nb\n", ["a", "b"]),
        ("a\r\nb\r\r\n\nc", ["a", "b", "", "c"]),
        ("  1%|\r 50%|\r100%|\n", ["100%|"]),
        ("\r 50%\r100%\r", ["100%"]),
        ("\r 99%\r    \rdone\n", ["done"]),
        ("1/9\b\b\b2/9\b\b\b\r3/9\n", ["3/9"]),
        ("wait |\b/\b-\b \b\n", ["wait  "]),
        ("\b\bN\bN\n", ["N"]),
        ("\x1b[1;32mgreen\x1b[0m and \x1b]8;;http://a\x1b\\link\x1b]8;;\x07\x1b[K\n", ["green and link"]),
        ("\x1b(B\x1b=\x1b[?25l\x1b[2J\x1b[H\u009b31mtext\x00\x07\x7f\ttab\n", ["31mtext\ttab"]),
        ("an end amid \x1b[\nand \x1b]0;a title without an end\n", ["an end amid ", "and 0;a title without an end"]),
        ("é→大😀\n", ["é→大😀"]),
        (f"epoch 1 {REPORT}next\n", ["epoch 1 ", REPORT[1:-1], "next"]),
        (f"{REPORT}{REPORT}", [REPORT[1:-1]] * 2),
    ],
)
def test_the_log_has_what_a_terminal_has_in_the_end(text: str, log: list[str]) -> None:
    assert shown(text) == log
    assert shown(*text) == log  # letter by letter


@pytest.mark.parametrize(
    ("text", "score"),
    [
        (f"\rstep 50/50{SCORE}\n", 0.9),
        (f"fitting… {SCORE}\n", 0.9),
        (f"INFO:root:{SCORE}\n", 0.9),
        ("\x1b[32mmlsql_validation_score:\x1b[1m0.9\x1b[0m\n", 0.9),
        (f"{SCORE}\r", 0.9),
        (f"{SCORE}\r 50%|\r100%|\n", 0.9),
        (f"mlsql_validation_score:0.1\rmlsql_validation_score:0.2{SCORE}\n", 0.9),
        (f"\0\0{SCORE}\0\n", 0.9),
        (f"{SCORE}", 0.9),
        ('    print("mlsql_validation_score:%f" % score)\n', None),
        ("a mlsql_validation_score:good is no number\n", None),
    ],
)
def test_a_score_is_found_whatever_is_printed_around_it(text: str, score: float | None) -> None:
    report = ScriptReport()
    for part in read(text):
        if part.line is not None:
            report.read(part.line)
    assert (report.score, report.score_lines > 0) == (score, score is not None)


class _Clock:
    """Output that is written at given times, and what the log has by then."""

    def __init__(self) -> None:
        self.lines, self.now, self.log = OutputLines(), 0.0, list[str]()

    def write(self, text: str) -> None:
        self._keep(self.lines.feed(text, self.now))

    def wait(self, seconds: float) -> None:
        end = self.now + seconds
        while (left := self.lines.seconds_left(self.now)) is not None and self.now + left <= end:
            self.now += left
            self._keep(self.lines.show_state(self.now))
        self.now = end

    def _keep(self, parts: Iterator[OutputPart]) -> None:
        self.log += [part.shown for part in parts if part.shown is not None]


def test_text_without_a_line_end_is_shown_after_a_moment_and_once() -> None:
    clock = _Clock()
    clock.write("fitting… ")
    clock.wait(FIRST_SECONDS / 2)
    assert clock.log == []
    clock.wait(FIRST_SECONDS)
    assert clock.log == ["fitting… "]
    clock.wait(100)
    clock.write("done\nnext\n")
    assert clock.log == ["fitting… ", "done", "next"]
    clock.write("again")
    clock.wait(FIRST_SECONDS)
    clock.write("\n")
    assert clock.log[3:] == ["again"]


def test_dots_are_shown_at_intervals() -> None:
    clock = _Clock()
    for _ in range(300):
        clock.write(".")
        clock.wait(0.1)
    clock.write("\n")
    assert "".join(clock.log) == "." * 300
    assert len(clock.log) == 2 + int((30 - FIRST_SECONDS) // STATE_SECONDS)


@pytest.mark.parametrize("form", ["\r{}/3600", "{}/3600\r", "\b\b\b\b\b\b\b\b\b\b\r{}/3600", "\x1b[2K\r{}/3600"])
def test_a_progress_bar_shows_its_state_at_intervals_and_its_end(form: str) -> None:
    clock = _Clock()
    for number in range(3600):
        clock.write(form.format(number + 1))
        clock.wait(1 / 60)
    clock.write("\n")
    states = [int(line.partition("/")[0]) for line in clock.log]
    assert states == sorted(states)
    assert states[-1] == 3600
    assert 60 / STATE_SECONDS <= len(states) <= 60 / STATE_SECONDS + 2


def test_a_state_that_stays_is_shown_once() -> None:
    clock = _Clock()
    clock.write(" 50%\r")
    clock.wait(100)
    clock.write(" 60%\r")
    clock.wait(100)
    clock.write("done\n")
    assert clock.log == [" 50%", " 60%", "done"]


def test_a_number_that_begins_like_the_last_state_is_whole() -> None:
    clock = _Clock()
    clock.write("1\r")
    clock.wait(FIRST_SECONDS)
    clock.write("10\n")
    assert clock.log == ["1", "10"]


@pytest.mark.parametrize("filler", ["x", "é", "\x1b[0m.", "mlsql_", ".\b", "\r", "\0", "m"])
def test_a_long_line_is_cut_and_no_score_is(filler: str) -> None:
    for offset in (*range(-32, -8, 6), *range(-8, 4), -MARGIN - 1, -MARGIN, 1 - MARGIN):
        report = ScriptReport()
        before, after = filler * ((2 * LINE_CHARACTERS + offset) // len(filler)), filler * (3 * LINE_CHARACTERS)
        parts = read(before, f"{' ' * (offset % len(filler))}{SCORE} ", after)
        for part in parts:
            report.read(part.line or "")
        assert report.score == 0.9
        assert max(len(part.line or "") for part in parts) <= LINE_CHARACTERS + MARGIN or filler == "mlsql_"


PIECES = [
    *("a", "word ", "\n", "\r", "\r\n", "\b", "\t", "\0", "\x1b", "\x1b[", "\x1b[31m", "\x1b]0;t\x07", "\x1b[2K", "é", "😀", "m"),
    *("mlsql_", SCORE, "mlsql_validation_score:", REPORT, " 50%|\r", "x" * 5000, "\u2028", "\x85", "\ufffd"),
]


@pytest.mark.parametrize("seed", range(25))
def test_chunks_do_not_matter(seed: int) -> None:
    draw = random.Random(seed)
    text = "".join(draw.choice(PIECES) for _ in range(draw.choice([20, 200, 2000])))
    cuts = sorted(draw.randrange(len(text) + 1) for _ in range(draw.choice([1, 10, 300])))
    chunks = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    whole, cut = ([part.line for part in read(*given) if (part.line or "").strip()] for given in ([text], chunks))
    assert whole == cut
    assert all((line or "").replace("\t", " ").isprintable() or "\u2028" in (line or "") for line in whole)


@pytest.mark.parametrize("seed", range(25))
def test_everything_that_is_not_overwritten_is_shown(seed: int) -> None:
    draw = random.Random(seed)
    clock = _Clock()
    text = ""
    for number in range(200):
        piece = draw.choice([f"{number} ", f"{number} \n", "\n", "\t"])
        text += piece
        clock.write(piece)
        clock.wait(draw.choice([0, 0.1, 2, 20]))
    clock.write("\n")
    assert "".join(clock.log).split() == text.split()


def _write(descriptor: int, chunks: Iterator[bytes]) -> None:
    with os.fdopen(descriptor, "wb", buffering=0) as stream:
        for chunk in chunks:
            stream.write(chunk)


def _read_bytes(chunks: Iterator[bytes]) -> Iterator[OutputPart]:
    """Yield what is read from a pipe, into which a thread writes the chunks."""
    reading, writing = os.pipe()
    writer = threading.Thread(target=_write, args=(writing, chunks))
    writer.start()
    with open(reading, "rb") as stream:
        yield from read_output(stream)
    writer.join()


def test_bytes_are_read_whatever_they_are() -> None:
    parts = [b"gr\xf6\xdf", b"er\nna\xc3", b"\xafve \xf0\x9f", b"\x98\x80\n", b"half \xe5\xa4"]
    assert [part.line for part in _read_bytes(iter(parts))] == ["gr\ufffd\ufffder", "naïve 😀", "half \ufffd"]


def test_text_without_a_line_end_is_read_before_the_process_ends() -> None:
    is_shown = threading.Event()

    def chunks() -> Iterator[bytes]:
        yield b"thinking"
        is_shown.wait(60)
        yield b" done\n"

    shown = []
    for part in _read_bytes(chunks()):
        shown.append(part.shown)
        is_shown.set()
    assert shown == ["thinking", " done"]


def test_100_mb_without_a_line_end_take_little_memory() -> None:
    random.seed(0)
    noise = random.randbytes(1 << 20).replace(b"\n", b"\0").replace(RECORD_START.encode(), b"\0")

    def chunks() -> Iterator[bytes]:
        for number in range(100):
            yield noise if number == 30 else b"x" * (1 << 20)
            if number == 50:
                yield REPORT.encode()
        yield f"\rstep 50/50 {SCORE}".encode()

    report, letters = ScriptReport(), 0
    tracemalloc.start()
    for part in _read_bytes(chunks()):
        if part.line is not None:
            report.read(part.line)
        letters += len(part.shown or "")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (report.score, report.metrics) == (0.9, {"loss": 0.25})
    assert peak < 20 << 20
    assert letters < 110 << 20
