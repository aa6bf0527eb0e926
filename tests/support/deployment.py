"""A complete Airflow on SQLite, used through its public API: API servers, scheduler, DAG processor and tasks.

On SQLite, an API server of Airflow 3.3 stands still when two requests write at the same time. It writes the audit log of a
request to the core API on its event loop (``action_logging``), where it waits for SQLite's lock. If another request of the same
process holds the lock, that one waits for the event loop before it commits, and nothing happens until SQLite's timeout. So tasks
have an API server of their own, and :meth:`Deployment.writing` lets the tests write one after the other.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx
import psutil
from daemon import find_free_ports

from mlsql_runtime.storage.file_lock import FileLock
from mlsql_runtime.submission.processes import MARK
from support.airflow import EXAMPLE_DAGS, base_environment, copy_database
from support.airflow_process import AirflowProcess
from support.waiting import WAIT_SECONDS, wait_until

ENDED = ("success", "failed")
USER, STRANGER = "admin", "stranger"
UI_DAGS = Path(__file__).parents[1] / "ui" / "dags"


@dataclass(frozen=True)
class Deployment:
    """A running Airflow with the example DAGs and those that tests put into ``dags``; all DAGs are paused.

    It requires the password of ``admin``.
    """

    home: Path
    port: int
    execution_port: int
    password: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def dags(self) -> Path:
        return self.home / "dags"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def execution_url(self) -> str:
        """The API of tasks."""
        return f"http://127.0.0.1:{self.execution_port}/execution"

    @property
    def parts(self) -> dict[str, tuple[str, ...]]:
        """The arguments of its processes, by the names of their logs."""
        return {
            "api-server": ("api-server", "--apps", "core", "--port", str(self.port), "--workers", "1"),
            "execution-api-server": ("api-server", "--apps", "execution", "--port", str(self.execution_port), "--workers", "1"),
            "dag-processor": ("dag-processor",),
            "scheduler": ("scheduler", "--skip-serve-logs"),
        }

    @property
    def environment(self) -> dict[str, str]:
        """The environment of all of its processes."""
        return base_environment(self.home, self.dags) | {
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            "AIRFLOW__CORE__PARALLELISM": "4",
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.execution_url}/",
            "AIRFLOW__CORE__AUTH_MANAGER": "dag_auth_manager.DagAuthManager",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{USER}:admin,{STRANGER}:viewer",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(self.home / "passwords.json"),
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__BASE_URL": self.url,
            "AIRFLOW__API_AUTH__JWT_SECRET": "a secret of the tests that everybody may know, as long as SHA-512 asks for",
            "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.5",
            "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "60",  # on a busy machine
            "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",  # in which a task notices that a user has ended it
            "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "1",  # for files that tests add
            "AIRFLOW__DAG_PROCESSOR__BUNDLE_REFRESH_CHECK_INTERVAL": "1",
            "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "600",  # the others do not change
        }

    @cached_property
    def process(self) -> AirflowProcess:
        """The process that forks for the commands of a test process."""
        return AirflowProcess(self.environment)

    @cached_property
    def login(self) -> dict[str, str]:
        """The header of the requests of a user who has logged in."""
        return self.log_in(USER)

    def log_in(self, user: str) -> dict[str, str]:
        """Return the header of the requests of ``admin``, or of ``stranger``, who must not see some of the DAGs."""
        response = httpx.post(f"{self.url}/auth/token", json={"username": user, "password": self.password}, timeout=WAIT_SECONDS)
        return {"Authorization": f"Bearer {response.raise_for_status().json()['access_token']}"}

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Keep other processes of the run from sending requests that write to the core API."""
        with FileLock(self.home / "writing") as lock:
            lock.acquire()
            yield

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> httpx.Response:
        """Send a request to the API, logged in, and return the response, of any status."""
        with self.writing() if method != "GET" else contextlib.nullcontext():
            return httpx.request(method, f"{self.url}/api/v2/{path}", json=body, headers=self.login, timeout=WAIT_SECONDS)

    def page(self, path: str, **headers: str) -> httpx.Response:
        """Return any page, logged in."""
        return httpx.get(f"{self.url}{path}", headers=self.login | headers, timeout=WAIT_SECONDS)

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

    def links(self, dag: str, run: str, task: str) -> dict[str, str | None]:
        """Return the links on the page of a task; None for a link without a target."""
        links: dict[str, str | None] = self.answer("GET", f"dags/{dag}/dagRuns/{run}/taskInstances/{task}/links")["extra_links"]
        return links

    def job_mark(self, dag: str, task: str) -> str:
        """Return what the processes of a running task's Spark application have in their environments."""
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                if MARK in process.environ() and any(f"{dag}.{task}" in argument for argument in process.cmdline()):
                    return process.environ()[MARK]
        raise AssertionError(f"no process belongs to an application of {dag}.{task}")

    @contextmanager
    def running(self, parts: Mapping[str, Sequence[str]]) -> Iterator[None]:
        """Run commands that do not end by themselves, such as ``triggerer``, and end them after the block.

        :param parts: the arguments of each, by the names of their logs.
        """
        started = []
        for name, arguments in parts.items():
            log = self.home / f"{name}.log"
            started.append(self.process.start(arguments, self.environment, log, log))
        try:
            yield
        finally:
            for pid in started:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGTERM)
            for pid in started:
                if self.process.wait(pid, 60) is None:
                    os.kill(pid, signal.SIGKILL)

    def close(self) -> None:
        """End the process that forks, not its commands."""
        if process := self.__dict__.pop("process", None):
            process.close()

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what only this process can use."""
        return {each.name: getattr(self, each.name) for each in fields(self)}


@contextmanager
def deployed(home: Path, database: Path) -> Iterator[Deployment]:
    """Start an Airflow below ``home`` with a copy of a migrated database, and end it after the block."""
    deployment = Deployment(home, *find_free_ports(2))
    for dags in (EXAMPLE_DAGS, UI_DAGS):
        shutil.copytree(dags, deployment.dags, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
    (home / "passwords.json").write_text(json.dumps(dict.fromkeys((USER, STRANGER), deployment.password)))
    (home / "config").mkdir()  # on Airflow's path of modules
    shutil.copy(Path(__file__).with_name("dag_auth_manager.py"), home / "config")
    copy_database(database, home)
    with deployment.running(deployment.parts):
        wait_until(lambda: _is_healthy(deployment), f"Airflow to start; see {home}", every=0.5)
        yield deployment
    deployment.close()


def _is_healthy(deployment: Deployment) -> bool:
    try:
        health = httpx.get(f"{deployment.url}/api/v2/monitor/health", timeout=WAIT_SECONDS).raise_for_status().json()
        httpx.get(f"{deployment.execution_url}/health", timeout=WAIT_SECONDS).raise_for_status()
    except httpx.HTTPError:
        return False
    return all(health[part]["status"] == "healthy" for part in ("metadatabase", "scheduler", "dag_processor"))
