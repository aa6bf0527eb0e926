"""Cluster mode on Kubernetes: what differs from YARN, which is how the driver is followed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.pods import NAMESPACE, Pods, pods_cluster
from support.tries import SAVE, BackgroundTry, Task, leftovers, training
from support.waiting import wait_until
from support.workbench import Script

from mlsql_runtime.errors import InputError


@pytest.fixture
def pods(starts_jvm: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pods]:
    with pods_cluster(tmp_path / "k8s") as cluster:
        for name, value in cluster.environment.items():
            monkeypatch.setenv(name, value)
        yield cluster


@pytest.fixture
def task(tmp_path: Path, script: Script) -> Callable[..., Task]:
    """A task that trains on Kubernetes, in a moment."""

    def make(source: str = SAVE, **arguments: Any) -> Task:
        usual = training("k8s", tmp_path / "m", script(source))
        return Task(tmp_path, usual | arguments)

    return make


def test_a_killed_task_deletes_its_driver_and_a_retry_replaces_a_lost_one_and_follows_a_running_one(
    pods: Pods, task: Callable[..., Task], tmp_path: Path
) -> None:
    trains = task()

    def driver(number: int) -> str | None:
        """Return a driver that has started, and that the task follows."""
        name = pods.submitted[number] if len(pods.submitted) > number else None
        return name if name and name in str(trains.state.all()) and pods.pid(name) else None

    killed = BackgroundTry(trains)
    wait_until(lambda: driver(0))
    killed.operator.on_kill()
    assert killed.failure() == "the job was cancelled"
    assert pods.killed == pods.submitted

    lost = BackgroundTry(trains)
    second = wait_until(lambda: driver(1))
    assert second is not None
    pods.lose(second)
    expected = f"{NAMESPACE}:{second} ended without a result, Failed: Error, exit code 137; see kubectl logs -n ml"
    assert expected in lost.failure()

    pods.hold()
    task(deferrable=True).defer(try_number=2)
    trains.state.file.unlink()  # as if the worker had been lost before it could remember
    pods.release()
    assert trains.execute(try_number=2)["version"] == 1
    _, _, third = pods.submitted
    conf = pods.facts(third)["conf"]
    assert conf["spark.kubernetes.file.upload.path"].startswith(f"file://{tmp_path}/m/_staging/app-")
    assert leftovers(tmp_path) == []


def test_wrong_settings_are_errors_before_anything_is_submitted(
    pods: Pods, task: Callable[..., Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match=r"namespace is 'other'; expected ml: the connection says so"):
        task(conf={"spark.kubernetes.namespace": "other"}).execute()
    monkeypatch.setenv("AIRFLOW_CONN_K8S", pods.connection.replace(f', "namespace": "{NAMESPACE}"', ""))
    with pytest.raises(InputError, match="connection k8s names no namespace"):
        task().execute()
    monkeypatch.delattr("airflow.providers.apache.spark.hooks.spark_submit.kube_client")
    with pytest.raises(InputError, match=r"pip install 'airflow-provider-mlsql\[kubernetes\]'"):
        task().execute()
    assert pods.submitted == []
