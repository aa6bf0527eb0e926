"""What comes piece by piece: the output of scripts and of spark-submit, events in a pipe."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from mlsql_runtime.events import Message, decode_message, encode_message
from mlsql_runtime.script.output import CappedLog, Tail, is_startup_notice
from mlsql_runtime.script.output_lines import OutputLines
from mlsql_runtime.script.protocol import PROGRESS_MARK, REPORT_MARK, SCORE_MARK, ScriptReport
from mlsql_runtime.submission.output import read_event, read_output
from support.fuzz.engine import Kind, Target
from support.fuzz.jobs import EVENTS
from support.fuzz.mutations import ODD_VALUES, mutate_bytes, mutate_json_lines

OUTPUT = "\n".join(
    (
        "epoch 1: 10%\repoch 1: 20%\x1b[32m\repoch 1: done\x1b[0m",
        f"\x1e{REPORT_MARK}" + json.dumps({"metrics": {"loss": 0.5, "auc": 0.9}, "step": 3}),
        f"\x1e{PROGRESS_MARK}" + json.dumps({"done": 3, "total": 10}),
        f"{SCORE_MARK}0.97",
        f"bar |####| {SCORE_MARK} 0.98 ",
        "\x1b]0;title\x07 text\b\b\bs 数据 \t tab",
        "I0000 00:00:17.123456   12 cpu.cc:1] notice",
        "no line end",
    )
).encode()
PIECES = (
    *(
        REPORT_MARK,
        PROGRESS_MARK,
        SCORE_MARK,
        "\x1e",
        "\x1b[",
        "\x1b]",
        "\x1b\\",
        "\x07",
        "\b",
        "\r",
        "\r\n",
        "\n",
        "\0",
        "nan",
        "1e999",
    ),
    *(
        "[" * 50_000,
        '{"a":' * 50_000,
        "\x1b]" * 9000,
        "\x1b[0;" * 9000,
        "a\b" * 9000,
        "\b" * 9000,
        "\r" * 9000,
        "a\r" * 9000,
        " " * 30_000,
    ),
    *(
        "x" * 40_000,
        SCORE_MARK * 2000,
        f"{REPORT_MARK}{{" * 3000,
        "\x1e" * 9000,
        '"' * 20_000,
        "\\" * 20_000,
        "9" * 5000,
        "\ud800",
        "表" * 9000,
    ),
)
SPARK = b"""24/05/01 12:00:00 WARN NativeCodeLoader: Unable to load native-hadoop library
24/05/01 12:00:01 ERROR Executor: Exception in task 0.0
java.lang.RuntimeException: no
\tat org.apache.spark.Foo.bar(Foo.scala:12)
\t... 3 more
[mlsql] train data
Traceback (most recent call last):
ValueError: wrong
"""


def mutate_output(chance: random.Random, samples: Sequence[bytes]) -> bytes:
    """Put marks with odd JSON, control sequences and long pieces into an output."""
    raw = mutate_bytes(chance, samples) if chance.random() < 0.5 else chance.choice(samples)
    for _ in range(chance.randrange(4)):
        place = chance.randrange(len(raw) + 1)
        piece = chance.choice(PIECES) if chance.random() < 0.7 else _odd_record(chance)
        raw = raw[:place] + piece.encode("utf-8", "surrogatepass") + raw[place:]
    return raw[: 1 << 20]


def _odd_record(chance: random.Random) -> str:
    value, other = (json.dumps(chance.choice(ODD_VALUES)).replace('"@@', "").replace('@@"', "") for _ in range(2))
    record = chance.choice(
        ('{"metrics": {"a": %s}, "step": %s}', '{"metrics": %s, "step": %s}', '{"done": %s, "total": %s}', "%s %s")
    )
    return "\n\x1e" + chance.choice((REPORT_MARK, PROGRESS_MARK, SCORE_MARK)) + record % (value, other) + "\n"


def _output(folder: Path) -> Target:
    """The output of a script, in chunks of a size that depends on it."""

    def read(case: bytes) -> bool:
        chance = random.Random(len(case))
        lines, report, tail = OutputLines(), ScriptReport(), Tail()
        text, shown, now = case.decode(errors="replace"), 0, 0.0
        with CappedLog(folder / "log") as log:
            place = 0
            while place < len(text):
                size = chance.choice((1, 10, 1000, 65_536))
                parts = list(lines.feed(text[place : place + size], now))
                place, now = place + size, now + chance.choice((0.0, 0.1, 5.0))
                parts += lines.show_state(now) if chance.random() < 0.1 else []
                parts += lines.finish() if place >= len(text) else []
                for part in parts:
                    event = None if part.line is None else report.read(part.line)
                    if part.shown is not None:
                        log.write(part.shown)
                        is_startup_notice(part.shown)
                        shown += len(part.shown)
                    if event is not None:
                        tail.add(event.text)
                    if event is not None and shown < 100_000:
                        message = decode_message(encode_message(Message(event=event, label="fit 0")))
                        assert message is not None
                        message.text.encode()
        assert shown <= 4 * len(text) + 100
        return report.score is not None

    return Target([OUTPUT], mutate_output, read, folder)


def _printed(folder: Path) -> Target:
    def read(case: bytes) -> bool:
        reading, writing = os.pipe()
        with ThreadPoolExecutor(1) as pool, open(reading, "rb") as output:
            pool.submit(_write, writing, case)
            lines = list(read_output(output.fileno(), None))
        return any(line.level is not None for line in lines)

    return Target([SPARK, OUTPUT], mutate_output, read, folder)


def _write(pipe: int, content: bytes) -> None:
    with open(pipe, "wb") as file:
        file.write(content)


def _events(use: Callable[[str], Any]) -> Callable[[Path], Target]:
    def make(folder: Path) -> Target:
        def read(case: bytes) -> bool:
            found = [use(line) for line in case.decode(errors="replace").split("\n")]
            return any(found)

        good = [encode_message(Message(event=event, label="fit 0")).encode() for event in EVENTS]
        return Target(good, mutate_json_lines, read, folder)

    return make


def _event(line: str) -> bool:
    found = list(read_event(line))
    for each in found:
        each.text.encode(errors="replace")
    return found[0].event is not None


KINDS = (
    Kind("output of a script", _output, 2),
    Kind("output of spark-submit", _printed),
    Kind("events in a pipe", _events(_event)),
)
