"""The trigger of the deferred sensor: on real event loops and real stores, what many cost together and what they survive."""

from __future__ import annotations

import asyncio
import inspect
import json
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from airflow.triggers.base import BaseTrigger
from support.sensors import GATED, GatedFileSystem, as_airflow_stores_it, fire, look, look_until
from support.stores import T0, fail, publish, xcom
from support.waiting import wait_until_async

from airflow_provider_mlsql.triggers.model import MLSQLModelEventTrigger, MLSQLModelTrigger
from mlsql_runtime.errors import InputError
from mlsql_runtime.storage.location import Location

Gate = type[GatedFileSystem]


@pytest.fixture
def looked(capfd: pytest.CaptureFixture[str]) -> Callable[[], int]:
    """How many triggers have looked and found nothing: each says so once. Only for loops in the test's own thread."""
    said = 0

    def count() -> int:
        nonlocal said
        said += capfd.readouterr().out.count("No such version")
        return said

    return count


def waiting(root: str = GATED, **arguments: Any) -> MLSQLModelTrigger:
    return MLSQLModelTrigger(model_path=root, **{"poke_interval": 0} | arguments)


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("mlsql-store")]


@pytest.mark.parametrize(
    "trigger",
    [
        MLSQLModelTrigger(model_path="/m"),
        MLSQLModelTrigger(
            model_path="s3://bucket/m",
            poke_interval=5,
            deadline="2026-01-01T00:00:00+00:00",
            min_version=2,
            published_after=T0,
            job_id="a.b/c/0",
            external_dag_id="a",
            run_id="c",
            min_score=0.5,
            metric="auc",
            greater_is_better=False,
            on_low_score="skip",
        ),
        MLSQLModelEventTrigger(model_path="/m"),
        MLSQLModelEventTrigger(model_path="/m", poke_interval=5, min_score=0.5, metric="loss", greater_is_better=False),
    ],
)
def test_serialize_is_the_constructor(trigger: BaseTrigger) -> None:
    path, arguments = trigger.serialize()
    assert set(arguments) == set(inspect.signature(type(trigger)).parameters)
    again = as_airflow_stores_it(trigger)
    assert type(again) is type(trigger)
    assert again.serialize() == (path, json.loads(json.dumps(arguments)))


@pytest.mark.parametrize(
    "arguments",
    [
        {"min_score": float("nan")},
        {"on_low_score": "ignore"},
        {"published_after": "soon"},
        {"deadline": "soon"},
        {"poke_interval": "soon"},
        {"poke_interval": -1},
        {"poke_interval": None},
        {"poke_interval": float("inf")},
    ],
)
def test_what_is_wrong_is_said_before_anybody_waits(arguments: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(arguments))):
        MLSQLModelTrigger(model_path="/m", **arguments)


def test_a_thousand_triggers_cost_one_listing_per_look(gate: Gate, looked: Callable[[], int]) -> None:
    async def run() -> list[Any]:
        tasks = [asyncio.create_task(fire(waiting(min_version=index % 3))) for index in range(1000)]
        await look_until(gate, lambda: looked() == 1000)
        assert len(threads()) <= 4
        before = gate.listings
        await look(gate, 5)
        assert gate.listings == before + 5
        assert not any(task.done() for task in tasks)
        publish(GATED, 0.5)
        publish(GATED, 0.6)
        used = await look_until(gate, lambda: all(task.done() for task in tasks))
        assert used < 10  # and not a thousand; one was under way, and finishing a thousand takes a moment
        return [await task for task in tasks]

    events = asyncio.run(run())
    assert events == [{"status": "success", "result": xcom(GATED, 2, 0.6)}] * 1000
    gate.tickets.release()  # type: ignore[union-attr]  # for a listing that was under way
    asyncio.run(wait_until_async(lambda: threads() == []))


def test_those_with_a_long_interval_ride_along_and_new_ones_join(gate: Gate, looked: Callable[[], int]) -> None:
    async def run() -> None:
        patient = asyncio.create_task(fire(waiting(poke_interval=3600)))
        await look(gate)
        await wait_until_async(lambda: looked() == 1)  # and would look again in an hour
        others = [asyncio.create_task(fire(waiting(published_after=T0 + timedelta(days=day)))) for day in range(10)]
        await look_until(gate, lambda: looked() == 11)
        publish(GATED, created=5)
        await look_until(gate, lambda: patient.done() and sum(task.done() for task in others) == 5)
        publish(GATED, created=20)
        await look_until(gate, lambda: all(task.done() for task in others))
        assert [(await task)["result"]["version"] for task in others] == [1] * 5 + [2] * 5

    asyncio.run(run())


def test_one_path_by_two_names_is_one_path_and_another_is_another(gate: Gate, looked: Callable[[], int]) -> None:
    async def run() -> None:
        first, same = (asyncio.create_task(fire(waiting(root))) for root in (GATED, GATED + "/"))
        await look_until(gate, lambda: looked() == 2)
        other = asyncio.create_task(fire(waiting("gated://models/other", poke_interval=3600)))
        await look_until(gate, lambda: looked() == 3)
        publish("gated://models/other")
        publish(GATED)
        await look_until(gate, lambda: first.done() and same.done())
        assert not other.done()
        other.cancel()

    asyncio.run(run())


