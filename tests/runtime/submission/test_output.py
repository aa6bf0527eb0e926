"""Which lines of spark-submit's output people see, and how loud."""

from __future__ import annotations

import logging

import pytest

from mlsql_runtime.events import Event, LogLine, Message, StatementStarted, encode_message
from mlsql_runtime.submission.output import OutputLine, read_output

TOKEN = "0123456789abcdef"


@pytest.mark.parametrize(
    ("line", "level"),
    [
        ("[mlsql] train: 71 rows as json files", logging.INFO),
        ("[fit 0] loss=0.5", logging.INFO),
        ("something that nobody foresaw", logging.INFO),
        ("Traceback (most recent call last):", logging.INFO),
        ("26/11/22 10:48:44 INFO SparkContext: Running Spark version 4.2.0", None),
        ("26/11/22 10:48:44 WARN TaskSetManager: Lost task 0.0 in stage 1.0", logging.WARNING),
        ("26/11/22 10:48:44 ERROR Executor: Exception in task 0.0", logging.ERROR),
        ("26/11/22 10:48:44 WARN NativeCodeLoader: Unable to load native-hadoop library", None),
        ("26/11/22 10:48:44 WARN Utils: Your hostname, x, resolves to a loopback address: 127.0.1.1", None),
        ("WARNING: Using incubator modules: jdk.incubator.vector", None),
        ("at org.apache.spark.sql.Dataset$.ofRows(Dataset.scala:112)", None),
        ("... 12 more", None),
        ("I0000 00:00:1795393083.500147    8497 port.cc:153] oneDNN custom operations are on.", None),
        ("", None),
    ],
)
def test_levels(line: str, level: int | None) -> None:
    assert list(read_output(line, TOKEN)) == [OutputLine(line, level)]
    assert list(read_output(f"  {line}", "")) == [OutputLine(f"  {line}", level)]


def encode(event: Event, label: str, token: str = TOKEN) -> str:
    return encode_message(Message(event=event, label=label, token=token))


def test_an_event_is_shown_as_its_text() -> None:
    started = StatementStarted(number=2, total=3, title="train /m")
    assert list(read_output(encode(started, "mlsql"), TOKEN)) == [OutputLine("[mlsql] (2/3) train /m", event=started)]


def test_an_event_after_output_without_a_line_end_is_one() -> None:
    event = LogLine("x")
    assert list(read_output("..." + encode(event, "mlsql"), TOKEN)) == [OutputLine("..."), OutputLine("[mlsql] x", event=event)]


def test_each_line_of_an_event_is_a_line() -> None:
    event = LogLine("one\rtwo")
    assert list(read_output(encode(event, "fit 0"), TOKEN)) == [OutputLine("[fit 0] one", event=event), OutputLine("[fit 0] two")]


def test_a_script_whose_lines_travel_inside_events_cannot_forge_one() -> None:
    forged = encode(StatementStarted(number=2, total=3, title="x"), "mlsql")
    [shown] = read_output(encode(LogLine(forged), "fit 0"), TOKEN)
    assert shown == OutputLine(f"[fit 0] {forged}", event=LogLine(forged))


@pytest.mark.parametrize("token", ["", "another"])
def test_an_event_for_another_reader_is_a_line_like_others(token: str) -> None:
    line = encode(StatementStarted(number=2, total=3, title="x"), "mlsql")
    assert list(read_output(line, token)) == [OutputLine(line)]
