"""The trigger of assets: which versions they hear of, over restarts and errors, and what a real triggerer starts."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import Asset, AssetWatcher
from support.airflow import Airflow
from support.sensors import GATED, GatedFileSystem, as_airflow_stores_it, look, look_until
from support.stores import fail, finish, publish, xcom
from support.waiting import wait_until

from airflow_provider_mlsql.triggers.model import MLSQLModelEventTrigger, MLSQLModelTrigger
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store.publish import claim_version

Gate = type[GatedFileSystem]


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
async def watcher(state: State | None, root: str = GATED, **arguments: Any) -> AsyncIterator[list[int]]:
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
        publish(GATED, 0.5)
        async with watcher(State()) as told:
            await look(gate, 2)
            assert told == []
            publish(GATED, None)
            fail(GATED, "broken")
            publish(GATED, 0.7)
            await look(gate, 4)
            assert told == [2, 4]
            with claim_version(Location.of(GATED), "slow") as draft:
                publish(GATED)
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
                publish(GATED, metrics={"loss": loss})
            publish(GATED)
            await look(gate, 3)
            assert told == [2]

    asyncio.run(run())


def test_after_a_restart_it_goes_on_where_it_was(gate: Gate) -> None:
    state = State()

    async def run() -> None:
        async with watcher(state) as told:
            await look(gate, 2)
            publish(GATED)
            await look(gate, 4)
            assert told == [1]
        publish(GATED)  # while no triggerer runs
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
                publish(GATED, created=day)
            await look(gate, 4)
            kept, gate.store, gate.pseudo_dirs = gate.store, {}, [""]  # unmounted
            await look(gate, 4)
            gate.store = kept
            await look(gate, 4)
            assert told == [1, 2, 3]
            Location.of(GATED).remove()
            publish(GATED, created=9)
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
            publish(GATED)
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


def test_a_real_triggerer_starts_dags_for_new_versions_also_after_a_restart(airflow: Airflow, tmp_path: Path) -> None:
    root = str(tmp_path / "m")
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags/watched.py").write_text(WATCHED.format(root=root))
    for command in (["reserialize"], ["unpause", "watched"], ["reserialize"]):  # it watches for DAGs that it has met unpaused
        airflow("dags", *command, dags=tmp_path / "dags")

    def rows(query: str) -> list[Any]:
        with sqlite3.connect(airflow.home / "airflow.db", timeout=30) as database:
            found = [json.loads(row[0]) for row in database.execute(query).fetchall()]
        database.close()
        return found

    def wait_for(query: str, condition: Callable[[list[Any]], bool]) -> None:
        told = lambda: (query, rows(query), (tmp_path / "triggerer.log").read_text()[-5000:])  # noqa: E731
        wait_until(lambda: condition(rows(query)), told, seconds=60, every=0.2)

    marks = "select value from asset_state_store join asset on asset_id = asset.id where asset.name = 'watched_model'"
    events = "select asset_event.extra from asset_event join asset on asset_id = asset.id where asset.name = 'watched_model'"
    with airflow.triggerer(tmp_path / "dags", tmp_path):
        wait_for(marks, lambda kept: [mark["newest"] for mark in kept] == [0])
        publish(root, 0.75)
        wait_for(marks, lambda kept: kept[0]["newest"] == 1)
        wait_for(events, lambda told: len(told) == 1)
    publish(root, None)  # while no triggerer runs
    with airflow.triggerer(tmp_path / "dags", tmp_path):
        wait_for(marks, lambda kept: kept[0]["newest"] == 2)
        wait_for(events, lambda told: len(told) >= 2)
    payloads = [xcom(root, 1, 0.75), xcom(root, 2, None)]
    assert rows(events + " order by asset_event.id") == [{"from_trigger": True, "payload": payload} for payload in payloads]
    queued = "select json_quote(target_dag_id) from asset_dag_run_queue join asset on asset_id = asset.id"
    assert rows(f"{queued} where asset.name = 'watched_model'") == ["watched"]
