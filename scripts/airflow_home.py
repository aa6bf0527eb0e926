"""An Airflow of this checkout's own, below ``.work``: SQLite, the example DAGs, and no settings of the machine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / ".work"
AIRFLOW = str(Path(sys.executable).parent / "airflow")
PORT = 8080


def environment(home: Path, port: int = PORT) -> dict[str, str]:
    """Return the environment of an Airflow command.

    :param port: the port of the API server.
    """
    own = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    return own | {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "example_dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__PARALLELISM": str(os.cpu_count() or 1),  # each task may be a Spark application
        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "600",  # a file that changes is parsed at once
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(port),
    }


def migrate(home: Path) -> None:
    """Create or upgrade the database, unless this environment has done so before."""
    stamp, setup = home / "migrated.stamp", WORK / "setup.stamp"
    wanted = setup.read_text() if setup.exists() else ""
    if stamp.exists() and stamp.read_text() == wanted:
        return
    home.mkdir(parents=True, exist_ok=True)
    done = subprocess.run([AIRFLOW, "db", "migrate"], env=environment(home), capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"airflow db migrate failed:\n{done.stdout}{done.stderr}")
    stamp.write_text(wanted)
