"""One look for all who wait for the same model path: a listing per poll interval, however many triggers there are.

Everything here belongs to one event loop: its pollers, and its threads. So loops in other threads, and processes that were
forked, have their own, and nothing is left when the last trigger of a loop goes. Nothing here has to survive a restart of the
triggerer: triggers are made again from their arguments, and join again.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from mlsql_runtime.errors import MLSQLError
from mlsql_runtime.store.awaiting import Watch
from mlsql_runtime.store.location import Location

T = TypeVar("T")
Ask = Callable[[Watch], T]
THREADS = 4  # of each loop: a storage that hangs takes these, and none that other triggers use


class Poller:
    """Looks at one model path, as often as the most impatient of its members wants, while somebody asks."""

    def __init__(self, watch: Watch, threads: ThreadPoolExecutor) -> None:
        self._watch = watch
        self._threads = threads
        self._intervals: list[float] = []
        self._asked: list[tuple[Ask[Any], asyncio.Future[Any]]] = []
        self._changed = asyncio.Event()
        self._looked: float | None = None
        self._task = asyncio.create_task(self._run(), name=f"poll {watch.root.uri}")

    @property
    def uri(self) -> str:
        return self._watch.root.uri

    def join(self, interval: float) -> None:
        self._intervals.append(interval)
        self._changed.set()

    def leave(self, interval: float) -> bool:
        """Whether that was the last member, with whom the poller ends."""
        self._intervals.remove(interval)
        if not self._intervals:
            self._task.cancel()
        return not self._intervals

    async def poll(self, ask: Ask[T]) -> T | MLSQLError:
        """What ``ask``, called in a thread, finds at the next look. An error is answered, since it is shared by many."""
        future: asyncio.Future[T | MLSQLError] = asyncio.get_running_loop().create_future()
        self._asked.append((ask, future))
        self._changed.set()
        return await future

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._until_due(loop)
            self._looked = loop.time()
            asked, self._asked = [(ask, future) for ask, future in self._asked if not future.done()], []
            try:
                answers = await loop.run_in_executor(self._threads, _look, self._watch, [ask for ask, _ in asked])
            except Exception as error:  # a mistake of ours: whoever waits fails with its traceback, rather than wait for ever
                for _, future in asked:
                    if not future.done():
                        future.set_exception(error)
                continue
            for (_, future), answer in zip(asked, answers, strict=True):
                if not future.done():
                    future.set_result(answer)

    async def _until_due(self, loop: asyncio.AbstractEventLoop) -> None:
        while True:
            self._changed.clear()
            left = self._seconds_left(loop.time()) if self._asked and self._intervals else None
            if left is not None and left <= 0:
                return
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._changed.wait(), left)

    def _seconds_left(self, now: float) -> float:
        return 0 if self._looked is None else self._looked + min(self._intervals) - now


def _look(watch: Watch, asks: list[Ask[Any]]) -> list[Any]:
    """One look, and everybody's answer; in a thread."""
    try:
        watch.refresh()
    except MLSQLError as error:
        return [error] * len(asks)
    return [_answer(watch, ask) for ask in asks]


def _answer(watch: Watch, ask: Ask[Any]) -> Any:
    try:
        return ask(watch)
    except MLSQLError as error:
        return error


@dataclass
class _Room:
    """What the triggers of one event loop share."""

    threads: ThreadPoolExecutor
    pollers: dict[str, Poller] = field(default_factory=dict)
    members: int = 0


_rooms: WeakKeyDictionary[asyncio.AbstractEventLoop, _Room] = WeakKeyDictionary()
_rooms_lock = threading.Lock()  # the dictionary is the only thing that loops in several threads share


@contextlib.contextmanager
def _room(loop: asyncio.AbstractEventLoop) -> Iterator[_Room]:
    with _rooms_lock:
        if loop not in _rooms:
            _rooms[loop] = _Room(ThreadPoolExecutor(THREADS, thread_name_prefix="mlsql-store"))
        room = _rooms[loop]
        room.members += 1
    try:
        yield room
    finally:
        with _rooms_lock:
            room.members -= 1
            if not room.members:
                del _rooms[loop]
                room.threads.shutdown(wait=False)


@contextlib.asynccontextmanager
async def polling(model_path: str, interval: float) -> AsyncIterator[Poller]:
    """The loop's poller of this path: the first one who comes starts it, the last one who goes ends it.

    :raises MLSQLError: when the path cannot be opened at all.
    """
    loop = asyncio.get_running_loop()
    with _room(loop) as room:
        root = await loop.run_in_executor(room.threads, Location.of, model_path)
        # by URI and not by Location: fsspec has a file system for each thread, and they are not equal
        poller = room.pollers.get(root.uri)
        if poller is None:
            poller = room.pollers[root.uri] = Poller(Watch(root), room.threads)
        poller.join(interval)
        try:
            yield poller
        finally:
            if poller.leave(interval):
                del room.pollers[root.uri]
