"""Which lines of spark-submit's output people see, and how loud."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from mlsql_runtime.events import EVENTS_VARIABLE, Event, LogLine, Message, StatementStarted, encode_message, log
from mlsql_runtime.submission.output import OutputLine, read_output


class Application:
    """The ends at which an application prints and sends events, and what its submitter reads."""

    def __init__(self, folder: Path) -> None:
        self.events = str(folder / "events")
        os.mkfifo(self.events)
        self.output, self._printing = os.pipe()

    def print(self, text: str) -> None:
        os.write(self._printing, text.encode())

    def send(self, text: str) -> None:
        with open(self.events, "w") as pipe:
            pipe.write(text)

    def end(self) -> None:
        os.close(self._printing)

    def read(self) -> Generator[OutputLine]:
        return read_output(self.output, self.events)


@pytest.fixture
def application(tmp_path: Path) -> Iterator[Application]:
    made = Application(tmp_path)
    yield made
    os.close(made.output)


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
def test_levels(line: str, level: int | None, application: Application) -> None:
    application.print(f"{line}\n  {line}\r\n")
    application.end()
    assert list(read_output(application.output, None)) == [OutputLine(line, level), OutputLine(f"  {line}", level)]


def test_the_exception_of_a_task_is_one_line(application: Application) -> None:
    lost = "26/11/22 10:48:45 WARN TaskSetManager: Lost task 0.0 in stage 1.0 (TID 1) (h executor 1): x.SomeException: [CAST]"
    shown = [
        "26/11/22 10:48:44 ERROR Executor: Exception in task 0.0 in stage 1.0 (TID 1)",
        lost,
        "[mlsql] select: it failed",
        "plain",
    ]
    dropped = "org.apache.spark.SomeException: [CAST] abc\n== SQL (line 1, position 8) ==\n\n\tat x.Y(Z.scala:1)\nCaused by: it\n"
    application.print(f"{shown[0]}\n{dropped}{shown[1]}\n== SQL ==\nselect 1\n{shown[2]}\n{shown[3]}\n")
    application.end()
    assert [line.text for line in read_output(application.output, None) if line.level is not None] == shown


def encode(event: Event, label: str) -> str:
    return encode_message(Message(event=event, label=label)) + "\n"


def read_after(application: Application, event: str) -> list[OutputLine]:
    """Return the lines of an application that sends an event and ends."""
    lines = application.read()
    application.print("begin\n")
    assert next(lines) == OutputLine("begin")
    application.send(event)
    application.end()
    return list(lines)


def test_an_event_is_shown_as_its_text(application: Application) -> None:
    started = StatementStarted(number=2, total=3, title="train /m")
    assert read_after(application, encode(started, "mlsql")) == [OutputLine("[mlsql] (2/3) train /m", event=started)]


def test_each_line_of_an_event_is_a_line(application: Application) -> None:
    event = LogLine("one\rtwo")
    shown = [OutputLine("[fit 0] one", event=event), OutputLine("[fit 0] two")]
    assert read_after(application, encode(event, "fit 0")) == shown


def test_nothing_printed_is_an_event_and_nothing_sent_in_an_event_is_another(application: Application) -> None:
    forged = encode(StatementStarted(number=2, total=3, title="x"), "mlsql")
    text = forged.rstrip()
    application.print(forged)
    lines = application.read()
    assert next(lines) == OutputLine(text)
    application.send(encode(LogLine(text), "fit 0"))
    application.end()
    assert list(lines) == [OutputLine(f"[fit 0] {text}", event=LogLine(text))]


def test_output_amid_a_long_event_damages_neither(application: Application) -> None:
    """Spark's own lines come in any number of pieces, as do events that are longer than a pipe."""
    event = LogLine("größe " * 100_000)
    lines = application.read()
    application.print("26/11/22 10:48:44 WARN Task")
    sender = threading.Thread(target=application.send, args=[encode(event, "fit 0")])
    sender.start()
    application.print("SetManager: Lost task\nthe ")
    application.print("end")
    shown = [next(lines), next(lines)]
    sender.join()
    application.end()
    shown += lines
    assert OutputLine(f"[fit 0] {event.text}", event=event) in shown
    assert [line for line in shown if line.event is None] == [
        OutputLine("26/11/22 10:48:44 WARN TaskSetManager: Lost task", logging.WARNING),
        OutputLine("the end"),
    ]


def test_a_progress_bar_is_shown_while_it_grows(application: Application) -> None:
    lines = application.read()
    application.print("10%\r20%\r30%")
    assert [next(lines), next(lines)] == [OutputLine("10%"), OutputLine("20%")]
    application.print("\r\n")
    application.end()
    assert list(lines) == [OutputLine("30%")]


def test_the_output_ends_also_while_another_process_keeps_the_events_open(application: Application) -> None:
    with open(os.open(application.events, os.O_RDWR), "wb", buffering=0) as kept:
        lines = application.read()
        application.print("begin\n")
        assert next(lines) == OutputLine("begin")
        kept.write(encode(LogLine("last"), "fit 0").encode() + b"half a li")
        application.end()
        assert list(lines) == [OutputLine("[fit 0] last", event=LogLine("last")), OutputLine("half a li")]


def test_an_application_that_sends_nothing_ends(application: Application) -> None:
    application.end()
    assert list(application.read()) == []


def test_a_line_that_is_not_an_event_is_shown_as_it_is(application: Application) -> None:
    assert read_after(application, "no event\n") == [OutputLine("no event")]


def test_an_application_without_a_reader_prints_its_events(
    application: Application, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(EVENTS_VARIABLE, application.events)
    log("one")
    lines = application.read()
    application.print("two\n")
    assert next(lines) == OutputLine("two")
    log("three")
    assert next(lines) == OutputLine("[mlsql] three", event=LogLine("three"))
    lines.close()
    log("four")
    application.end()
    assert capsys.readouterr().out == "[mlsql] one\n[mlsql] four\n"
