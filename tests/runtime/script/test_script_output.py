"""The lines of a script: shown, kept in the log, read for scores and metrics."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlsql_runtime.plan import PythonEnv
from mlsql_runtime.script.output import TAIL_LINES, CappedLog

Run = Callable[..., Any]


def test_the_score_and_the_metrics_of_the_lines_are_kept(run: Run) -> None:
    source = """
import mlsql
print("mlsql_validation_score:0.25")
mlsql.report(step=1, loss=0.5, auc=0.75)
mlsql.report(loss=0.125)
mlsql.progress(3, 4)
print("  mlsql_validation_score: 0.75")
"""
    ran = run(source)
    assert ran.outcome.report.score == 0.75
    assert ran.outcome.report.score_lines == 2
    assert ran.outcome.report.metrics == {"loss": 0.125, "auc": 0.75}
    assert ran.lines[1:4] == ["step 1: loss=0.5, auc=0.75", "loss=0.125", "progress: 3 of 4 (75%)"]
    assert ran.outcome.notes == ()


def test_a_score_other_than_a_number_is_noted(run: Run) -> None:
    outcome = run("print('mlsql_validation_score:0.5')\nprint('mlsql_validation_score:nan')").outcome
    assert (outcome.problem, outcome.report.score) == (None, None)
    assert "nan" in outcome.notes[0]


def test_output_in_another_encoding_is_shown_with_replacements(run: Run) -> None:
    ran = run(r"import sys; sys.stdout.buffer.write(b'gr\xf6\xdfer\nna\xc3\xafve\n')")
    assert ran.lines == ["gr\ufffd\ufffder", "naïve"]
    assert ran.log == "gr\ufffd\ufffder\nnaïve\n"


def test_text_of_any_language_can_be_printed(run: Run) -> None:
    assert run("print('größer → 大')", python=PythonEnv(timeout=60, envs={"LC_ALL": "C"})).lines == ["größer → 大"]


@pytest.mark.parametrize("letter", ["x", "é"])
def test_a_very_long_line_loses_nothing(run: Run, letter: str) -> None:
    ran = run(f"print('-' + {letter!r} * 200_000)\nprint('end')")
    assert "".join(ran.lines) == "-" + letter * 200_000 + "end"
    assert ran.lines[-1] == "end"


def test_output_without_a_newline_at_the_end_is_shown(run: Run) -> None:
    assert run("print('a'); print('b', end='')").lines == ["a", "b"]


def test_the_tail_is_the_last_100_lines_and_the_log_is_all(run: Run) -> None:
    ran = run("for i in range(250): print(i)")
    assert list(ran.outcome.tail) == [str(number) for number in range(250 - TAIL_LINES, 250)]
    assert ran.log.split() == ran.lines == [str(number) for number in range(250)]


def test_the_log_is_capped_and_keeps_beginning_and_end(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "0.log"
    with CappedLog(path, limit=1000) as log:
        for number in range(10_000):
            log.write(f"line {number}")
    lines = path.read_text(encoding="utf-8").splitlines()
    cut = next(index for index, line in enumerate(lines) if "left out" in line)
    assert lines[:cut] == [f"line {number}" for number in range(cut)]
    assert lines[cut + 1 :] == [f"line {number}" for number in range(10_000 - TAIL_LINES, 10_000)]
    assert 1000 <= sum(len(line) + 1 for line in lines[:cut]) < 1020
    left_out = sum(len(f"line {number}\n") for number in range(cut, 10_000 - TAIL_LINES))
    assert str(left_out) in lines[cut]


def test_a_log_below_its_cap_is_left_alone(tmp_path: Path) -> None:
    with CappedLog(tmp_path / "log", limit=100) as log:
        for line in ("größer", "", "b"):
            log.write(line)
    assert (tmp_path / "log").read_text(encoding="utf-8") == "größer\n\nb\n"


GREETINGS = """
print("WARNING: All log messages before absl::InitializeLog() is called are written to STDERR")
print("I0000 00:00:1795393083.500147    8497 port.cc:153] oneDNN custom operations are on. You may see")
print("E0000 00:00:1795393083.500147    8497 cuda_fft.cc:467] Unable to register cuFFT factory")
print("I0000 is a code of mine")
"""


def test_what_a_library_says_at_every_start_is_in_the_log_alone(run: Run) -> None:
    ran = run(GREETINGS)
    assert [line.partition(" ")[0] for line in ran.lines] == ["E0000", "I0000"]
    assert list(ran.outcome.tail) == ran.lines
    assert [line.partition(" ")[0] for line in ran.log.splitlines()] == ["WARNING:", "I0000", "E0000", "I0000"]
