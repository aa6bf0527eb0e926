"""The model sensor and triggers, run as Airflow runs them, and storage whose listings a test controls."""

from __future__ import annotations

import asyncio
import json
import pkgutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from airflow.providers.common.compat.sdk import TaskDeferred
from airflow.triggers.base import BaseTrigger
from fsspec.implementations.memory import MemoryFileSystem

from airflow_provider_mlsql.sensors.model import MLSQLModelSensor
from mlsql_runtime.storage.file_systems import BY_SCHEME, Storage
from support.waiting import WAIT_SECONDS, wait_until_async

GATED = "gated://models/m"


class SensorTask:
    """The task instance of a sensor. It keeps what is pushed."""

    def __init__(self) -> None:
        self.xcoms: dict[str, Any] = {}

    def get_first_reschedule_date(self, context: Any) -> None:
        """Say that the sensor looks for the first time."""

    def xcom_push(self, key: str, value: Any) -> None:
        self.xcoms[key] = value


CONTEXT: Any = {"ti": SensorTask()}


def as_airflow_stores_it(trigger: BaseTrigger) -> BaseTrigger:
    """Return the trigger as a triggerer creates it, from its arguments in JSON."""
    path, arguments = trigger.serialize()
    text = json.dumps(arguments, allow_nan=False)
    made: BaseTrigger = pkgutil.resolve_name(path)(**json.loads(text))
    return made


async def fire(trigger: BaseTrigger) -> Any:
    """Return the payload of the trigger's one event, as JSON carries it."""
    events = [event.payload async for event in trigger.run()]
    assert len(events) == 1
    return json.loads(json.dumps(events[0], allow_nan=False))


def make_sensor(root: str, **arguments: Any) -> MLSQLModelSensor:
    """Return a sensor that looks once or, when it defers, twice: a timeout means that it would wait on."""
    return MLSQLModelSensor(task_id="s", model_path=root, **{"timeout": 0, "poke_interval": 0} | arguments)


def wait_deferred(sensor: MLSQLModelSensor, meanwhile: Callable[[], object] = lambda: None) -> Any:
    """Return what a deferrable sensor returns; ``meanwhile`` is called when it has deferred."""
    try:
        return sensor.execute(CONTEXT)
    except TaskDeferred as deferred:
        meanwhile()
        event = asyncio.run(asyncio.wait_for(fire(as_airflow_stores_it(deferred.trigger)), WAIT_SECONDS))
        return sensor.resume_execution(deferred.method_name, {"event": event}, CONTEXT)


# -- storage under a test's control


class GatedFileSystem(MemoryFileSystem):  # type: ignore[misc]
    """A file system in memory that counts the listings of pollers, admits them one by one, and fails, as a test demands."""

    protocol = "gated"
    store: dict[str, Any] = {}
    pseudo_dirs = [""]
    listings = 0
    tickets: threading.Semaphore | None = None
    error: Exception | None = None

    def ls(self, path: str, detail: bool = True, **kwargs: Any) -> Any:
        cls = type(self)
        if not threading.current_thread().name.startswith("mlsql-store"):
            return super().ls(path, detail, **kwargs)
        if cls.tickets is not None:
            assert cls.tickets.acquire(timeout=WAIT_SECONDS)
        cls.listings += 1
        if cls.error is not None:
            raise cls.error
        return super().ls(path, detail, **kwargs)


def _create(fs: GatedFileSystem, path: str, data: bytes) -> None:
    with fs.open(path, "xb") as stream:
        stream.write(data)


def _replace(fs: GatedFileSystem, path: str, data: bytes) -> None:
    fs.pipe_file(path, data)


@contextmanager
def gated() -> Iterator[type[GatedFileSystem]]:
    """Provide an empty ``gated://`` storage."""
    BY_SCHEME["gated"] = Storage("a test's storage", ("gated",), None, lambda *_: GatedFileSystem(), _create, _replace)
    GatedFileSystem.store, GatedFileSystem.pseudo_dirs = {}, [""]
    tickets = threading.Semaphore(0)
    GatedFileSystem.listings, GatedFileSystem.tickets, GatedFileSystem.error = 0, tickets, None
    yield GatedFileSystem
    tickets.release(1000)  # for pollers that still wait
    del BY_SCHEME["gated"]


async def look(gate: type[GatedFileSystem], times: int = 1, unless: Callable[[], object] = lambda: False) -> None:
    """Let pollers list ``times`` times, and wait until they have."""
    assert gate.tickets is not None
    for _ in range(times):
        before = gate.listings
        gate.tickets.release()
        await wait_until_async(lambda before=before: gate.listings > before or unless())


async def look_until(gate: type[GatedFileSystem], condition: Callable[[], object]) -> int:
    """Let pollers list until the condition holds, and return the number of listings."""
    before = gate.listings
    while not condition():
        assert gate.listings < before + 200, "200 listings did not find it"
        await look(gate, unless=condition)
        await asyncio.sleep(0.01)  # for the event to arrive; if it takes longer, one more listing is counted
    return gate.listings - before
