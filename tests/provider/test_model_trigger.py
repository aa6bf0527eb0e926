"""Triggers on real event loops and real stores: what they cost together, what they survive, and what assets hear."""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import sqlite3
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import Asset, AssetWatcher
from airflow.triggers.base import BaseTrigger
from support.airflow import Airflow
from support.stores import T0
from support.waiting import GatedFileSystem, as_airflow_stores_it, fail, finish, fire, gated, publish, until, xcom
from support.workbench import EXAMPLES, SAMPLE

from airflow_provider_mlsql.triggers.model import MLSQLModelEventTrigger, MLSQLModelTrigger
from mlsql_runtime.errors import InputError
from mlsql_runtime.store.location import Location
from mlsql_runtime.store.publish import claimed

Gate = type[GatedFileSystem]
ROOT = "gated://models/m"


@pytest.fixture
def gate() -> Iterator[Gate]:
    with gated() as storage:
        yield storage


@pytest.fixture
def looked(capfd: pytest.CaptureFixture[str]) -> Callable[[], int]:
    """How many triggers have looked and found nothing: each says so once. Only for loops in the test's own thread."""
    said = 0

    def count() -> int:
        nonlocal said
        said += capfd.readouterr().out.count("No such version")
        return said

    return count


def waiting(root: str = ROOT, **arguments: Any) -> MLSQLModelTrigger:
    return MLSQLModelTrigger(model_path=root, **{"poke_interval": 0} | arguments)


async def look(gate: Gate, times: int = 1, unless: Callable[[], object] = lambda: False) -> None:
    """Let pollers list so many times, and wait until they have."""
    assert gate.tickets is not None
    for _ in range(times):
        before = gate.listings
        gate.tickets.release()
        await until(lambda before=before: gate.listings > before or unless())


async def look_until(gate: Gate, condition: Callable[[], object]) -> int:
    """How many listings it takes."""
    before = gate.listings
    while not condition():
        assert gate.listings < before + 200, "it is looked for in vain"
        await look(gate, unless=condition)
        await asyncio.sleep(0.01)  # for what was found to arrive; it costs a listing more if it does not
    return gate.listings - before


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("mlsql-store")]


# -- arguments


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


# -- one poller for all


def test_a_thousand_triggers_cost_one_listing_per_look(gate: Gate, looked: Callable[[], int]) -> None:
    async def run() -> list[Any]:
        tasks = [asyncio.create_task(fire(waiting(min_version=index % 3))) for index in range(1000)]
        await look_until(gate, lambda: looked() == 1000)
        assert len(threads()) <= 4
        before = gate.listings
        await look(gate, 5)
        assert gate.listings == before + 5
        assert not any(task.done() for task in tasks)
        publish(ROOT, 0.5)
        publish(ROOT, 0.6)
        used = await look_until(gate, lambda: all(task.done() for task in tasks))
        assert used < 10  # and not a thousand; one was under way, and finishing a thousand takes a moment
        return [await task for task in tasks]

    events = asyncio.run(run())
    assert events == [{"status": "success", "result": xcom(ROOT, 2, 0.6)}] * 1000
    gate.tickets.release()  # type: ignore[union-attr]  # for a listing that was under way
    asyncio.run(until(lambda: threads() == []))


def test_those_with_a_long_interval_ride_along_and_new_ones_join(gate: Gate, looked: Callable[[], int]) -> None:
    async def run() -> None:
        patient = asyncio.create_task(fire(waiting(poke_interval=3600)))
        await look(gate)
        await until(lambda: looked() == 1)  # and would look again in an hour
        others = [asyncio.create_task(fire(waiting(published_after=T0 + timedelta(days=day)))) for day in range(10)]
        await look_until(gate, lambda: looked() == 11)
        publish(ROOT, created=5)
        await look_until(gate, lambda: patient.done() and sum(task.done() for task in others) == 5)
        publish(ROOT, created=20)
        await look_until(gate, lambda: all(task.done() for task in others))
        assert [(await task)["result"]["version"] for task in others] == [1] * 5 + [2] * 5

    asyncio.run(run())


