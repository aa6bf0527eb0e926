"""The poller that triggers share, when things happen in one moment, take long, or go wrong."""

from __future__ import annotations

import asyncio
import gc
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from support.sensors import fire
from support.stores import publish
from support.waiting import wait_until_async

from airflow_provider_mlsql.triggers.model import MLSQLModelTrigger
from airflow_provider_mlsql.triggers.polling import open_poller
from mlsql_runtime.store.version_watch import VersionWatch


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("mlsql-store")]


def nothing(watch: VersionWatch) -> str:
    return "asked"


async def ended(tasks: list[asyncio.Task[Any]]) -> list[Any]:
    await wait_until_async(lambda: all(task.done() for task in tasks))
    return await asyncio.gather(*tasks, return_exceptions=True)


def test_a_poller_ends_with_its_last_member_also_when_somebody_asks_in_the_same_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[float] = []
    refresh = VersionWatch.refresh
    monkeypatch.setattr(VersionWatch, "refresh", lambda self: looks.append(0) or refresh(self))

    async def run() -> None:
        async with open_poller(str(tmp_path)) as poller:
            await poller.poll(nothing, 0.2)
            waits = asyncio.create_task(poller.poll(nothing, 0.2))
            await asyncio.sleep(0.01)
            asks = asyncio.create_task(poller.poll(nothing, 0.2))
            await asyncio.sleep(0)
            waits.cancel()
            asks.cancel()
        await wait_until_async(lambda: threads() == [])
        assert all(isinstance(end, asyncio.CancelledError) for end in await ended([waits, asks]))
        await asyncio.sleep(0.4)

    asyncio.run(run())
    assert len(looks) == 1


def test_a_look_that_gets_no_thread_is_an_error_and_the_next_one_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("can't start new thread")

    async def run() -> Any:
        async with open_poller(str(tmp_path)) as poller:
            with monkeypatch.context() as patched:
                patched.setattr(ThreadPoolExecutor, "submit", fail)
                with pytest.raises(RuntimeError, match="new thread"):
                    await poller.poll(nothing, 0, within=10)
            return await poller.poll(nothing, 0, within=10)

    assert asyncio.run(run()) == "asked"


def test_triggers_that_are_cancelled_when_their_answer_comes_end(tmp_path: Path) -> None:
    async def run() -> list[Any]:
        trigger = MLSQLModelTrigger(model_path=str(tmp_path), poke_interval=0, deadline="2100-01-01T00:00:00+00:00")
        tasks = [asyncio.create_task(fire(trigger)) for _ in range(10)]
        async with open_poller(str(tmp_path)) as poller:
            for _ in range(10):
                await poller.poll(nothing, 0)
            for task in tasks:  # each has an answer now, and has had no turn since
                task.cancel()
        return await ended(tasks)

    assert all(isinstance(end, asyncio.CancelledError) for end in asyncio.run(run()))


def test_storage_that_hangs_is_not_waited_for_longer_than_the_deadline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airflow_provider_mlsql.triggers.model.FIRST_LOOK", 0.01)
    going_on = threading.Event()

    async def run() -> Any:
        async with open_poller(str(tmp_path)) as poller:
            hangs = asyncio.create_task(poller.poll(lambda watch: going_on.wait(60), 0))
            await wait_until_async(threads)
            trigger = MLSQLModelTrigger(model_path=str(tmp_path), deadline="2026-01-01T00:00:00+00:00")
            try:
                return await fire(trigger)
            finally:
                going_on.set()
                await hangs

    assert asyncio.run(run()) == {"status": "timeout"}


def test_one_question_that_goes_wrong_fails_alone(tmp_path: Path) -> None:
    def wrong(watch: VersionWatch) -> str:
        raise ZeroDivisionError

    async def run() -> list[Any]:
        async with open_poller(str(tmp_path)) as poller:
            first = await asyncio.gather(*(poller.poll(ask, 0) for ask in (nothing, wrong, nothing)), return_exceptions=True)
            return [*first, await poller.poll(nothing, 0)]

    answers = asyncio.run(run())
    assert isinstance(answers.pop(1), ZeroDivisionError)
    assert answers == ["asked"] * 3


def test_a_look_that_breaks_leaves_nobody_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def member(interval: Any) -> Any:
        async with open_poller(str(tmp_path)) as poller:
            return await poller.poll(nothing, interval)

    async def run() -> list[Any]:
        with monkeypatch.context() as broken:
            broken.setattr(VersionWatch, "refresh", lambda self: 1 / 0)
            ends = await ended([asyncio.create_task(member(interval)) for interval in (0, 0, "soon")])
        return [*ends, await member(0)]

    *ends, last = asyncio.run(run())
    assert [type(end) for end in ends] == [ZeroDivisionError, ZeroDivisionError, TypeError]
    assert last == "asked"


def test_after_a_look_that_took_long_storage_rests_for_an_interval(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[float] = []

    async def run() -> None:
        loop = asyncio.get_running_loop()
        began, late = loop.time(), 0.0
        real = loop.time
        monkeypatch.setattr(loop, "time", lambda: real() + late)
        going_on = threading.Event()

        def slow(watch: VersionWatch) -> None:
            looks.append(loop.time() - began)
            assert going_on.wait(60)

        async with open_poller(str(tmp_path)) as poller:
            first = asyncio.create_task(poller.poll(slow, 1000))
            await wait_until_async(lambda: looks)
            late = 5000  # it takes five intervals
            second = asyncio.create_task(poller.poll(slow, 1000))
            going_on.set()
            await first
            await asyncio.sleep(0.05)  # in which the next look would begin
            late = 6100
            await second

    asyncio.run(run())
    assert looks[1] > 6000


def test_a_loop_that_was_closed_over_its_triggers_keeps_no_threads(tmp_path: Path) -> None:
    loop = asyncio.new_event_loop()
    waits = loop.create_task(fire(MLSQLModelTrigger(model_path=str(tmp_path))))
    loop.run_until_complete(wait_until_async(threads))
    loop.set_exception_handler(lambda loop, context: None)  # asyncio complains of the tasks that are lost
    loop.close()
    publish(str(tmp_path), 0.5)

    async def run() -> None:
        assert (await fire(MLSQLModelTrigger(model_path=str(tmp_path))))["status"] == "success"

    asyncio.run(run())
    assert not waits.done()
    del loop, waits
    gc.collect()
    asyncio.run(wait_until_async(lambda: threads() == []))
