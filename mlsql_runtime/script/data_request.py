"""Files of a script's table that are written only when the script asks where they are. Standard library only.

The script's process, or a child of it with any interpreter, creates the request file and waits for the reply file. The process
that runs the script watches for the request, writes the table's files, then the reply: an error message, or an empty text. Files
work where a pipe would not: a child may have closed every inherited descriptor, or have another standard output.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from mlsql_runtime.errors import DataError, MLSQLError

PAUSE = 0.02  # seconds between two looks for a file
WriteFiles = Callable[[Callable[[], bool]], None]


def await_data_files(request: str) -> None:
    """Ask for the files of the table, and return when they are complete.

    No timeout is needed: if the process that writes them ends, it ends the script, too, and leaves a reply to later requests.

    :raises DataError: when the table cannot be written, or its job has ended.
    """
    reply = Path(_reply_file(request))
    Path(request).touch()
    while not reply.exists():
        time.sleep(PAUSE)
        if not os.path.exists(request) and not reply.exists():
            raise DataError("the files of tempDataLocalPath cannot be written, nor the reason; look for room on the disk")
    if message := reply.read_text(encoding="utf-8"):
        raise DataError(f"the files of tempDataLocalPath cannot be written: {message}")


@contextlib.contextmanager
def answering_requests(request: Path, write: WriteFiles) -> Iterator[None]:
    """Write the table's files as soon as they are asked for, in a thread, while the block runs.

    :param write: writes them. Its argument is a function that returns True once the script has ended.
    """
    over = threading.Event()

    def watch() -> None:
        while not request.exists() and not over.wait(PAUSE):
            pass
        try:
            if not request.exists():  # a reply all the same: the folder may be kept, and the script run again in it
                raise DataError("the job that would write them has ended")
            write(over.is_set)
            message = ""
        except Exception as error:  # the script raises it
            message = error.message if isinstance(error, MLSQLError) else f"{type(error).__name__}: {error}"
        try:
            incomplete = Path(f"{_reply_file(request)}.incomplete")
            incomplete.write_text(message, encoding="utf-8")
            os.replace(incomplete, _reply_file(request))
        except OSError:  # the disk is full: a script must not wait for ever
            while not over.wait(PAUSE):
                request.unlink(missing_ok=True)

    thread = threading.Thread(target=watch, name="mlsql-data-files", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _reply_file(request: str | Path) -> str:
    return f"{request}.reply"
