from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlsql_runtime.event_channel import STREAM_BYTES, EventAddress, EventClient, EventServer
from mlsql_runtime.events import (
    EVENTS_VARIABLE,
    OURS,
    PROTOCOL_VERSION,
    ApplicationStarted,
    Event,
    LogLine,
    Message,
    Metrics,
    Progress,
    StatementStarted,
    decode_message,
    emit,
    encode_message,
    log,
)

STARTED = ApplicationStarted(
    spark="4.2.0", master="local[2]", application="local-1795368914453", ui="http://localhost:4040", history=None
)
HISTORY = "http://history:18080/history/local-1795368914453/"
EVENTS: list[tuple[Event, str]] = [
    (STARTED, "Spark 4.2.0 on local[2], application local-1795368914453, http://localhost:4040"),
    (replace(STARTED, ui=None), "Spark 4.2.0 on local[2], application local-1795368914453, no UI"),
    (
        replace(STARTED, history=HISTORY),
        f"Spark 4.2.0 on local[2], application local-1795368914453, http://localhost:4040, history {HISTORY}",
    ),
    (StatementStarted(number=1, total=3, title="load größen"), "(1/3) load größen"),
    (LogLine("größer"), "größer"),
    (Progress(3, 8), "progress: 3 of 8 (38%)"),
    (Progress(3, 0), "progress: 3 of 0"),
    (Metrics(step=7, values={"loss": 0.5, "auc": None}, text="step 7: loss=0.5, auc=nan"), "step 7: loss=0.5, auc=nan"),
]


@pytest.fixture
def submitter(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[[], list[str]]]:
    """Returns the lines that the process that submitted this one has received."""
    path = str(tmp_path / "events")
    os.mkfifo(path)
    monkeypatch.setenv(EVENTS_VARIABLE, path)
    pipe = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    yield lambda: os.read(pipe, 1 << 16).decode().splitlines()
    os.close(pipe)


