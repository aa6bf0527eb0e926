"""Start Airflow with its UI on loopback; Ctrl-C ends it."""

from __future__ import annotations

import os

from airflow_home import AIRFLOW, WORK, environment, migrate


def main() -> None:
    """Replace this process by ``airflow standalone``."""
    home = WORK / "airflow"
    migrate(home)
    print("Airflow's UI will be at http://127.0.0.1:8080 in about half a minute; Ctrl-C ends it.", flush=True)
    path = os.pathsep.join([os.path.dirname(AIRFLOW), os.environ.get("PATH", os.defpath)])  # it starts its parts by name
    os.execve(AIRFLOW, [AIRFLOW, "standalone"], environment(home) | {"PATH": path})


if __name__ == "__main__":
    main()
