"""Cluster mode on a real YARN: one application gives the result even if workers, nodes or the ResourceManager are lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.triggers.base import TriggerEvent
from support.tries import SAVE, Task, leftovers, training
from support.workbench import Script
from support.yarn import Applications

from airflow_provider_mlsql.triggers.application import MLSQLApplicationTrigger
from mlsql_runtime.errors import JobFailed


@pytest.fixture
def task(tmp_path: Path, script: Script) -> Callable[..., Task]:
    """A task that trains on YARN, in a moment."""

    def make(source: str = SAVE, **arguments: Any) -> Task:
        usual = training("yarn", tmp_path / "m", script(source))
        return Task(tmp_path, usual | arguments)

    return make


def test_waiting_applications_are_found_followed_and_ended(yarn: Applications, task: Callable[..., Task], tmp_path: Path) -> None:
    waiting = {"deferrable": True, "conf": yarn.held}
    trains = task(**waiting)
    for try_number in (1, 2):  # the second one does the same
        trains.defer(try_number)
        assert len(yarn.submitted) == 1
        trains.state.file.unlink()  # as if the worker had been lost before it could remember
    trigger = task(**waiting, fit_params=[{"alpha": 2}]).defer(try_number=2)
    assert [yarn.state(each) for each in yarn.submitted] == ["KILLED", "ACCEPTED"]
    asyncio.run(trigger.on_kill())
    late = task(**waiting, execution_timeout=timedelta(seconds=0))
    event = asyncio.run(event_of(late.defer()))
    assert event["status"] == "timeout"
    with pytest.raises(BaseException, match="after the execution_timeout"):
        late.operator().execute_complete(late.context(), event)
    assert [yarn.state(each) for each in yarn.submitted] == ["KILLED"] * 3
    assert leftovers(tmp_path) == []


async def event_of(trigger: MLSQLApplicationTrigger) -> dict[str, Any]:
    event: TriggerEvent = await anext(trigger.run())
    payload: dict[str, Any] = event.payload
    return payload


def test_a_submission_that_yarn_refuses_leaves_nothing(yarn: Applications, task: Callable[..., Task], tmp_path: Path) -> None:
    with pytest.raises(JobFailed, match=r"could not be submitted to YARN: .*unknown queue") as caught:
        task(conf={"spark.yarn.queue": "nowhere"}).execute()
    print(caught.value)
    assert task().state.all() == {}
    assert leftovers(tmp_path) == []
