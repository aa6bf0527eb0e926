"""Cluster mode on Kubernetes: what differs from YARN, which is how the driver is followed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.pods import NAMESPACE, Pods, pods_cluster
from support.tries import SAVE, Task, leftovers, training
from support.waiting import wait_until
from support.workbench import Script, processes_with

from mlsql_runtime.errors import InputError, JobFailed


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


def test_a_retry_follows_the_driver_of_a_worker_that_was_lost(pods: Pods, task: Callable[..., Task], tmp_path: Path) -> None:
    trains = task()
    pods.hold()
    with trains.worker():
        wait_until(lambda: trains.state.all())
    trains.state.file.unlink()  # as if the worker had been lost before it could remember
    pods.release()
    assert trains.execute(try_number=2)["version"] == 1
    (driver,) = pods.submitted
    conf = pods.facts(driver)["conf"]
    assert conf["spark.kubernetes.file.upload.path"].startswith(f"file://{tmp_path}/m/_staging/app-")
    assert leftovers(tmp_path) == []


def test_a_killed_task_deletes_its_driver_and_a_lost_driver_fails_the_task(
    pods: Pods, task: Callable[..., Task], tmp_path: Path
) -> None:
    number = f"{time.monotonic_ns()}"
    trains = task(source=f"import subprocess\nsubprocess.run(['sleep', '{number}'])\n{SAVE}")
    operator, raised = trains.operator(), []

    def execute() -> None:
        try:
            operator.execute(trains.context())
        except JobFailed as error:
            raised.append(str(error))

    for end in (operator.on_kill, lambda: pods.lose(pods.submitted[-1])):
        running = threading.Thread(target=execute, daemon=True)
        running.start()
        wait_until(lambda: processes_with(number))
        end()
        running.join(60)
        assert processes_with(number) == []
        operator = trains.operator()
    first, second = pods.submitted
    assert pods.killed == [first]
    assert raised[0] == "the job was cancelled"
    assert f"{NAMESPACE}:{second} ended without a result, Failed: Error, exit code 137; see kubectl logs -n ml" in raised[1]
    trains.state.file.unlink()
    assert [path for path in leftovers(tmp_path) if "/app-" in path] == []


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