def test_cancelled_triggers_disturb_nobody_and_the_last_one_ends_all(gate: Gate, looked: Callable[[], int]) -> None:
    async def run() -> None:
        tasks = [asyncio.create_task(fire(waiting())) for _ in range(20)]
        await look_until(gate, lambda: looked() == 20)
        for task in tasks[:10]:
            task.cancel()
        publish(GATED)
        await look_until(gate, lambda: all(task.done() for task in tasks))
        assert [task.cancelled() for task in tasks] == [True] * 10 + [False] * 10
        last = asyncio.create_task(fire(waiting(min_version=9)))
        await look_until(gate, lambda: looked() == 21)
        last.cancel()
        await wait_until_async(lambda: last.done())
        gate.tickets.release(10)  # type: ignore[union-attr]  # for the listing that was under way
        await wait_until_async(lambda: threads() == [])

    asyncio.run(run())


def test_storage_that_fails_twice_is_waited_out(gate: Gate) -> None:
    async def run() -> None:
        task = asyncio.create_task(fire(waiting()))
        gate.error = OSError("unplugged")
        await look(gate, 2)
        gate.error = None
        await look(gate)
        gate.error = OSError("unplugged again")
        await look(gate, 2)
        gate.error = None
        publish(GATED)
        await look_until(gate, task.done)
        assert (await task)["status"] == "success"

    asyncio.run(run())


def test_storage_that_fails_three_times_is_an_error_for_everybody(gate: Gate) -> None:
    async def run() -> list[Any]:
        tasks = [asyncio.create_task(fire(waiting())) for _ in range(100)]
        gate.error = PermissionError("unplugged")
        await look_until(gate, lambda: all(task.done() for task in tasks))
        return [await task for task in tasks]

    advice = "give the user of this process the permission, or use other credentials"
    error = {"kind": "StorageError", "message": f"{GATED} cannot be listed: unplugged; {advice}"}
    error |= {"facts": {"uri": GATED}}  # type: ignore[dict-item]
    assert asyncio.run(run()) == [{"status": "failed", "error": error}] * 100


def test_a_path_that_cannot_be_opened_is_an_error_at_once() -> None:
    event = asyncio.run(fire(waiting("nowhere://m")))
    assert event["error"]["kind"] == "InputError"
    assert "no file system for this scheme" in event["error"]["message"]


def test_loops_in_two_threads_do_not_disturb_each_other(gate: Gate) -> None:
    both = threading.Barrier(2)
    one_has_ended = threading.Event()
    ends: dict[str, list[Any]] = {}

    def loop(name: str) -> None:
        async def run() -> list[Any]:
            tasks = [asyncio.create_task(fire(waiting())) for _ in range(10)]
            before = gate.listings
            await wait_until_async(lambda: gate.listings > before + 10)
            await asyncio.to_thread(both.wait, 60)  # each has a poller, and both go on
            if name == "one":
                for task in tasks:
                    task.cancel()
                return await asyncio.gather(*tasks, return_exceptions=True)
            await wait_until_async(one_has_ended.is_set)
            publish(GATED)
            return [await task for task in tasks]

        ends[name] = asyncio.run(asyncio.wait_for(run(), 60))

    gate.tickets = None  # each loop looks by itself, as often as it likes
    one, two = (threading.Thread(target=loop, args=(name,)) for name in ("one", "two"))
    one.start()
    two.start()
    one.join()
    one_has_ended.set()
    two.join()
    assert all(isinstance(end, asyncio.CancelledError) for end in ends["one"])
    assert [end["status"] for end in ends["two"]] == ["success"] * 10


def test_a_restarted_triggerer_waits_on_from_the_arguments(gate: Gate, looked: Callable[[], int]) -> None:
    trigger = waiting(job_id="mine")

    async def run(expected: int) -> Any:
        task = asyncio.create_task(fire(as_airflow_stores_it(trigger)))
        await look_until(gate, lambda: looked() == expected or task.done())
        if not task.done():
            return task.cancel()
        return await task

    assert asyncio.run(run(1)) is True  # the triggerer is stopped
    fail(GATED, "broken", job="mine")
    assert asyncio.run(run(2))["error"]["message"] == "broken"


def test_a_store_that_is_begun_anew_is_read_anew(gate: Gate, looked: Callable[[], int]) -> None:
    async def run() -> None:
        publish(GATED, 0.1)
        task = asyncio.create_task(fire(waiting(min_score=0.5)))
        await look(gate, 2)
        Location.of(GATED).remove()
        publish(GATED, 0.9)
        await look_until(gate, task.done)
        assert (await task)["result"] == xcom(GATED, 1, 0.9)

    asyncio.run(run())


def test_many_paths_share_few_threads(gate: Gate) -> None:
    async def run() -> None:
        tasks = [asyncio.create_task(fire(waiting(f"gated://models/{index}"))) for index in range(20)]
        await wait_until_async(lambda: len(threads()) == 4)  # all of them hang in listings
        await look(gate, 40)
        assert len(threads()) == 4
        for index in range(20):
            publish(f"gated://models/{index}")
        await look_until(gate, lambda: all(task.done() for task in tasks))

    asyncio.run(run())
