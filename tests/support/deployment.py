"""A complete Airflow on SQLite, used through its public API: API server, scheduler, DAG processor and tasks."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx

from support.airflow import EXAMPLE_DAGS
from support.reaper import ending_processes
from support.waiting import wait_until

ENDED = ("success", "failed")
PARTS = (("api-server", "--workers", "1"), ("dag-processor",), ("scheduler", "--skip-serve-logs"))


@dataclass(frozen=True)
class Deployment:
    """A running Airflow with the example DAGs and those that tests put into ``dags``; all DAGs are paused."""

    home: Path
    port: int

    @property
    def dags(self) -> Path:
        return self.home / "dags"

    @property
    def environment(self) -> dict[str, str]:
        """The environment of all of its processes."""
        at = f"http://127.0.0.1:{self.port}"
        return {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")} | {
            "AIRFLOW_HOME": str(self.home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(self.dags),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            "AIRFLOW__CORE__PARALLELISM": "3",
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{at}/execution/",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__PORT": str(self.port),
            "AIRFLOW__API__BASE_URL": at,
            "AIRFLOW__API_AUTH__JWT_SECRET": "a secret of the tests that everybody may know, as long as SHA-512 asks for",
            "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "5",  # for files that tests add
            "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "600",  # the others do not change
        }

    def command(self, *arguments: str) -> str:
        """Run a command of Airflow that has to succeed, and return its output."""
        done = subprocess.run(
            [_AIRFLOW, *arguments], env=self.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> httpx.Response:
        """Send a request and return the response, of any status."""
        return httpx.request(method, f"http://127.0.0.1:{self.port}/api/v2/{path}", json=body, timeout=60)

    def answer(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Send a request that has to succeed, and return the response's JSON."""
        response = self.ask(method, path, body)
        assert response.is_success, response.text
        return response.json()

    def start(self, dag: str, conf: Mapping[str, Any] | None = None) -> httpx.Response:
        """Unpause a DAG and trigger it, as the form in the UI does."""
        self.unpause(dag)
        return self.ask("POST", f"dags/{dag}/dagRuns", {"logical_date": None, "conf": dict(conf or {})})

    def unpause(self, dag: str) -> None:
        """Unpause a DAG as soon as Airflow knows it."""
        self.until(lambda: self.ask("PATCH", f"dags/{dag}", {"is_paused": False}).is_success, f"DAG {dag}")

    def run(self, dag: str, conf: Mapping[str, Any] | None = None) -> str:
        """Trigger a DAG, wait for its successful end, and return the run's id."""
        run = str(self.start(dag, conf).raise_for_status().json()["dag_run_id"])
        self.ended(dag, run)
        return run

    def ended(self, dag: str, run: str, state: str = "success") -> None:
        """Wait until a run has ended, and check its state."""
        found = self.until(lambda: self._state(dag, run), f"the end of {dag} {run}")
        assert found == state, self.logs(dag, run)

    def _state(self, dag: str, run: str) -> str | None:
        state = self.answer("GET", f"dags/{dag}/dagRuns/{run}")["state"]
        return state if state in ENDED else None

    def tasks(self, dag: str, run: str) -> list[dict[str, Any]]:
        """Return the task instances of a run."""
        found: list[dict[str, Any]] = self.answer("GET", f"dags/{dag}/dagRuns/{run}/taskInstances")["task_instances"]
        return found

    def xcom(self, dag: str, run: str, task: str, map_index: int = -1) -> Any:
        """Return the XCom that a task returned."""
        path = f"dags/{dag}/dagRuns/{run}/taskInstances/{task}/xcomEntries/return_value?map_index={map_index}"
        return self.answer("GET", path)["value"]

    def scheduler_log(self) -> str:
        """Return the scheduler's log so far."""
        return (self.home / "scheduler.log").read_text(encoding="utf-8", errors="replace")

    def logs(self, dag: str, run: str) -> str:
        """Return the ends of the logs of a run's tasks, for messages."""
        files = sorted((self.home / "logs" / f"dag_id={dag}" / f"run_id={run}").rglob("*.log"))
        return "\n".join(f"--- {file}\n{file.read_text()[-3000:]}" for file in files)

    def until(self, question: Callable[[], Any], what: str) -> Any:
        """Return the first true answer, within a quarter of an hour."""
        return wait_until(question, what, seconds=900, every=0.5)


D = TypeVar("D", bound=Deployment)
_AIRFLOW = str(Path(sys.executable).parent / "airflow")


@contextmanager
def deployed(home: Path, kind: Callable[[Path, int], D] = Deployment) -> Iterator[D]:
    """Start an Airflow below ``home``, and end all of its processes after the block."""
    deployment = kind(home, _free_port())
    shutil.copytree(EXAMPLE_DAGS, deployment.dags, ignore=shutil.ignore_patterns("__pycache__"))
    deployment.command("db", "migrate")
    with ExitStack() as running:
        running.enter_context(ending_processes("AIRFLOW_HOME", str(home)))
        for part in PARTS:
            running.enter_context(_process(deployment, part))
        deployment.until(lambda: _is_healthy(deployment), f"Airflow to start; see {home}")
        yield deployment


def _is_healthy(deployment: Deployment) -> bool:
    try:
        health = deployment.answer("GET", "monitor/health")
    except httpx.TransportError:
        return False
    return all(health[part]["status"] == "healthy" for part in ("metadatabase", "scheduler", "dag_processor"))


@contextmanager
def _process(deployment: Deployment, part: tuple[str, ...]) -> Iterator[None]:
    with (deployment.home / f"{part[0]}.log").open("ab") as log:
        process = subprocess.Popen(
            [_AIRFLOW, *part], env=deployment.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
        )
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port: int = bound.getsockname()[1]
        return port
