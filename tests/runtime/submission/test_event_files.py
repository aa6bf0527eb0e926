"""Events of a job in cluster mode, as files in the run's folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.waiting import wait_until

from mlsql_runtime.errors import StorageError
from mlsql_runtime.events import LogLine, Message, emit, encode_message, log, send_also_to
from mlsql_runtime.storage.location import Location
from mlsql_runtime.submission import event_files
from mlsql_runtime.submission.event_files import EventFileReader, EventFileWriter
from mlsql_runtime.submission.output import read_event


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_files, "MIN_SECONDS", 0.02)


def message(text: str) -> Message:
    return Message(event=LogLine(text), label="fit 0")


def texts(reader: EventFileReader) -> list[str]:
    return [each.text for line in reader.read_lines() for each in read_event(line)]


def test_what_a_process_emits_is_read_while_it_runs_and_complete_at_its_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Location.of(str(tmp_path / "events"))
    reader, seen = EventFileReader(folder), list[str]()
    with EventFileWriter(folder) as writer, send_also_to(writer.add):
        log("one")
        wait_until(lambda: bool(seen.extend(texts(reader)) or seen))
        emit(LogLine("größer\nand a line"), "fit 3")
        wait_until(lambda: bool(seen.extend(texts(reader)) or len(seen) == 3))
        log("last \u2028 of \x85 all")
    log("after the end")
    seen += texts(reader)
    assert seen == ["[mlsql] one", "[fit 3] größer", "[fit 3] and a line", "[mlsql] last \u2028 of \x85 all"]
    assert texts(reader) == []
    assert reader.position == 3
    assert texts(EventFileReader(folder, position=1)) == seen[1:]  # as a trigger goes on where the worker ended
    assert capsys.readouterr().out.removesuffix("\n").split("\n") == [*seen, "[mlsql] after the end"]


def test_thousands_of_events_are_a_few_files_in_their_order(tmp_path: Path) -> None:
    folder = Location.of(str(tmp_path / "events"))
    with EventFileWriter(folder) as writer:
        for number in range(5_000):
            writer.add(message(str(number)))
    assert texts(EventFileReader(folder)) == [f"[fit 0] {number}" for number in range(5_000)]
    assert len(list((tmp_path / "events").iterdir())) < 100


def test_a_storage_that_fails_for_a_while_delays_events(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = tmp_path / "events"
    place.write_text("in the way")
    folder = Location.of(str(place))
    with EventFileWriter(folder) as writer:
        writer.add(message("early"))
        wait_until(lambda: "no live events" in capsys.readouterr().err)
        writer.add(message("late"))
        place.unlink()
    assert texts(EventFileReader(folder)) == ["[fit 0] early", "[fit 0] late"]
    assert capsys.readouterr().err == ""  # it was said once


def test_a_storage_that_never_takes_events_costs_them_not_the_job_and_bounded_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_files, "BUFFER_CHARACTERS", 1_000)
    place = tmp_path / "events"
    place.write_text("in the way")
    writer = EventFileWriter(Location.of(str(place)))
    for number in range(1_000):
        writer.add(message(str(number)))
    place.unlink()
    with writer:
        pass
    *kept, last = texts(EventFileReader(Location.of(str(place))))
    assert kept == [f"[fit 0] {number}" for number in range(len(kept))]
    assert 1 < len(kept) < 20
    assert "events are missing here" in last


def test_a_line_that_is_no_event_is_shown_as_it_is_and_reading_goes_on_after_an_error(tmp_path: Path) -> None:
    folder = Location.of(str(tmp_path / "events"))
    (folder / "000001.jsonl").write(encode_message(message("fine")).encode() + b"\n{half\n\xff\n")
    (tmp_path / "events/000002.jsonl").mkdir()
    reader, seen = EventFileReader(folder), list[str]()
    with pytest.raises(StorageError):
        seen.extend(each.text for line in reader.read_lines() for each in read_event(line))
    assert seen == ["[fit 0] fine", "{half", "\N{REPLACEMENT CHARACTER}"]
    (tmp_path / "events/000002.jsonl").rmdir()
    (folder / "000002.jsonl").write(encode_message(message("again")).encode() + b"\n")
    assert texts(reader) == ["[fit 0] again"]


def test_nothing_is_written_into_a_folder_that_was_removed(tmp_path: Path) -> None:
    with EventFileWriter(Location.of(str(tmp_path / "run")), is_wanted=lambda: False) as writer:
        writer.add(Message(event=LogLine("late"), label="fit 0"))
    assert list(tmp_path.iterdir()) == []
