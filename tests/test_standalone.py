"""``make airflow``: where it listens, how busy it may be, and what it says when a part of it ends."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import httpx
import psutil
import pytest
from daemon import find_free_ports
from support import shared_run
from support.airflow import copy_database
from support.waiting import wait_until
from support.workbench import TESTS

ROOT = TESTS.parent
PARTS = ("metadatabase", "scheduler", "triggerer", "dag_processor")


def has_started(port: int) -> bool:
    try:
        health = httpx.get(f"http://127.0.0.1:{port}/api/v2/monitor/health", timeout=60).raise_for_status().json()
    except httpx.HTTPError:
        return False
    return all(health[part]["status"] == "healthy" for part in PARTS)


@pytest.mark.usefixtures("starts_airflow")
def test_it_listens_on_loopback_and_names_the_part_that_ended(tmp_path: Path) -> None:
    copy_database(shared_run.start_service("airflow_database"), tmp_path)
    stamp = ROOT / ".work/setup.stamp"
    (tmp_path / "migrated.stamp").write_text(stamp.read_text() if stamp.exists() else "")
    (port,) = find_free_ports(1)
    command = [sys.executable, ROOT / "scripts/standalone.py", "--home", tmp_path, "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            wait_until(lambda: has_started(port), "Airflow to start", every=0.5)
            parts = psutil.Process(process.pid).children()
            processes = psutil.Process(process.pid).children(recursive=True)
            sockets = [each for one in processes for each in one.net_connections("tcp") if each.status == psutil.CONN_LISTEN]
            settings = [each.environ() for each in parts]
            (triggerer,) = (each for each in parts if "triggerer" in each.cmdline())
            triggerer.kill()
            output, _ = process.communicate(timeout=60)
        finally:
            process.terminate()
    assert {each.laddr.ip for each in sockets} == {"127.0.0.1"}
    assert port in {each.laddr.port for each in sockets}
    assert {each["AIRFLOW__CORE__PARALLELISM"] for each in settings} == {str(os.cpu_count())}  # tasks, which may be Spark
    assert {each["AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL"] for each in settings} == {"600"}  # seconds; by default 30
    assert process.returncode == 1
    _, found, end = output.partition(
        "Airflow's triggerer was killed by SIGKILL, so all parts were ended. The end of its output:\n"
    )
    assert found
    assert "rigger" in end
    assert not [each for each in parts if each.is_running()]
