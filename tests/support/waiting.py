"""Wait for a condition. A test fails if it waits in vain."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")
WAIT_SECONDS = 240.0  # far more than anything takes, on a busy machine, too


def wait_until(
    condition: Callable[[], Found],
    what: str | Callable[[], object] = "the condition",
    seconds: float = WAIT_SECONDS,
    every: float = 0.05,
) -> Found:
    """Return the first true result of ``condition``.

    :param what: what is waited for, in the message of the failure; a function that returns it is called then.
    """
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"waited {seconds:g} s for {what() if callable(what) else what}"
        time.sleep(every)
    return found


async def wait_until_async(condition: Callable[[], object]) -> None:
    """Let other tasks of the event loop run until the condition holds, for :data:`WAIT_SECONDS` at most."""

    async def poll() -> None:
        while not condition():
            await asyncio.sleep(0.001)

    await asyncio.wait_for(poll(), WAIT_SECONDS)
