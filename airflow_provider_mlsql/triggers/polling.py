"""Poll a model path for many triggers at once: one listing per poll interval, however many triggers wait.

Triggers of one event loop share a poller per path, and the threads for storage: loops in other threads, and forked processes,
have their own. Nothing here survives a restart of the triggerer: triggers are made again from their arguments.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar
from weakref import WeakKeyDictionary, WeakValueDictionary

from airflow_provider_mlsql.hooks.storage import ConnectionIds, check_uris, read_storage
from mlsql_runtime.errors import MLSQLError, StorageError
from mlsql_runtime.plan import StorageAccess
from mlsql_runtime.storage.access_check import check_access
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store.version_watch import VersionWatch

T = TypeVar("T")
Ask = Callable[[VersionWatch], T]
THREADS = 4  # of each loop: storage that hangs takes these, and none that other triggers use


class Poller:
    """Looks at one model path at the shortest interval of all who wait, and answers all of them after each look.

    Everything but the look itself runs on the event loop.
    """

    def __init__(self, root: Location, threads: ThreadPoolExecutor) -> None:
        self.uri = root.uri
        self._watch = VersionWatch(root)
        self._threads = threads
        self._waiting: dict[asyncio.Future[Any], tuple[Ask[Any], float]] = {}  # to the question, and the interval
        self._looked = -math.inf  # when the last look ended: slow storage rests for an interval, too
        self._is_looking = False
        self._timer: asyncio.TimerHandle | None = None

    async def poll(self, ask: Ask[T], interval: float, within: float | None = None) -> T | MLSQLError:
        """Return what ``ask``, called in a thread, finds after the next look, or the error of that look.

        An error is returned, not raised, because many tasks share it.

        :param interval: the longest time between two looks, in seconds.
        :raises asyncio.TimeoutError: when there is no answer within ``within`` seconds.
        """
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T | MLSQLError] = loop.create_future()
        # not asyncio.wait_for: up to Python 3.11 it loses a cancellation that arrives together with the answer
        limit = None if within is None else loop.call_later(within, _settle, answer, asyncio.TimeoutError())
        self._waiting[answer] = (ask, interval)
        try:
            self._schedule(self._looked + interval)
            return await answer
        finally:
            self._waiting.pop(answer, None)
            if limit is not None:
                limit.cancel()
            if not self._waiting and self._timer is not None:
                self._timer.cancel()
                self._timer = None

    def _schedule(self, due: float) -> None:
        """Look at the latest at ``due``, unless a look is under way, after which the next one is scheduled."""
        loop = asyncio.get_running_loop()
        due = max(due, loop.time())
        if self._is_looking or (self._timer is not None and self._timer.when() <= due):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer = loop.call_at(due, self._look_if_due)

    def _look_if_due(self) -> None:
        self._timer = None
        loop = asyncio.get_running_loop()
        due = self._looked + min(interval for _, interval in self._waiting.values())
        if due > loop.time():  # the task with the shortest interval has gone
            self._schedule(due)
            return
        asked = list(self._waiting)
        try:
            look = loop.run_in_executor(self._threads, _look, self._watch, [ask for ask, _ in self._waiting.values()])
        except RuntimeError as error:  # no thread can be started
            look = loop.create_future()
            look.set_exception(error)
        self._is_looking = True
        look.add_done_callback(lambda done: self._deliver(asked, done))

    def _deliver(self, asked: list[asyncio.Future[Any]], look: asyncio.Future[list[Any]]) -> None:
        self._is_looking = False
        self._looked = asyncio.get_running_loop().time()
        error = look.exception()
        for answer, found in zip(asked, [error] * len(asked) if error else look.result(), strict=True):
            self._waiting.pop(answer, None)
            _settle(answer, found)
        if self._waiting:
            self._schedule(self._looked + min(interval for _, interval in self._waiting.values()))


def _settle(answer: asyncio.Future[Any], found: Any) -> None:
    """Set the answer, unless the task that asked has gone. Only an MLSQLError is a value; other errors are raised."""
    if answer.done():
        return
    if isinstance(found, BaseException) and not isinstance(found, MLSQLError):
        answer.set_exception(found)
    else:
        answer.set_result(found)


def _look(watch: VersionWatch, asks: list[Ask[Any]]) -> list[Any]:
    """Look once and answer all questions, in a thread. The error of one question does not affect the others."""
    try:
        watch.refresh()
    except MLSQLError as error:
        return [error] * len(asks)
    answers: list[Any] = []
    for ask in asks:
        try:
            answers.append(ask(watch))
        except Exception as error:
            answers.append(error)
    return answers


@dataclass
class _Shared:
    """What the triggers of one event loop share. Pollers live as long as a trigger refers to them."""

    threads: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(THREADS, thread_name_prefix="mlsql-store"))
    pollers: WeakValueDictionary[tuple[str, StorageAccess], Poller] = field(default_factory=WeakValueDictionary)
    members: int = 0


_SHARED: WeakKeyDictionary[asyncio.AbstractEventLoop, _Shared] = WeakKeyDictionary()  # triggers know nothing else of each other


def _open(model_path: str, storage_conn_id: ConnectionIds) -> Location:
    access = read_storage(storage_conn_id).access
    check_uris(access, {"the model path": model_path}, storage_conn_id)
    with contextlib.suppress(StorageError):  # which the next looks may not meet
        check_access([model_path], access)
    return Location.of(model_path, access)


@contextlib.asynccontextmanager
async def open_poller(model_path: str, storage_conn_id: ConnectionIds = None) -> AsyncIterator[Poller]:
    """Open the event loop's poller of a path with these connections. With the loop's last poller its threads end.

    :raises MLSQLError: when the path cannot be opened at all.
    """
    loop = asyncio.get_running_loop()
    shared = _SHARED.setdefault(loop, _Shared())
    shared.members += 1
    try:
        root = await loop.run_in_executor(shared.threads, _open, model_path, storage_conn_id)
        key = root.uri, root.access  # and not by Location: fsspec has a file system for each thread, and they are not equal
        poller = shared.pollers.get(key) or Poller(root, shared.threads)
        shared.pollers[key] = poller
        yield poller
    finally:
        shared.members -= 1
        if not shared.members:
            _SHARED.pop(loop, None)
            shared.threads.shutdown(wait=False)
