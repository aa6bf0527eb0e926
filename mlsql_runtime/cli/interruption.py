"""Ctrl-C and friends, once."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """The first of the signals that ask a process to end raises KeyboardInterrupt inside; further ones do not disturb what
    cleans up.
    """

    def interrupt(number: int, frame: FrameType | None) -> None:
        for each in _SIGNALS:
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt

    listened = [number for number in _SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]  # nohup has SIGHUP ignored
    before = {number: signal.signal(number, interrupt) for number in listened}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
