"""The keeper of a test run: it starts the services that all processes of the run share, and ends every process of the run."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import sys
import threading
import traceback
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from multiprocessing.connection import Connection, Listener
from pathlib import Path
from types import FrameType
from typing import Any

from support.reaper import end_processes
from support.shared_run import RUN, SOCKET

GRACE_SECONDS = 4.0
ENDING = threading.Event()  # set when all processes of the run are about to be ended


Start = Callable[[str], Any]  # returns another service


@contextmanager
def _broker(folder: Path, start: Start) -> Iterator[Any]:
    from broker import BrokerProcess

    with BrokerProcess(folder) as process:
        yield process.broker


@contextmanager
def _hdfs(folder: Path, start: Start) -> Iterator[Any]:
    from hadoop import HdfsProcesses

    with HdfsProcesses(folder) as processes:
        yield processes.hdfs


@contextmanager
def _yarn(folder: Path, start: Start) -> Iterator[Any]:
    from hadoop import YarnProcesses

    from support.yarn import reviving

    # containers belong to the run, and their JVMs start as quickly as those of spark-submit
    environment = {RUN: os.environ[RUN], "JDK_JAVA_OPTIONS": os.environ["SPARK_SUBMIT_OPTS"]}
    with YarnProcesses(folder, start("hdfs"), environment) as processes, reviving(processes, ENDING):
        yield processes.yarn


@contextmanager
def _s3_server(folder: Path, start: Start) -> Iterator[str]:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@contextmanager
def _azure_server(folder: Path, start: Start) -> Iterator[str]:
    from support.object_servers import azurite

    with azurite(folder) as connection:
        yield connection


@contextmanager
def _google_server(folder: Path, start: Start) -> Iterator[str]:
    from support.object_servers import google_emulator

    with google_emulator(heeds_conditions=True) as address:
        yield address


@contextmanager
def _mlflow_server(folder: Path, start: Start) -> Iterator[str]:
    from support.mlflow_server import mlflow_server

    with mlflow_server(folder) as uri:
        yield uri


@contextmanager
def _cluster(folder: Path, start: Start) -> Iterator[Any]:
    from support.cluster import Cluster, standalone_cluster

    with standalone_cluster(folder, ("127.0.0.1", "127.0.0.2"), cores=2) as url:
        yield Cluster(url, folder)


@contextmanager
def _airflow_database(folder: Path, start: Start) -> Iterator[Path]:
    from support.airflow import migrated_database

    yield migrated_database(folder)


@contextmanager
def _deployment(folder: Path, start: Start) -> Iterator[Any]:
    from support.deployment import deployed

    with deployed(folder, start("airflow_database")) as deployment:
        yield deployment


SERVICES: dict[str, Callable[[Path, Start], AbstractContextManager[Any]]] = {
    "broker": _broker,
    "hdfs": _hdfs,
    "yarn": _yarn,
    "s3_server": _s3_server,
    "azure_server": _azure_server,
    "google_server": _google_server,
    "mlflow_server": _mlflow_server,
    "cluster": _cluster,
    "airflow_database": _airflow_database,
    "deployment": _deployment,
}


class Services:
    """The services that have been started, by their names."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._locks: defaultdict[str, threading.RLock] = defaultdict(threading.RLock)
        self._started: dict[str, tuple[Any, str | None]] = {}
        self._running: dict[str, ExitStack] = {}
        self._uses: Counter[str] = Counter()

    def respond(self, connection: Connection) -> None:
        """Respond to one request, a name and a number or None, with the result and None, or None and an error."""
        with connection, contextlib.suppress(EOFError, OSError):
            name, users = connection.recv()
            if users is None:
                connection.send(self._find(name))
            else:
                connection.send((None, None))
                self._count_use(name, users)

    def start(self, name: str) -> Any:
        """Return a service, which is started unless it runs already."""
        value, error = self._find(name)
        if error is not None:
            raise RuntimeError(error)
        return value

    def _find(self, name: str) -> tuple[Any, str | None]:
        with self._locks[name]:
            if name not in self._started:
                folder = self._folder / name
                folder.mkdir(mode=0o700)
                self._running[name] = ExitStack()
                try:
                    self._started[name] = self._running[name].enter_context(SERVICES[name](folder, self.start)), None
                except BaseException:
                    self._started[name] = None, traceback.format_exc()
            return self._started[name]

    def _count_use(self, name: str, users: int) -> None:
        with self._locks[name]:
            self._uses[name] += 1
            if self._uses[name] == users and name in self._running:
                self._running[name].close()


def _serve(services: Services, listener: Listener) -> None:
    while True:
        connection = listener.accept()
        threading.Thread(target=services.respond, args=(connection,), daemon=True).start()


def _wait_for_the_end(parent: int) -> None:
    """Return when standard input or the parent process has ended, or with SIGTERM."""

    def end(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, end)
    with contextlib.suppress(KeyboardInterrupt):
        while os.getppid() == parent:
            ready, _, _ = select.select([sys.stdin.buffer], [], [], 1)
            if ready and not sys.stdin.buffer.read(1):
                return


def main() -> None:
    """Keep services until the run's first process ends."""
    parent = os.getppid()
    folder = Path(os.environ[RUN])
    listener = Listener(str(folder / SOCKET), "AF_UNIX", backlog=64)
    threading.Thread(target=_serve, args=(Services(folder), listener), daemon=True).start()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    _wait_for_the_end(parent)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    ENDING.set()
    end_processes(RUN, str(folder), GRACE_SECONDS)
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(0)  # threads may wait for services that have ended
