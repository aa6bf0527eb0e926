"""A run of tests that ends before its time leaves no process, no port and no folder."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from support.deployment import Deployment
from support.reaper import find_processes
from support.shared_run import RUN
from support.waiting import wait_until
from support.workbench import TESTS, processes_with

Interrupt = Callable[[int], None]


def interrupt_group(pid: int) -> None:
    """Do what a terminal does at Ctrl-C."""
    os.killpg(pid, signal.SIGINT)


def terminate(pid: int) -> None:
    os.kill(pid, signal.SIGTERM)


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize(
    ("interrupt", "services"),
    [
        pytest.param(interrupt_group, "cluster spark", id="Ctrl-C"),
        pytest.param(terminate, "broker", id="SIGTERM"),
        pytest.param(kill, "s3_server", id="SIGKILL"),
    ],
)
@pytest.mark.usefixtures("starts_jvm", "starts_airflow")
def test_nothing_is_left(interrupt: Interrupt, services: str, tmp_path: Path) -> None:
    ready, temporary = tmp_path / "ready", tmp_path / "tmp"
    ready.mkdir()
    temporary.mkdir()
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "AIRFLOW", RUN))}
    env |= {"TMPDIR": str(temporary), "MLSQL_TEST_READY": str(ready), "MLSQL_TEST_SERVICES": services}
    command = [sys.executable, "-m", "pytest", "--numprocesses", "2", "-p", "no:cacheprovider", "--basetemp", str(tmp_path / "b")]
    files = [str(TESTS / "interruption" / f"{name}.py") for name in ("services", "jobs")]
    with (tmp_path / "log").open("w") as log:
        run = subprocess.Popen([*command, *files], env=env, stdout=log, stderr=log, start_new_session=True)
    try:
        for name in ("services", "jobs"):
            wait_until(lambda name=name: (ready / name).exists() or run.poll() is not None, name, seconds=240)  # type: ignore[misc]
        assert run.poll() is None, (tmp_path / "log").read_text()
        [folder] = temporary.glob("mlsql-tests-*")
        started = [process for process in psutil.Process(run.pid).children(recursive=True) if process.is_running()]
        assert len(started) >= 5, started  # the keeper, two workers, two of the job; and what the keeper has started
        interrupt(run.pid)
        alive = lambda: [process for process in started if process.is_running() and process.status() != "zombie"]  # noqa: E731
        wait_until(lambda: run.poll() is not None and not alive() and not folder.exists(), alive)
    finally:
        run.kill()
        run.wait()
    assert list(temporary.iterdir()) == []
    assert processes_with(str(folder)) == []


def test_the_keeper_would_find_each_process_of_the_deployment(deployment: Deployment) -> None:
    """By the run's folder in its environment, which Airflow's titles of processes could overwrite."""
    [keeper] = [each for each in psutil.process_iter(["cmdline"]) if _is_keeper(each)]
    started = keeper.children(recursive=True)
    found = find_processes(RUN, os.environ[RUN])
    listening = {each.pid for each in psutil.net_connections("tcp") if each.laddr and each.laddr.port == deployment.port}
    assert listening & {each.pid for each in started}
    alive = [each for each in started if each.is_running() and each.status() != psutil.STATUS_ZOMBIE]
    assert [each for each in alive if each not in found] == []


def _is_keeper(process: psutil.Process) -> bool:
    if "support.keeper" not in " ".join(process.info["cmdline"] or []):
        return False
    return process.environ().get(RUN) == os.environ[RUN]
