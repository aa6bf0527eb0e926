"""The process of a command: its exit codes, the signals that interrupt it, the user who runs it."""

from __future__ import annotations

import contextlib
import getpass
import os
import signal
import socket
from collections.abc import Iterator
from types import FrameType

from mlsql_runtime.errors import InputError, IntegrityError, MLSQLError, ScriptFailed

# Exit codes; docs/reference/cli.md has the table.
OK = 0
FAILED = 1  # a script, a training or a verification
WRONG_INPUT = 2
UNAVAILABLE = 3  # worth another try
INTERNAL = 70  # EX_SOFTWARE of sysexits.h
INTERRUPTED = 130
UNREAD = 141  # as of a process that SIGPIPE ends

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def choose_exit_code(error: MLSQLError) -> int:
    """Return 2 for wrong input, 1 for a script or files that failed a check, 3 for what another try may mend."""
    if isinstance(error, InputError):
        return WRONG_INPUT
    return FAILED if isinstance(error, (ScriptFailed, IntegrityError)) else UNAVAILABLE


@contextlib.contextmanager
def handle_signals() -> Iterator[None]:
    """Raise KeyboardInterrupt in the block at the first SIGINT, SIGTERM or SIGHUP.

    Further signals are ignored, so that they do not disturb the clean-up.
    """

    def interrupt(number: int, frame: FrameType | None) -> None:
        for each in _SIGNALS:
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt

    handled = [number for number in _SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]  # nohup has SIGHUP ignored
    before = {number: signal.signal(number, interrupt) for number in handled}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def current_user() -> str:
    """Return ``user@host``, for the history of functions."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, as containers have them
        user = f"uid {os.getuid()}"
    return f"{user}@{socket.gethostname()}"
