from __future__ import annotations

import socket
import threading
from collections import Counter

import pytest

from mlsql_runtime.events import STREAM_BYTES, EventAddress, EventClient, EventServer, log


def test_say_marks_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    log("größer")
    log("x", "fit 3")
    assert capsys.readouterr().out == "[mlsql] größer\n[fit 3] x\n"


def test_lines_of_several_clients_are_printed_whole_and_in_order(capsys: pytest.CaptureFixture[str]) -> None:
    def send(label: str, address: EventAddress) -> None:
        client = EventClient(address, label)
        for number in range(300):
            client.send(f"größe {number} " + "x" * 200)
        client.close()

    with EventServer("127.0.0.1") as log:
        threads = [threading.Thread(target=send, args=(f"fit {index}", log.address)) for index in range(5)]
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
    with EventServer("127.0.0.1") as log:
        for index in range(8):
            client = EventClient(log.address, f"fit {index}")
            client.send("first")
            client.send("last")
            client.close()
    counts = Counter(capsys.readouterr().out.splitlines())
    assert counts == Counter(f"[fit {index}] {word}" for index in range(8) for word in ("first", "last"))


@pytest.mark.parametrize("token", ["", "0" * 32, "größe"])
def test_a_wrong_token_is_refused(capsys: pytest.CaptureFixture[str], token: str) -> None:
    with EventServer("127.0.0.1") as log:
        client = EventClient(EventAddress(log.address.host, log.address.port, token), "intruder")
        client.send("boo")
        client.close()
        friend = EventClient(log.address, "fit 0")
        friend.send("hello")
        friend.close()
    captured = capsys.readouterr()
    assert captured.out == "[fit 0] hello\n"
    assert captured.err == ""


def test_every_log_has_its_own_token_and_port() -> None:
    with EventServer("127.0.0.1") as one, EventServer("127.0.0.1") as other:
        assert one.address.token != other.address.token
        assert one.address.port != other.address.port
        assert len(one.address.token) >= 32


def test_a_garbled_line_costs_that_client_only(capsys: pytest.CaptureFixture[str]) -> None:
    with EventServer("127.0.0.1") as log:
        with socket.create_connection((log.address.host, log.address.port)) as raw:
            raw.sendall(log.address.token.encode() + b'\n["fit 1", "good"]\nno json\n')
        friend = EventClient(log.address, "fit 0")
        friend.send("hello")
        friend.close()
    assert sorted(capsys.readouterr().out.splitlines()) == ["[fit 0] hello", "[fit 1] good"]


def test_output_beyond_the_cap_is_announced_once_and_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    line = "x" * 1023
    with EventServer("127.0.0.1") as log:
        client = EventClient(log.address, "fit 0")
        for _ in range(2 * STREAM_BYTES // 1024):
            client.send(line)
        client.close()
    lines = capsys.readouterr().out.splitlines()
    shown = [text for text in lines if text == f"[fit 0] {line}"]
    assert len(shown) * 1024 <= STREAM_BYTES < (len(shown) + 2) * 1024
    assert [text for text in lines if text not in shown] == [lines[-1]]
    assert "more output than the task log takes" in lines[-1]


def test_a_client_without_a_server_stays_quiet() -> None:
    with EventServer("127.0.0.1") as log:
        address = log.address
    client = EventClient(address, "fit 0")
    client.send("into the void")
    client.close()


def test_a_client_whose_server_goes_away_stays_quiet() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = EventClient(EventAddress("127.0.0.1", server.getsockname()[1], "token"), "fit 0")
        connection, _ = server.accept()
        connection.close()
    for _ in range(200):
        client.send("x" * 4096)
    client.close()
