"""Start Airflow with its UI on loopback; Ctrl-C ends it.

``airflow standalone`` would also start servers for logs, which listen on all interfaces. Here the API server reads logs as files.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path

from airflow_home import AIRFLOW, PORT, WORK, environment, migrate

SECONDS_TO_END = 15
LAST_LINES = 20
PARTS = (("api-server",), ("dag-processor",), ("scheduler", "--skip-serve-logs"), ("triggerer", "--skip-serve-logs"))


class Part:
    """A command of Airflow that runs until it is ended. Its output is shown as it comes; the last lines are kept."""

    def __init__(self, command: tuple[str, ...], variables: Mapping[str, str]) -> None:
        self.name = command[0]
        self._process = subprocess.Popen(
            [AIRFLOW, *command],
            env=dict(variables),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        self._last: deque[str] = deque(maxlen=LAST_LINES)
        self._reader = threading.Thread(target=self._show, daemon=True)
        self._reader.start()

    def _show(self) -> None:
        for line in self._process.stdout or ():
            self._last.append(line)
            sys.stdout.write(line)
            sys.stdout.flush()

    @property
    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def describe_end(self) -> str:
        """Return how the part ended, and the end of its output."""
        self._reader.join(1)  # a process that the part has started may hold its output open
        code = self._process.returncode
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        return f"Airflow's {self.name} {how}, so all parts were ended. The end of its output:\n{''.join(self._last)}"

    def terminate(self) -> None:
        self._process.terminate()

    def wait(self) -> None:
        """Wait for the end, and kill the part if it takes too long."""
        try:
            self._process.wait(SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def run(home: Path, port: int) -> Part | None:
    """Start the parts, and end all of them when one ends, or at a signal.

    :return: the part that ended by itself; None after a signal.
    """
    started: list[Part] = []
    try:
        for command in PARTS:
            started.append(Part(command, environment(home, port)))
        while True:
            for part in started:
                if part.has_ended:
                    return part
            time.sleep(0.5)
    except KeyboardInterrupt:
        return None
    finally:
        for part in started:
            part.terminate()
        for part in started:
            part.wait()


def main() -> int:
    """Return 0 after Ctrl-C or SIGTERM, and 1 when a part of Airflow ended by itself."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, default=WORK / "airflow", help="the folder of Airflow's database and logs")
    parser.add_argument("--port", type=int, default=PORT, help="the port of the UI on 127.0.0.1")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    migrate(options.home)
    print(f"Airflow's UI will be at http://127.0.0.1:{options.port} in about half a minute; Ctrl-C ends it.", flush=True)
    ended = run(options.home, options.port)
    if ended is None:
        return 0
    print(f"\n{ended.describe_end()}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
