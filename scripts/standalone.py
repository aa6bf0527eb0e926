"""Start Airflow with its UI on loopback; Ctrl-C ends it.

``airflow standalone`` would also start servers for logs, which listen on all interfaces. Here the API server reads logs as files.
"""

from __future__ import annotations

import signal
import subprocess
import time

from airflow_home import AIRFLOW, WORK, environment, migrate

SECONDS_TO_END = 15
PARTS = (["api-server"], ["dag-processor"], ["scheduler", "--skip-serve-logs"], ["triggerer", "--skip-serve-logs"])


def main() -> None:
    """Start the parts of Airflow, and end all of them when one ends or at a signal."""
    home = WORK / "airflow"
    migrate(home)
    print("Airflow's UI will be at http://127.0.0.1:8080 in about half a minute; Ctrl-C ends it.", flush=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    started: list[subprocess.Popen[bytes]] = []
    try:
        for part in PARTS:
            started.append(subprocess.Popen([AIRFLOW, *part], env=environment(home)))
        while all(process.poll() is None for process in started):
            time.sleep(0.5)
    except KeyboardInterrupt:
        pass
    finally:
        for process in started:
            process.terminate()
        for process in started:
            try:
                process.wait(SECONDS_TO_END)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


if __name__ == "__main__":
    main()
