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
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store.version_watch import VersionWatch

T = TypeVar("T")
Ask = Callable[[VersionWatch], T]
THREADS = 4  # of each loop: a storage that hangs takes these, and none that other triggers use


class Poller:
    """Looks at one model path, as often as the most impatient of its members wants, while somebody asks."""

    def __init__(self, watch: VersionWatch, threads: ThreadPoolExecutor) -> None:
        self._watch = watch
        self._threads = threads
        self._intervals: list[float] = []
        self._asked: list[tuple[Ask[Any], asyncio.Future[Any]]] = []
        self._changed = asyncio.Event()
        self._looked: float | None = None
        self._mistake: Exception | None = None
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

    async def poll(self, ask: Ask[T], within: float | None = None) -> T | MLSQLError:
        """What ``ask``, called in a thread, finds at the next look. An error is answered, since it is shared by many.

        :raises asyncio.TimeoutError: when there is no answer within so many seconds.
        """
        if self._mistake is not None:
            raise self._mistake
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T | MLSQLError] = loop.create_future()
        # not asyncio.wait_for: up to Python 3.11 it loses a cancellation that comes together with the answer
        timer = None if within is None else loop.call_later(within, _settle, future, _Mistake(asyncio.TimeoutError()))
        self._asked.append((ask, future))
        self._changed.set()
        try:
            return await future
        finally:
            if timer is not None:
                timer.cancel()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        asked: list[tuple[Ask[Any], asyncio.Future[Any]]] = []
        try:
            while True:
                await self._until_due(loop)
                asked, self._asked = [(ask, future) for ask, future in self._asked if not future.done()], []
                answers = await loop.run_in_executor(self._threads, _look, self._watch, [ask for ask, _ in asked])
                self._looked = loop.time()  # the end of a look: storage that is slow has time to rest too
                for (_, future), answer in zip(asked, answers, strict=True):
                    _settle(future, answer)
        except Exception as error:  # a mistake of ours: whoever waits fails with its traceback, rather than wait for ever
            self._mistake = error
            for _, future in asked + self._asked:
                _settle(future, _Mistake(error))

    async def _until_due(self, loop: asyncio.AbstractEventLoop) -> None:
        while True:
            self._changed.clear()
            left = self._seconds_left(loop.time()) if self._asked and self._intervals else None
            if left is not None and left <= 0:
                return
            timer = None if left is None else loop.call_later(left, self._changed.set)
            try:
                await self._changed.wait()
            finally:
                if timer is not None:
                    timer.cancel()

    def _seconds_left(self, now: float) -> float:
        return 0 if self._looked is None else self._looked + min(self._intervals) - now


@dataclass(frozen=True)
class _Mistake:
    """What is raised, rather than answered."""

    error: Exception


def _settle(future: asyncio.Future[Any], answer: Any) -> None:
    """Answer, unless the one who asked has gone."""
    if future.done():
        return
    if isinstance(answer, _Mistake):
        future.set_exception(answer.error)
    else:
        future.set_result(answer)


def _look(watch: VersionWatch, asks: list[Ask[Any]]) -> list[Any]:
    """One look, and everybody's answer; in a thread."""
    try:
        watch.refresh()
    except MLSQLError as error:
        return [error] * len(asks)
    return [_answer(watch, ask) for ask in asks]


def _answer(watch: VersionWatch, ask: Ask[Any]) -> Any:
    try:
        return ask(watch)
    except MLSQLError as error:
        return error
    except Exception as error:  # of one question, so no reason for the others to fail
        return _Mistake(error)


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
        _forget_closed_loops()
        if loop not in _rooms:
            _rooms[loop] = _Room(ThreadPoolExecutor(THREADS, thread_name_prefix="mlsql-store"))
        room = _rooms[loop]
        room.members += 1
    try:
        yield room
    finally:
        with _rooms_lock:
            room.members -= 1
            if not room.members and _rooms.get(loop) is room:
                del _rooms[loop]
                room.threads.shutdown(wait=False)


def _forget_closed_loops() -> None:
    """A loop that was closed with triggers in it never tells them; its room, which refers to it, would keep both."""
    for loop in [loop for loop in _rooms if loop.is_closed()]:
        _rooms.pop(loop).threads.shutdown(wait=False)


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
            poller = room.pollers[root.uri] = Poller(VersionWatch(root), room.threads)
        poller.join(interval)
        try:
            yield poller
        finally:
            if poller.leave(interval):
                del room.pollers[root.uri]
