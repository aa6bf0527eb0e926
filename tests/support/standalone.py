"""A complete Airflow with a login, which finds the processes that its tasks have started."""

from __future__ import annotations

import contextlib
import json
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx
import psutil

from mlsql_runtime.submission.processes import MARK
from support.deployment import Deployment, deployed

USER = "admin"
_OWN = "MLSQL_TEST_AIRFLOW"  # in the environment of every process of it, and of the jobs it runs


@dataclass(frozen=True)
class Standalone(Deployment):
    """An Airflow that requires the password of ``admin``."""

    password: str = field(default_factory=lambda: uuid.uuid4().hex)
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        users = self.home / "passwords.json"
        users.write_text(json.dumps({USER: self.password}))
        return super().environment | {
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "False",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{USER}:admin",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(users),
            _OWN: self.mark,
        }

    @cached_property
    def login(self) -> dict[str, str]:
        """The header of the requests of a user who has logged in."""
        answer = httpx.post(f"{self.url}/auth/token", json={"username": USER, "password": self.password}, timeout=60)
        return {"Authorization": f"Bearer {answer.raise_for_status().json()['access_token']}"}

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> httpx.Response:
        """Send a request to the API, logged in, and return the response, of any status."""
        return httpx.request(method, f"{self.url}/api/v2/{path}", json=body, headers=self.login, timeout=60)

    def page(self, path: str, **headers: str) -> httpx.Response:
        """Return any page, logged in."""
        return httpx.get(f"{self.url}{path}", headers=self.login | headers, timeout=60)

    def links(self, dag: str, run: str, task: str) -> dict[str, str | None]:
        """Return the links on the page of a task; None for a link without a target."""
        links: dict[str, str | None] = self.answer("GET", f"dags/{dag}/dagRuns/{run}/taskInstances/{task}/links")["extra_links"]
        return links

    def job_processes(self) -> list[psutil.Process]:
        """Return the live processes of the Spark applications that its tasks have started."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                environment = process.environ()
                alive = process.status() != psutil.STATUS_ZOMBIE
                if alive and environment.get(_OWN) == self.mark and MARK in environment:
                    found.append(process)
        return found


@contextmanager
def standalone(home: Path, dags: Path) -> Iterator[Standalone]:
    """Start an Airflow below ``home``, with the example DAGs and those in ``dags``."""
    with deployed(home, Standalone) as running:
        shutil.copytree(dags, running.dags, dirs_exist_ok=True)
        yield running