def test_one_path_by_two_names_is_one_path_and_another_is_another(gate: Gate, looked: Callable[[], int]) -> None:
    async def run() -> None:
        first, same = (asyncio.create_task(fire(waiting(root))) for root in (ROOT, ROOT + "/"))
        await look_until(gate, lambda: looked() == 2)
        other = asyncio.create_task(fire(waiting("gated://models/other", poke_interval=3600)))
        await look_until(gate, lambda: looked() == 3)
        publish("gated://models/other")
        publish(ROOT)
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
        publish(ROOT)
        await look_until(gate, lambda: all(task.done() for task in tasks))
        assert [task.cancelled() for task in tasks] == [True] * 10 + [False] * 10
        last = asyncio.create_task(fire(waiting(min_version=9)))
        await look_until(gate, lambda: looked() == 21)
        last.cancel()
        await until(lambda: last.done())
        assert pollers() == []
        gate.tickets.release(10)  # type: ignore[union-attr]  # for the listing that was under way
        await until(lambda: threads() == [])

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
        publish(ROOT)
        await look_until(gate, task.done)
        assert (await task)["status"] == "success"

    asyncio.run(run())


def test_storage_that_fails_three_times_is_an_error_for_everybody(gate: Gate) -> None:
    async def run() -> list[Any]:
        tasks = [asyncio.create_task(fire(waiting())) for _ in range(100)]
        gate.error = PermissionError("unplugged")
        await look_until(gate, lambda: all(task.done() for task in tasks))
        return [await task for task in tasks]

    error = {"kind": "StorageError", "message": f"{ROOT.replace('//', '///')} cannot be listed: unplugged"}
    error |= {"facts": {"uri": ROOT.replace("//", "///")}}  # type: ignore[dict-item]
    assert asyncio.run(run()) == [{"status": "failed", "error": error}] * 100


def test_a_path_that_cannot_be_opened_is_an_error_at_once() -> None:
    event = asyncio.run(fire(waiting("nowhere://m")))
    assert event["error"]["kind"] == "InputError"
    assert "no file system for this scheme" in event["error"]["message"]


def pollers() -> list[str]:
    """Those of the running loop."""
    return [task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith("poll ")]


def test_loops_in_two_threads_do_not_disturb_each_other(gate: Gate) -> None:
    both = threading.Barrier(2)
    one_has_ended = threading.Event()
    ends: dict[str, list[Any]] = {}

    def loop(name: str) -> None:
        async def run() -> list[Any]:
            tasks = [asyncio.create_task(fire(waiting())) for _ in range(10)]
            before = gate.listings
            await until(lambda: pollers() and gate.listings > before + 10)
            await asyncio.to_thread(both.wait, 60)  # each has a poller, and both go on
            if name == "one":
                for task in tasks:
                    task.cancel()
                return await asyncio.gather(*tasks, return_exceptions=True)
            await until(one_has_ended.is_set)
            publish(ROOT)
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
    fail(ROOT, "broken", job="mine")
    assert asyncio.run(run(2))["error"]["message"] == "broken"


def test_a_store_that_is_begun_anew_is_read_anew(gate: Gate, looked: Callable[[], int]) -> None:
    async def run() -> None:
        publish(ROOT, 0.1)
        task = asyncio.create_task(fire(waiting(min_score=0.5)))
        await look(gate, 2)
        Location.of(ROOT).remove()
        publish(ROOT, 0.9)
        await look_until(gate, task.done)
        assert (await task)["result"] == xcom(ROOT, 1, 0.9)

    asyncio.run(run())


def test_many_paths_share_few_threads(gate: Gate) -> None:
    async def run() -> None:
        tasks = [asyncio.create_task(fire(waiting(f"gated://models/{index}"))) for index in range(20)]
        await until(lambda: len(threads()) == 4)  # all of them hang in listings
        await look(gate, 40)
        assert len(threads()) == 4
        for index in range(20):
            publish(f"gated://models/{index}")
        await look_until(gate, lambda: all(task.done() for task in tasks))

    asyncio.run(run())


# -- assets


class State:
    """What Airflow's state store of an asset does, in memory; the real one is asked below."""

    def __init__(self) -> None:
        self.kept: dict[str, str] = {}

    async def aget(self, key: str) -> Any:
        return json.loads(self.kept.get(key, "null"))

    async def aset(self, key: str, value: Any) -> None:
        assert value is not None
        self.kept[key] = json.dumps(value, allow_nan=False)


