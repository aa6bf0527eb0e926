"""The events of a job in cluster mode: small numbered files in the run's folder, which object stores can hold, too.

The driver writes a new file every few seconds while there are events; whoever follows the job reads the files in their order.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import TracebackType

from mlsql_runtime.errors import MLSQLError
from mlsql_runtime.events import LogLine, Message, encode_message
from mlsql_runtime.storage.location import Location

MIN_SECONDS, MAX_SECONDS = 1.0, 15.0  # between two files
_MISSING = "… events are missing here: the job's folder could not be written …"
BUFFER_CHARACTERS = 4 << 20  # of events that wait for a storage that takes none


def _locate(folder: Location, number: int) -> Location:
    return folder / f"{number:06d}.jsonl"


class EventFileWriter:
    """The driver's end. Use it as a context manager around what sends events. A storage that fails costs events, never the job.

    Files follow each other after a second at first, and after up to 15 seconds when the job has run for long: a job of a day
    writes about 6,000.

    :param is_wanted: asked before each file; nothing is written into a folder that was removed.
    """

    def __init__(self, folder: Location, is_wanted: Callable[[], bool] = lambda: True) -> None:
        self._folder, self._number, self._is_wanted = folder, 1, is_wanted
        self._lines: list[str] = []
        self._room = BUFFER_CHARACTERS
        self._unwritten: bytes | None = None  # the file under way: whoever has read it must find the same in it later
        self._lock, self._is_over = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._write_until_over, name="mlsql-event-files", daemon=True)

    def add(self, message: Message) -> None:
        """Write a message with the next file."""
        line = encode_message(message)
        with self._lock:
            if self._room <= 0:
                return
            self._room -= len(line)
            if self._room <= 0:
                line = encode_message(Message(event=LogLine(_MISSING), label=message.label))
            self._lines.append(line)

    def __enter__(self) -> EventFileWriter:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Write what is left."""
        self._is_over.set()
        self._thread.join()

    def _write_until_over(self) -> None:
        started, is_reported = time.monotonic(), False
        while True:
            is_over = self._is_over.wait(min(max((time.monotonic() - started) / 100, MIN_SECONDS), MAX_SECONDS))
            try:
                self._write_waiting()
            except MLSQLError as error:
                if not is_reported:
                    is_reported = True
                    print(f"[mlsql] no live events: {error.message}", file=sys.stderr, flush=True)
            if is_over:
                return

    def _write_waiting(self) -> None:
        """Write the file under way, then those events that have come since."""
        while True:
            if self._unwritten is None:
                with self._lock:
                    lines, self._lines, self._room = self._lines, [], BUFFER_CHARACTERS
                if not lines:
                    return
                self._unwritten = "".join(f"{line}\n" for line in lines).encode(errors="replace")
            if self._is_wanted():
                _locate(self._folder, self._number).replace(self._unwritten)
            self._number, self._unwritten = self._number + 1, None


class EventFileReader:
    """The follower's end.

    :param position: how many files have been read before.
    """

    def __init__(self, folder: Location, position: int = 0) -> None:
        self._folder, self.position = folder, position

    def read_lines(self) -> Iterator[str]:
        """Yield the lines of the files that have been written since. There is one request for each, and one more.

        :raises StorageError: when the storage does not respond; a later call goes on where this one ended.
        """
        while (content := _locate(self._folder, self.position + 1).read_or_none()) is not None:
            self.position += 1
            yield from content.decode(errors="replace").removesuffix("\n").split("\n")  # splitlines would cut at U+2028, too
