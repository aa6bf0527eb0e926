"""A Spark standalone cluster: a master and two workers, each a process of its own."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pyspark
import pytest

from support.reaper import CLUSTER, ending_processes

SPARK_HOME = str(Path(pyspark.__file__).parent)


@contextlib.contextmanager
def standalone_cluster(
    folder: Path,
    hosts: Sequence[str] = ("127.0.0.1", "127.0.0.1"),
    cores: int = 1,
    environments: Sequence[Mapping[str, str]] = (),
) -> Iterator[str]:
    """The master's URL, while there is a worker on each of ``hosts``.

    :param environments: variables of each worker, which its executors have, too. Executors run two folders below
        ``worker-<n>`` then.
    """
    port = _free_port()
    url = f"spark://127.0.0.1:{port}"
    with contextlib.ExitStack() as stack:
        stack.enter_context(ending_processes(CLUSTER, str(folder)))
        ports = ["--host", "127.0.0.1", "--port", str(port), "--webui-port", "0"]
        stack.enter_context(_spark_process(folder, "org.apache.spark.deploy.master.Master", *ports, ready="New state: ALIVE"))
        for number, host in enumerate(hosts):
            work = folder / f"worker-{number}" if environments else folder
            options = ["--host", host, "--webui-port", "0", "-c", str(cores), "-m", "1g", "-d", str(work), url]
            worker = _spark_process(
                folder,
                "org.apache.spark.deploy.worker.Worker",
                *options,
                ready="Successfully registered with master",
                extra=environments[number] if environments else {},
            )
            stack.enter_context(worker)
        yield url


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def _spark_process(folder: Path, *arguments: str, ready: str, extra: Mapping[str, str] = {}) -> Iterator[None]:
    """A Spark daemon in the foreground, from the line that says it is ready until it is ended by its process."""
    env = {
        **os.environ,
        **extra,
        CLUSTER: str(folder),
        "SPARK_HOME": SPARK_HOME,
        "SPARK_LOCAL_IP": "127.0.0.1",
        "PYSPARK_PYTHON": sys.executable,
    }
    command = [f"{SPARK_HOME}/bin/spark-class", *arguments]
    with subprocess.Popen(command, env=env, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as daemon:
        try:
            assert daemon.stdout is not None
            said = []
            for line in daemon.stdout:
                said.append(line)
                if ready in line:
                    break
            else:
                pytest.fail(f"{arguments[0]} ended: {''.join(said)}")
            yield
        finally:
            daemon.terminate()
            daemon.communicate(timeout=60)
