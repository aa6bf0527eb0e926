"""A whole Airflow that people log in to, and that tells which processes its tasks have started."""

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
    """An Airflow in which nobody is anybody without the password of ``admin``."""

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
        """The header of requests of somebody who has logged in."""
        answer = httpx.post(f"{self.url}/auth/token", json={"username": USER, "password": self.password}, timeout=60)
        return {"Authorization": f"Bearer {answer.raise_for_status().json()['access_token']}"}

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> httpx.Response:
        """One request to the API, logged in, whatever comes of it."""
        return httpx.request(method, f"{self.url}/api/v2/{path}", json=body, headers=self.login, timeout=60)

    def page(self, path: str, **headers: str) -> httpx.Response:
        """Any page, logged in."""
        return httpx.get(f"{self.url}{path}", headers=self.login | headers, timeout=60)

    def links(self, dag: str, run: str, task: str) -> dict[str, str | None]:
        """The links on the page of a task; None where there is nothing to show."""
        links: dict[str, str | None] = self.answer("GET", f"dags/{dag}/dagRuns/{run}/taskInstances/{task}/links")["extra_links"]
        return links

    def job_processes(self) -> list[psutil.Process]:
        """The live processes of Spark applications that its tasks have started."""
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
    """Start one below ``home``, with the example DAGs and those in ``dags``."""
    with deployed(home, Standalone) as running:
        shutil.copytree(dags, running.dags, dirs_exist_ok=True)
        yield running
