"""Model paths for those who wait: versions in any storage, the sensor in every mode, and storage that a test holds up."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import fsspec
from airflow.sdk.exceptions import TaskDeferred
from airflow.sdk.module_loading import import_string
from airflow.triggers.base import BaseTrigger
from fsspec.implementations.memory import MemoryFileSystem

from airflow_provider_mlsql.sensors.model import MLSQLModelSensor
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store.manifest import FORMAT_VERSION, DataFacts, FailureRecord, FitRecord, Manifest, ScriptFacts
from mlsql_runtime.store.publish import VersionDraft, claim_version
from support.stores import T0

GATED = "gated://models/m"
Metrics = dict[str, float | None]
NO_METRICS: Metrics = {}


def publish(
    root: str,
    *scores: float | None,
    job: str = "job",
    created: int = 0,
    maximise: bool = True,
    metrics: Metrics = NO_METRICS,
    others: Metrics = NO_METRICS,
) -> int:
    """Publish the next version, ``created`` days after T0; ``metrics`` are the first group's, ``others`` those of the rest."""
    with claim_version(Location.of(root), job) as draft:
        finish(draft, *scores, job=job, created=created, maximise=maximise, metrics=metrics, others=others)
    return draft.version


def finish(
    draft: VersionDraft,
    *scores: float | None,
    job: str = "job",
    created: int = 0,
    maximise: bool = True,
    metrics: Metrics = NO_METRICS,
    others: Metrics = NO_METRICS,
) -> None:
    """Make a version that was claimed complete."""
    for index, _ in enumerate(scores or (0.9,)):
        (draft.folder / f"model/{index}/model.pickle").write(b"model")
    fits = tuple(
        FitRecord(
            alg_index=index,
            status="success",
            score=score,
            metrics=others if index else metrics,
            message=None,
            params={},
            started=T0,
            ended=T0,
            packages={},
        )
        for index, score in enumerate(scores or (0.9,))
    )
    draft.publish(
        Manifest(
            format_version=FORMAT_VERSION,
            job_id=job,
            version=draft.version,
            created=T0 + timedelta(days=created),
            script=ScriptFacts(name="t.py", sha256=""),
            parameters={},
            greater_is_better=maximise,
            data=DataFacts(rows=70, validate_rows=30, columns={}, feature_column=None, feature_width=None),
            fits=fits,
            environment={},
            files=draft.file_entries(),
            description="<i>of all mail",
        )
    )


def fail(root: str, message: str, job: str = "job", created: int = 0) -> int:
    """Leave a failure record in the next version."""
    with claim_version(Location.of(root), job) as draft:
        draft.fail(
            FailureRecord(
                format_version=FORMAT_VERSION,
                job_id=job,
                version=draft.version,
                created=T0 + timedelta(days=created),
                message=message,
                fits=(),
                tails={"0": ("last words",)},
            )
        )
    return draft.version


def half_written(root: str) -> None:
    """A version whose manifest is not there yet: its training writes still, or was killed."""
    folder = Location.of(root) / "_model_1"
    (folder / "claim.json").write(b"{}")
    (folder / "model/0/model.pickle").write(b"mod")


def xcom(root: str, version: int, *scores: float | None, best: int = 0) -> dict[str, Any]:
    """What the train operator answers for such a version."""
    fits = [
        {"alg_index": index, "status": "success", "score": score, "metrics": {}, "seconds": 0.0}
        for index, score in enumerate(scores)
    ]
    where = Location.of(root).uri
    chosen = {"alg_index": best, "score": scores[best]}
    return {"model_path": where, "version": version, "score": scores[best], "best": chosen, "fits": fits, "rows": 70}


# -- the sensor, run as Airflow runs it

CONTEXT: Any = {"ti": SimpleNamespace(get_first_reschedule_date=lambda context: None)}


def as_airflow_stores_it(trigger: BaseTrigger) -> BaseTrigger:
    """The trigger as a triggerer makes it, from its arguments in JSON."""
    path, arguments = trigger.serialize()
    text = json.dumps(arguments, allow_nan=False)
    made: BaseTrigger = import_string(path)(**json.loads(text))
    return made


async def fire(trigger: BaseTrigger) -> Any:
    """The payload of the trigger's one event, by way of JSON."""
    events = [event.payload async for event in trigger.run()]
    assert len(events) == 1
    return json.loads(json.dumps(events[0], allow_nan=False))


def wait_deferred(sensor: MLSQLModelSensor, meanwhile: Callable[[], object] = lambda: None) -> Any:
    """What a deferrable sensor answers, or raises; ``meanwhile`` happens when it has deferred."""
    try:
        return sensor.execute(CONTEXT)
    except TaskDeferred as deferred:
        meanwhile()
        event = asyncio.run(asyncio.wait_for(fire(as_airflow_stores_it(deferred.trigger)), 60))
        return sensor.resume_execution(deferred.method_name, {"event": event}, CONTEXT)


# -- storage under a test's control


class GatedFileSystem(MemoryFileSystem):  # type: ignore[misc]
    """A file system in memory that counts the listings of pollers, lets each one pass, and fails, as a test says."""

    protocol = "gated"
    store: dict[str, Any] = {}
    pseudo_dirs = [""]
    listings = 0
    tickets: threading.Semaphore | None = None
    error: Exception | None = None

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        stripped: str = super()._strip_protocol(path.replace("gated://", "memory://"))
        return stripped

    def ls(self, path: str, detail: bool = True, **kwargs: Any) -> Any:
        cls = type(self)
        if not threading.current_thread().name.startswith("mlsql-store"):
            return super().ls(path, detail, **kwargs)
        if cls.tickets is not None:
            assert cls.tickets.acquire(timeout=60)
        cls.listings += 1
        if cls.error is not None:
            raise cls.error
        return super().ls(path, detail, **kwargs)


@contextmanager
def gated() -> Iterator[type[GatedFileSystem]]:
    """An empty ``gated://`` storage."""
    fsspec.register_implementation("gated", GatedFileSystem, clobber=True)
    GatedFileSystem.store, GatedFileSystem.pseudo_dirs = {}, [""]
    tickets = threading.Semaphore(0)
    GatedFileSystem.listings, GatedFileSystem.tickets, GatedFileSystem.error = 0, tickets, None
    yield GatedFileSystem
    tickets.release(1000)  # whoever still waits


async def until(condition: Callable[[], object]) -> None:
    """Let others go on until something holds; a test that waits for ever fails."""

    async def look() -> None:
        while not condition():
            await asyncio.sleep(0.001)

    await asyncio.wait_for(look(), 60)


async def look(gate: type[GatedFileSystem], times: int = 1, unless: Callable[[], object] = lambda: False) -> None:
    """Let pollers list so many times, and wait until they have."""
    assert gate.tickets is not None
    for _ in range(times):
        before = gate.listings
        gate.tickets.release()
        await until(lambda before=before: gate.listings > before or unless())


async def look_until(gate: type[GatedFileSystem], condition: Callable[[], object]) -> int:
    """How many listings it takes."""
    before = gate.listings
    while not condition():
        assert gate.listings < before + 200, "it is looked for in vain"
        await look(gate, unless=condition)
        await asyncio.sleep(0.01)  # for what was found to arrive; it costs a listing more if it does not
    return gate.listings - before
