"""The services that a case may lose: each can be killed, stopped for a while, and started again."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

import psutil
from daemon import Daemon
from daemon import wait_until as wait_for_daemons
from hadoop import HdfsProcesses, YarnProcesses

from support.cluster import running_worker
from support.waiting import wait_until


class Service(Protocol):
    """A server process of its own."""

    @property
    def pid(self) -> int: ...

    def kill(self) -> None:
        """End it with SIGKILL."""

    def start(self) -> None:
        """Start it again, and wait until it serves."""


class SparkWorker:
    """A worker of a standalone cluster."""

    def __init__(self, folder: Path, master: str, host: str, environment: dict[str, str]) -> None:
        self._arguments = folder, master, host, 2, folder, environment
        self._running = ExitStack()
        self.pid = 0

    def start(self) -> None:
        self.pid = self._running.enter_context(running_worker(*self._arguments)).pid

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        self._running.close()


class HadoopDaemon:
    """A daemon of HDFS or YARN.

    :param ports: on how many it listens once it serves.
    :param is_ready: whether the others know that it does.
    """

    def __init__(self, daemon: Daemon, ports: int, is_ready: Callable[[], bool]) -> None:
        self._daemon, self._ports, self._is_ready = daemon, ports, is_ready

    @property
    def pid(self) -> int:
        return self._daemon.pid

    def kill(self) -> None:
        self._daemon.kill()

    def start(self) -> None:
        self._daemon.start()
        wait_for_daemons(lambda: len(listening_ports(self.pid)) >= self._ports and self._is_ready(), "Hadoop", [self._daemon])
        time.sleep(1.0)  # a heartbeat, with which it registers


@contextlib.contextmanager
def hadoop_daemons(hdfs: HdfsProcesses, yarn: YarnProcesses) -> Iterator[dict[str, Service]]:
    """Provide the daemons of a running Hadoop by their names."""
    yield {
        "NameNode": HadoopDaemon(hdfs.name_node, 2, hdfs.is_ready),
        "DataNode": HadoopDaemon(hdfs.data_nodes[0], 3, hdfs.is_ready),
        "ResourceManager": HadoopDaemon(yarn.resource_manager, 5, yarn.is_ready),
        "NodeManager": HadoopDaemon(yarn.node_managers[0], 3, yarn.is_ready),
        "other NodeManager": HadoopDaemon(yarn.node_managers[1], 3, yarn.is_ready),
    }


def listening_ports(pid: int) -> set[int]:
    """Return the TCP ports on which a process listens; none if it has ended."""
    try:
        found = psutil.Process(pid).net_connections("tcp")
    except psutil.Error:
        return set()
    return {each.laddr.port for each in found if each.status == psutil.CONN_LISTEN}


@contextlib.contextmanager
def without(service: Service, *, is_killed: bool) -> Iterator[None]:
    """Have a service killed, or stopped by SIGSTOP, during the block."""
    if is_killed:
        service.kill()
        try:
            yield
        finally:
            service.start()
        return
    process = psutil.Process(service.pid)
    process.suspend()
    try:
        yield
    finally:
        process.resume()


def wait_for_ready(is_ready: Callable[[], bool], name: str) -> None:
    """Wait until a cluster is whole again, before the next case begins."""
    wait_until(is_ready, name, every=0.5)