@pytest.mark.parametrize(("event", "text"), EVENTS)
def test_an_event_is_a_labelled_line_for_people(event: Event, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    emit(event)
    emit(event, "fit 3")
    assert capsys.readouterr().out == f"[mlsql] {text}\n[fit 3] {text}\n"


@pytest.mark.parametrize("event", [event for event, _ in EVENTS])
def test_an_event_is_a_line_of_json_for_the_submitter(
    event: Event, submitter: Callable[[], list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    emit(event)
    emit(event, "fit 3")
    first, second = submitter()
    assert decode_message(first) == Message(event=event, label=OURS)
    assert decode_message(second) == Message(event=event, label="fit 3")
    assert capsys.readouterr().out == ""


@given(text=st.text(st.characters(exclude_categories=("Cs",))), label=st.text(st.characters(exclude_categories=("Cs",))))
def test_any_text_travels_in_one_line(text: str, label: str) -> None:
    message = Message(event=LogLine(text), label=label)
    line = encode_message(message)
    assert "\n" not in line
    assert "\r" not in line
    assert decode_message(line.encode()) == message


def test_a_text_with_line_ends_is_shown_as_several_lines(capsys: pytest.CaptureFixture[str]) -> None:
    log("one\rtwo\nthree", "fit 3")
    assert capsys.readouterr().out == "[fit 3] one\n[fit 3] two\n[fit 3] three\n"


EVENT = encode_message(Message(event=LogLine("x"), label=OURS))


@pytest.mark.parametrize(
    "line",
    [
        encode_message(Message(event=LogLine("x"), label=OURS, protocol_version=2)),
        EVENT.replace("log_line", "invented_later"),
        EVENT.replace('"log_line"', '["log_line"]'),
        encode_message(Message(event=Progress(1, 2), label=OURS)).replace("2", "9" * 400),
        EVENT.replace('"text"', '"test"'),
        EVENT[:-1],
        f"[fit 0] {EVENT}",
        "[mlsql] (1/3) load t",
        "[" * 100_000,
        "null",
        "",
    ],
)
def test_other_lines_are_not_events(line: str) -> None:
    assert decode_message(line) is None


def test_lines_of_several_clients_are_printed_whole_and_in_order(capsys: pytest.CaptureFixture[str]) -> None:
    def send(label: str, address: EventAddress) -> None:
        client = EventClient(address, label)
        for number in range(300):
            client.log(f"größe {number} " + "x" * 200)
        client.close()

    with EventServer("127.0.0.1") as server:
        threads = [threading.Thread(target=send, args=(f"fit {index}", server.address)) for index in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    lines = capsys.readouterr().out.splitlines()
    for index in range(5):
        own = [line for line in lines if line.startswith(f"[fit {index}] ")]
        assert own == [f"[fit {index}] größe {number} " + "x" * 200 for number in range(300)]
    assert len(lines) == 1500


@pytest.mark.parametrize("turn", range(5))
def test_nothing_that_was_sent_is_lost_on_closing(capsys: pytest.CaptureFixture[str], turn: int) -> None:
    """Clients that have come and gone before the server looked at them are heard, too."""
    with EventServer("127.0.0.1") as server:
        for index in range(8):
            client = EventClient(server.address, f"fit {index}")
            client.log("first")
            client.log("last")
            client.close()
    counts = Counter(capsys.readouterr().out.splitlines())
    assert counts == Counter(f"[fit {index}] {word}" for index in range(8) for word in ("first", "last"))


@pytest.mark.parametrize("token", ["", "0" * 32, "größe"])
def test_a_wrong_token_is_refused(capsys: pytest.CaptureFixture[str], token: str) -> None:
    with EventServer("127.0.0.1") as server:
        client = EventClient(EventAddress(server.address.host, server.address.port, token), "intruder")
        client.log("boo")
        client.close()
        friend = EventClient(server.address, "fit 0")
        friend.log("hello")
        friend.close()
    captured = capsys.readouterr()
    assert captured.out == "[fit 0] hello\n"
    assert captured.err == ""


def test_every_log_has_its_own_token_and_port() -> None:
    with EventServer("127.0.0.1") as one, EventServer("127.0.0.1") as other:
        assert one.address.token != other.address.token
        assert one.address.port != other.address.port
        assert len(one.address.token) >= 32


def test_lines_that_are_not_events_are_left_out_and_announced_once(capsys: pytest.CaptureFixture[str]) -> None:
    with EventServer("127.0.0.1") as server:
        good = encode_message(Message(event=LogLine("good"), label="fit 1"))
        later = encode_message(Message(event=LogLine("later"), label="fit 1", protocol_version=PROTOCOL_VERSION + 1))
        with socket.create_connection((server.address.host, server.address.port)) as raw:
            raw.sendall(f"{server.address.token}\n{good}\nno json\n{good}\n{later}\n{good}\n".encode())
        friend = EventClient(server.address, "fit 0")
        friend.log("hello")
        friend.close()
    announced = "[mlsql] an executor at 127.0.0.1 sent lines that are not events; they are left out"
    assert sorted(capsys.readouterr().out.splitlines()) == ["[fit 0] hello", *["[fit 1] good"] * 3, announced]


def test_an_event_whose_sender_is_lost_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    with EventServer("127.0.0.1") as server, socket.create_connection((server.address.host, server.address.port)) as raw:
        raw.sendall(f"{server.address.token}\n{EVENT}\n{EVENT[:-9]}".encode())
        raw.shutdown(socket.SHUT_WR)
    assert capsys.readouterr().out == "[mlsql] x\n"


def test_events_of_executors_reach_the_submitter_as_they_are(submitter: Callable[[], list[str]]) -> None:
    sent = [Metrics(step=None, values={"loss": 0.5}, text="loss=0.5"), Progress(1, 2), LogLine("done")]
    with EventServer("127.0.0.1") as server:
        client = EventClient(server.address, "fit 0")
        for event in sent:
            client.send(event)
        client.close()
    assert [decode_message(line) for line in submitter()] == [Message(event=event, label="fit 0") for event in sent]


def test_output_beyond_the_cap_is_announced_once_and_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    line = "x" * 1023
    with EventServer("127.0.0.1") as server:
        client = EventClient(server.address, "fit 0")
        for _ in range(2 * STREAM_BYTES // 1024):
            client.log(line)
        client.close()
    lines = capsys.readouterr().out.splitlines()
    shown = [text for text in lines if text == f"[fit 0] {line}"]
    assert len(shown) * 1024 <= STREAM_BYTES < (len(shown) + 2) * 1024
    assert [text for text in lines if text not in shown] == [lines[-1]]
    assert "more output than the task log takes" in lines[-1]


def test_a_client_without_a_server_stays_quiet() -> None:
    with EventServer("127.0.0.1") as server:
        address = server.address
    client = EventClient(address, "fit 0")
    client.log("into the void")
    client.close()


def test_a_client_whose_server_goes_away_stays_quiet() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = EventClient(EventAddress("127.0.0.1", server.getsockname()[1], "token"), "fit 0")
        connection, _ = server.accept()
        connection.close()
    for _ in range(200):
        client.log("x" * 4096)
    client.close()


def test_a_process_whose_output_nobody_reads_any_more_goes_on(tmp_path: Path) -> None:
    """A driver whose submitter was killed writes into a broken pipe, and then cleans up."""
    reading, writing = os.pipe()
    os.close(reading)
    code = "import pathlib, sys; from mlsql_runtime.events import log; log('I clean up'); pathlib.Path(sys.argv[1]).touch()"
    with open(writing, "wb") as output:
        subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / "clean")], stdout=output, stderr=subprocess.DEVNULL, check=False
        )
    assert (tmp_path / "clean").exists()
