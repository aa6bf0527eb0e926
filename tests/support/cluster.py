"""A Spark standalone cluster: a master and two workers, each a process of its own.

Each worker has two graphics cards, as far as Spark can tell, with the addresses 4 and 7.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyspark
from daemon import find_free_ports

from support.reaper import CLUSTER, ending_processes
from support.waiting import wait_until

SPARK_HOME = str(Path(pyspark.__file__).parent)
DISCOVERY = """#!/bin/sh
echo '{"name": "gpu", "addresses": ["4", "7"]}'
"""


@dataclass(frozen=True)
class Cluster:
    """A running cluster: the URL of its master, and the folder below which its workers have their own."""

    url: str
    folder: Path


@contextlib.contextmanager
def standalone_cluster(
    folder: Path,
    hosts: Sequence[str] = ("127.0.0.1", "127.0.0.1"),
    cores: int = 1,
    environments: Sequence[Mapping[str, str]] = (),
) -> Iterator[str]:
    """Provide the URL of a master that has a worker on each of ``hosts``.

    :param environments: variables of each worker, which its executors have, too. Executors run two folders below
        ``worker-<n>`` then.
    """
    (port,) = find_free_ports(1)
    url = f"spark://127.0.0.1:{port}"
    discovery = folder / "discovery.sh"
    discovery.write_text(DISCOVERY)
    discovery.chmod(0o755)
    cards = f"-Dspark.worker.resource.gpu.amount=2 -Dspark.worker.resource.gpu.discoveryScript={discovery}"
    with contextlib.ExitStack() as stack:
        stack.enter_context(ending_processes(CLUSTER, str(folder)))
        ports = ["--host", "127.0.0.1", "--port", str(port), "--webui-port", "0"]
        stack.enter_context(_spark_process(folder, "org.apache.spark.deploy.master.Master", *ports, ready="New state: ALIVE"))
        for number, host in enumerate(hosts):
            work = folder / f"worker-{number}" if environments else folder
            own = environments[number] if environments else {}
            stack.enter_context(running_worker(folder, url, host, cores, work, {"SPARK_WORKER_OPTS": cards, **own}))
        yield url


@contextlib.contextmanager
def running_worker(
    folder: Path, url: str, host: str, cores: int, work: Path, environment: Mapping[str, str] = {}
) -> Iterator[subprocess.Popen[bytes]]:
    """Start a worker of a master, and end it after the block.

    :param work: the folder below which applications have their own.
    """
    options = ["--host", host, "--webui-port", "0", "-c", str(cores), "-m", "2g", "-d", str(work), url]
    main, ready = "org.apache.spark.deploy.worker.Worker", "Successfully registered with master"
    with _spark_process(folder, main, *options, ready=ready, extra=environment) as process:
        yield process


@contextlib.contextmanager
def _spark_process(folder: Path, *arguments: str, ready: str, extra: Mapping[str, str] = {}) -> Iterator[subprocess.Popen[bytes]]:
    """Start a Spark daemon, wait for the line that says it is ready, and end it after the block.

    Executors inherit the environment of their worker. Only spark-submit reads ``SPARK_SUBMIT_OPTS``.
    """
    env = {
        **os.environ,
        **extra,
        CLUSTER: str(folder),
        "SPARK_HOME": SPARK_HOME,
        "SPARK_LOCAL_IP": "127.0.0.1",
        "PYSPARK_PYTHON": sys.executable,
        "JDK_JAVA_OPTIONS": os.environ["SPARK_SUBMIT_OPTS"],
    }
    command = [f"{SPARK_HOME}/bin/spark-class", *arguments]
    log = folder / f"{arguments[0]}-{uuid.uuid4().hex}.log"
    streams = {"stdin": subprocess.DEVNULL, "stderr": subprocess.STDOUT}
    with log.open("wb") as output, subprocess.Popen(command, env=env, cwd=folder, stdout=output, **streams) as daemon:
        try:
            wait_until(lambda: ready in log.read_text() or daemon.poll() is not None, log.read_text)
            assert daemon.poll() is None, f"{arguments[0]} ended: {log.read_text()}"
            yield daemon
        finally:
            daemon.terminate()
            daemon.wait(60)