@asynccontextmanager
async def watcher(state: State | None, root: str = ROOT, **arguments: Any) -> AsyncIterator[list[int]]:
    """The versions that a watcher tells of, while it runs in a triggerer."""
    trigger = as_airflow_stores_it(MLSQLModelEventTrigger(model_path=root, poke_interval=0, **arguments))
    assert isinstance(trigger, MLSQLModelEventTrigger)
    if state is not None:
        trigger.asset_state_store = state  # type: ignore[assignment]
    told: list[int] = []

    async def run() -> None:
        async for event in trigger.run():
            payload = json.loads(json.dumps(event.payload, allow_nan=False))
            assert payload["model_path"] == Location.of(root).uri
            told.append(payload["version"])

    task = asyncio.create_task(run())
    yield told
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def test_each_version_is_told_once_and_none_that_was_there(gate: Gate) -> None:
    async def run() -> None:
        publish(ROOT, 0.5)
        async with watcher(State()) as told:
            await look(gate, 2)
            assert told == []
            publish(ROOT, None)
            fail(ROOT, "broken")
            publish(ROOT, 0.7)
            await look(gate, 4)
            assert told == [2, 4]
            with claimed(Location.of(ROOT), "slow") as draft:
                publish(ROOT)
                await look(gate, 2)
                assert told == [2, 4, 6]
                finish(draft)  # number 5, after number 6
            await look(gate, 4)
            assert told == [2, 4, 6, 5]

    asyncio.run(run())


def test_conditions_pass_versions_over(gate: Gate) -> None:
    async def run() -> None:
        async with watcher(State(), min_score=0.3, metric="loss", greater_is_better=False) as told:
            await look(gate, 2)
            for loss in (0.4, 0.3, None):
                publish(ROOT, metrics={"loss": loss})
            publish(ROOT)
            await look(gate, 3)
            assert told == [2]

    asyncio.run(run())


def test_after_a_restart_it_goes_on_where_it_was(gate: Gate) -> None:
    state = State()

    async def run() -> None:
        async with watcher(state) as told:
            await look(gate, 2)
            publish(ROOT)
            await look(gate, 4)
            assert told == [1]
        publish(ROOT)  # while no triggerer runs
        async with watcher(state) as told:
            await look_until(gate, lambda: told)
            assert told == [2]
        # it ended before the look that would have kept that: rather twice than never
        async with watcher(state) as told:
            await look(gate, 4)
            assert told == [2]
        async with watcher(state) as told:
            await look(gate, 4)
            assert told == []
        async with watcher(None) as told:  # Airflow before 3.3
            await look(gate, 4)
            assert told == []

    asyncio.run(run())


def test_a_store_that_is_begun_anew_is_told_of_and_one_that_is_away_is_not(gate: Gate) -> None:
    async def run() -> None:
        state = State()
        async with watcher(state) as told:
            await look(gate, 2)
            for day in range(3):
                publish(ROOT, created=day)
            await look(gate, 4)
            kept, gate.store, gate.pseudo_dirs = gate.store, {}, [""]  # unmounted
            await look(gate, 4)
            gate.store = kept
            await look(gate, 4)
            assert told == [1, 2, 3]
            Location.of(ROOT).remove()
            publish(ROOT, created=9)
            await look(gate, 4)
            assert told == [1, 2, 3, 1]

    asyncio.run(run())


def test_errors_do_not_end_a_watcher(gate: Gate) -> None:
    async def run() -> None:
        async with watcher(State()) as told:
            await look(gate, 2)
            gate.error = OSError("unplugged")
            await look(gate, 5)
            gate.error = None
            publish(ROOT)
            await look(gate, 4)
            assert told == [1]

    asyncio.run(run())


def test_only_the_one_for_assets_is_for_assets() -> None:
    path = f"/models/{uuid.uuid4()}"
    watchers = [AssetWatcher(name="new", trigger=MLSQLModelEventTrigger(model_path=path))]
    assert Asset("churn", watchers=watchers).watchers == watchers
    with pytest.raises(ValueError, match="must inherit BaseEventTrigger"):
        AssetWatcher(name="new", trigger=MLSQLModelTrigger(model_path=path))  # type: ignore[arg-type]


