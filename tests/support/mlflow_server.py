"""MLflow's tracking server on 127.0.0.1, with SQLite and a folder for artifacts."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from daemon import find_free_ports

READY_SECONDS = 120.0


@contextmanager
def mlflow_server(folder: Path) -> Iterator[str]:
    """Run the server, and provide its URI once it responds."""
    (port,) = find_free_ports(1)
    uri = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-W", "ignore", "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", str(folder / "artifacts")]
    environment = os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (
        (folder / "mlflow.log").open("w") as log,
        subprocess.Popen([*command, "--workers", "1"], cwd=folder, stdout=log, stderr=log, env=environment) as process,
    ):
        try:
            _wait(uri, process, folder)
            yield uri
        finally:
            process.terminate()


def _wait(uri: str, process: subprocess.Popen[bytes], folder: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{uri}/health", timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise RuntimeError(f"MLflow's server did not start: {(folder / 'mlflow.log').read_text()[-2000:]}")
