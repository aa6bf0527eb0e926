"""A real Airflow on SQLite, called through its command line."""

from __future__ import annotations

import base64
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.airflow_process import AirflowProcess
from support.workbench import TESTS

EXAMPLE_DAGS = TESTS.parent / "example_dags"
FERNET_KEY = base64.urlsafe_b64encode(b"the key of tests is not a secret").decode()  # one for all processes of a deployment
AIRFLOW = str(Path(sys.executable).with_name("airflow"))
Done = subprocess.CompletedProcess[str]


@dataclass(frozen=True)
class Airflow:
    """Airflow's commands on a database of the tests' own."""

    home: Path
    process: AirflowProcess

    def __call__(self, *arguments: str, dags: Path = EXAMPLE_DAGS) -> Done:
        """Run a command that has to succeed."""
        done = self._run(arguments, dags, {})
        assert done.returncode == 0, done.stderr
        return done

    def program(self, *arguments: str) -> Done:
        """Run a command that has to succeed in a new process, by the program's path, as without an activated environment."""
        done = self._run_program(arguments, EXAMPLE_DAGS, {})
        assert done.returncode == 0, done.stderr
        return done

    def report(
        self, dag: str, conf: Mapping[str, Any], events: Path, dags: Path = EXAMPLE_DAGS, **environment: str
    ) -> tuple[str, list[dict[str, Any]]]:
        """Do :meth:`test` in a new process, which reports to OpenLineage; return the log and the events.

        :param events: the file for the events.
        """
        transport = {"type": "file", "log_file_path": str(events), "append": True}
        variables = {"AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps(transport), **environment}  # read while Airflow is imported
        log = self._run_program(("dags", "test", dag, "--conf", json.dumps(conf)), dags, variables).stdout
        return log, [json.loads(line) for line in events.read_text().splitlines()]

    def _run_program(self, arguments: Sequence[str], dags: Path, variables: Mapping[str, str]) -> Done:
        environment = base_environment(self.home, dags) | variables
        return subprocess.run([AIRFLOW, *arguments], env=environment, capture_output=True, text=True, check=False)

    def _run(self, arguments: tuple[str, ...], dags: Path, environment: Mapping[str, str]) -> Done:
        return self.process.run(arguments, base_environment(self.home, dags) | environment, self.home)

    def test(self, dag: str, conf: Mapping[str, Any] | None = None, dags: Path = EXAMPLE_DAGS, **environment: str) -> str:
        """Run a DAG to its end and return its log. Its tasks may fail."""
        return self._run(("dags", "test", dag, "--conf", json.dumps(conf or {})), dags, environment).stdout

    def succeed(self, dag: str, conf: Mapping[str, Any] | None = None, dags: Path = EXAMPLE_DAGS, **environment: str) -> str:
        """Do :meth:`test`; nothing may fail."""
        log = self.test(dag, conf, dags, **environment)
        assert "DagRun failed" not in log, log[-5000:]
        return log

    @contextmanager
    def triggerer(self, dags: Path, log_folder: Path) -> Iterator[None]:
        """Run a triggerer that logs into ``triggerer.log``; after the block it is told to stop, as by a deployment."""
        with self.process.running([["triggerer", "--skip-serve-logs"]], base_environment(self.home, dags), log_folder):
            yield

    def xcoms(self, dag: str, key: str = "return_value", map_index: int = -1) -> dict[str, Any]:
        """Return the XCom of every task of the DAG's newest run; of a mapped task, that of one instance."""
        query = "select task_id, value from xcom where key = ? and dag_id = ? and map_index = ? order by dag_run_id"
        with sqlite3.connect(self.home / "airflow.db") as database:
            rows = database.execute(query, [key, dag, map_index]).fetchall()
        database.close()
        return {task: json.loads(value) for task, value in rows}


def base_environment(home: Path, dags: Path) -> dict[str, str]:
    """Return the environment of an Airflow with this home, which reads this folder of DAGs."""
    return {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")} | {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db?timeout=60",  # seconds to wait for a lock
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__FERNET_KEY": FERNET_KEY,
    }


def migrated_database(home: Path) -> Path:
    """Make a database below ``home``, and return it."""
    environment = base_environment(home, EXAMPLE_DAGS)
    subprocess.run([AIRFLOW, "db", "migrate"], env=environment, stdin=subprocess.DEVNULL, capture_output=True, check=True)
    return home / "airflow.db"


@contextmanager
def migrated_airflow(home: Path, database: Path) -> Iterator[Airflow]:
    """Provide an Airflow below ``home`` with a copy of a database."""
    copy_database(database, home)
    process = AirflowProcess(base_environment(home, EXAMPLE_DAGS))
    try:
        yield Airflow(home, process)
    finally:
        process.close()


def copy_database(database: Path, home: Path) -> None:
    """Copy a migrated database into another home of Airflow."""
    shutil.copyfile(database, home / database.name)