WATCHED = """
from airflow.sdk import DAG, Asset, AssetWatcher, task
from airflow_provider_mlsql.triggers.model import MLSQLModelEventTrigger

trigger = MLSQLModelEventTrigger(model_path="{root}", poke_interval=0.2)
with DAG("watched", schedule=[Asset("watched_model", watchers=[AssetWatcher(name="new", trigger=trigger)])]):
    @task
    def predict(): pass
    predict()
"""


@contextmanager
def triggerer(environment: dict[str, str], log: Path) -> Iterator[None]:
    """A real one; it is told to stop, as by a deployment."""
    command = str(Path(sys.executable).with_name("airflow"))
    with log.open("ab") as stream:
        process = subprocess.Popen(
            [command, "triggerer", "--skip-serve-logs"], env=environment, stdout=stream, stderr=subprocess.STDOUT
        )
    try:
        yield
    finally:
        process.terminate()
        process.wait(60)


def test_a_real_triggerer_starts_dags_for_new_versions_also_after_a_restart(airflow: Airflow, tmp_path: Path) -> None:
    root = str(tmp_path / "m")
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags/watched.py").write_text(WATCHED.format(root=root))
    env = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    env |= {"AIRFLOW_HOME": str(airflow.home), "AIRFLOW__CORE__DAGS_FOLDER": str(tmp_path / "dags")}
    env |= {"AIRFLOW__CORE__LOAD_EXAMPLES": "False", "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False"}
    for _ in range(2):  # Airflow watches for DAGs that it has met before, and that are not paused
        subprocess.run([str(Path(sys.executable).with_name("airflow")), "dags", "reserialize"], env=env, check=True)

    def rows(query: str) -> list[Any]:
        with sqlite3.connect(airflow.home / "airflow.db", timeout=30) as database:
            found = [json.loads(row[0]) for row in database.execute(query).fetchall()]
        database.close()
        return found

    def wait_for(query: str, condition: Callable[[list[Any]], bool]) -> None:
        deadline = time.monotonic() + 60
        while not condition(rows(query)):
            assert time.monotonic() < deadline, (query, rows(query), (tmp_path / "log").read_text()[-5000:])
            time.sleep(0.2)

    marks = "select value from asset_state_store join asset on asset_id = asset.id where asset.name = 'watched_model'"
    events = "select asset_event.extra from asset_event join asset on asset_id = asset.id where asset.name = 'watched_model'"
    with triggerer(env, tmp_path / "log"):
        wait_for(marks, lambda kept: [mark["newest"] for mark in kept] == [0])
        publish(root, 0.75)
        wait_for(marks, lambda kept: kept[0]["newest"] == 1)
        wait_for(events, lambda told: len(told) == 1)
    publish(root, None)  # while no triggerer runs
    with triggerer(env, tmp_path / "log"):
        wait_for(marks, lambda kept: kept[0]["newest"] == 2)
        wait_for(events, lambda told: len(told) >= 2)
    payloads = [xcom(root, 1, 0.75), xcom(root, 2, None)]
    assert rows(events + " order by asset_event.id") == [{"from_trigger": True, "payload": payload} for payload in payloads]
    queued = "select json_quote(target_dag_id) from asset_dag_run_queue join asset on asset_id = asset.id"
    assert rows(f"{queued} where asset.name = 'watched_model'") == ["watched"]


TRAINED = """
from airflow.sdk import DAG
from airflow_provider_mlsql.operators.train import MLSQLTrainOperator

with DAG("trained_elsewhere", schedule=None):
    MLSQLTrainOperator(task_id="train", data="libsvm.`{data}`", model_path="{root}", python_script_path="{script}",
                       fit_params=[{{"batchSize": 30, "labelSize": 2}}], validate_data=0.3)
"""


def test_the_example_registers_what_has_landed(airflow: Airflow, tmp_path: Path) -> None:
    root = str(tmp_path / "m")
    (tmp_path / "dags").mkdir()
    dag = TRAINED.format(data=SAMPLE, root=root, script=EXAMPLES / "train_bayes.py")
    (tmp_path / "dags/trained_elsewhere.py").write_text(dag)
    airflow.succeed("trained_elsewhere", dags=tmp_path / "dags")
    airflow.succeed("mlsql_asset_triggered", MLSQL_MODEL_PATH=root)
    values = airflow.xcoms("mlsql_asset_triggered")
    assert (values["register"]["registered"], values["register"]["version"]) == (True, 1)
