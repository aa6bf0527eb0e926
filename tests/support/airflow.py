"""A real Airflow on SQLite, called through its command line."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.workbench import TESTS

EXAMPLE_DAGS = TESTS.parent / "example_dags"


@dataclass(frozen=True)
class Airflow:
    """Airflow's command, called by its path on a database of the tests' own, as without an activated environment."""

    home: Path

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command that has to succeed."""
        done = self._run(arguments, EXAMPLE_DAGS, {})
        assert done.returncode == 0, done.stderr
        return done

    def _run(self, arguments: tuple[str, ...], dags: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
        env = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")} | {
            "AIRFLOW_HOME": str(self.home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        }
        command = [str(Path(sys.executable).parent / "airflow"), *arguments]
        return subprocess.run(command, env=env | environment, capture_output=True, text=True, check=False)

    def test(self, dag: str, conf: Mapping[str, Any] | None = None, dags: Path = EXAMPLE_DAGS, **environment: str) -> str:
        """Run a DAG to its end and return its log. Its tasks may fail."""
        return self._run(("dags", "test", dag, "--conf", json.dumps(conf or {})), dags, environment).stdout

    def succeed(self, dag: str, conf: Mapping[str, Any] | None = None, dags: Path = EXAMPLE_DAGS, **environment: str) -> str:
        """Do :meth:`test`; nothing may fail."""
        log = self.test(dag, conf, dags, **environment)
        assert "DagRun failed" not in log, log[-5000:]
        return log

    def xcoms(self, dag: str, key: str = "return_value", map_index: int = -1) -> dict[str, Any]:
        """Return the XCom of every task of the DAG's newest run; of a mapped task, that of one instance."""
        query = "select task_id, value from xcom where key = ? and dag_id = ? and map_index = ? order by dag_run_id"
        with sqlite3.connect(self.home / "airflow.db") as database:
            rows = database.execute(query, [key, dag, map_index]).fetchall()
        database.close()
        return {task: json.loads(value) for task, value in rows}
