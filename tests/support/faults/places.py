"""Where cases run: local Spark, a standalone cluster with two workers, YARN with HDFS. Each starts when a case first needs it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

import httpx
from broker import BrokerProcess
from hadoop import HOSTS, HdfsProcesses, YarnProcesses

from support import shared_run
from support.cluster import standalone_cluster
from support.faults import storages
from support.faults.invariants import check_left
from support.faults.proxy import FaultyProxy
from support.faults.services import Service, SparkWorker, hadoop_daemons, wait_for_ready
from support.faults.storages import LocalStorage, RemoteStorage, Storage
from support.shared_run import RUN
from support.yarn import submitting

LOCAL, STANDALONE, YARN = "local", "standalone", "yarn"
BUCKET = "faults"
_LEFT = r"mlsql(?!-models-\d+$).*"  # models are copied once for a node, and kept


class Place(Protocol):
    """Where a job runs.

    :param services: what the place consists of.
    :param environment: variables of the tries, among them the connection ``faults``.
    :param end_seconds: after which all processes of a job have ended, once its task is over.
    """

    services: Mapping[str, Service]
    environment: Mapping[str, str]
    end_seconds: float

    def heal(self) -> None:
        """Wait until everything is there again."""

    def check_left(self) -> Iterator[str]:
        """Yield what jobs have left here, and remove it."""


class LocalPlace:
    """Spark in the worker."""

    services: Mapping[str, Service] = {}
    environment: Mapping[str, str] = {"AIRFLOW_CONN_FAULTS": json.dumps({"conn_type": "spark", "host": "local[2]"})}
    end_seconds = 60.0

    def heal(self) -> None:
        pass

    def check_left(self) -> Iterator[str]:
        yield from ()


class StandalonePlace:
    """A standalone cluster: a master and a worker on each of two addresses."""

    end_seconds = 90.0

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        self._temporary, work = folder / "tmp", folder / "work"  # beside each other: workers remove empty folders where they work
        for each in (self._temporary, work):
            each.mkdir(parents=True)
        master = stack.enter_context(standalone_cluster(work, hosts=()))
        own = {"TMPDIR": str(self._temporary)}
        workers = [SparkWorker(work, master, host, own) for host in HOSTS]
        for worker in workers:
            worker.start()
            stack.callback(worker.kill)
        self.services: Mapping[str, Service] = dict(zip(("worker daemon", "other worker daemon"), workers, strict=True))
        self.environment = {"AIRFLOW_CONN_FAULTS": json.dumps({"conn_type": "spark", "host": master})}

    def heal(self) -> None:
        pass  # a worker has registered before it counts as started

    def check_left(self) -> Iterator[str]:
        yield from check_left(self._temporary, _LEFT)


class YarnPlace:
    """YARN with two nodes, on an HDFS that has all files of a case."""

    end_seconds = 120.0

    def __init__(self, stack: ExitStack, hdfs: HdfsProcesses, folder: Path) -> None:
        self._temporary = folder / "tmp"
        self._temporary.mkdir(parents=True)
        inherited = {RUN: os.environ[RUN], "JDK_JAVA_OPTIONS": os.environ["SPARK_SUBMIT_OPTS"], "TMPDIR": str(self._temporary)}
        processes = stack.enter_context(YarnProcesses(folder / "yarn", hdfs.hdfs, inherited))
        self.services: Mapping[str, Service] = stack.enter_context(hadoop_daemons(hdfs, processes))
        self._processes, self._hdfs = processes, storages.open_webhdfs(hdfs.hdfs.web_port)
        self.environment = submitting(processes.yarn)
        self.environment["AIRFLOW_CONN_FAULTS"] = self.environment.pop("AIRFLOW_CONN_YARN")

    def heal(self) -> None:
        wait_for_ready(self._processes.is_ready, "the nodes of YARN")

    def check_left(self) -> Iterator[str]:
        applications = f"{self._processes.yarn.url}/ws/v1/cluster/apps"
        for each in (httpx.get(applications, timeout=60).json()["apps"] or {}).get("app", ()):
            if each["state"] not in ("FINISHED", "FAILED", "KILLED"):
                yield f"an application is left, {each['state']}"
                httpx.put(f"{applications}/{each['id']}/state", json={"state": "KILLED"}, timeout=60)
        for path in self._hdfs.glob("/user/*/.sparkStaging/*"):
            yield f"{path.rpartition('/')[2]} is left in .sparkStaging of HDFS"
            self._hdfs.rm(path, recursive=True)
        yield from check_left(self._temporary, _LEFT)


class Services:
    """All that the cases of a campaign share, below a folder."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        self._stack, self.folder = stack, folder
        self._places: dict[str, Place] = {}
        self._broker: BrokerProcess | None = None
        self._hdfs: HdfsProcesses | None = None
        self._proxies: dict[str, FaultyProxy] = {}
        self._systems: dict[str, Any] = {}

    def place(self, name: str) -> Place:
        """Return a place, which is started unless it runs already."""
        if name not in self._places:
            if name == LOCAL:
                self._places[name] = LocalPlace()
            elif name == STANDALONE:
                self._places[name] = StandalonePlace(self._stack, self.folder / name)
            else:
                self._places[name] = YarnPlace(self._stack, self.hdfs(), self.folder / name)
        return self._places[name]

    def broker(self) -> BrokerProcess:
        """Return the broker."""
        if self._broker is None:
            self._broker = self._stack.enter_context(BrokerProcess(self.folder / "broker"))
        return self._broker

    def hdfs(self) -> HdfsProcesses:
        """Return HDFS."""
        if self._hdfs is None:
            self._hdfs = self._stack.enter_context(HdfsProcesses(self.folder / "hdfs"))
        return self._hdfs

    def proxy(self, storage: str) -> FaultyProxy:
        """Return the proxy between jobs and ``s3`` or ``webhdfs``."""
        if storage not in self._proxies:
            server = shared_run.start_service("s3_server") if storage == "s3" else f"http://127.0.0.1:{self.hdfs().hdfs.web_port}"
            self._systems[storage] = storages.open_s3(server) if storage == "s3" else self._webhdfs()
            if storage == "s3":
                self._systems[storage].mkdir(BUCKET)
            self._proxies[storage] = self._stack.enter_context(FaultyProxy(server))
        return self._proxies[storage]

    def open_storage(self, kind: str, folder: Path) -> Storage:
        """Return the storage of a case's models.

        :param kind: ``local``, ``small disk``, ``s3``, ``webhdfs`` or ``hdfs``.
        :param folder: of the case.
        """
        copies = folder / "copies"
        if kind == "hdfs":
            return RemoteStorage(f"{self.hdfs().hdfs.uri}/{folder.name}", self._webhdfs(), f"/{folder.name}", copies)
        if kind == "webhdfs":
            authority = self.proxy(kind).url.partition("://")[2]
            return RemoteStorage(f"webhdfs://{authority}/{folder.name}", self._systems[kind], f"/{folder.name}", copies)
        if kind == "s3":
            self.proxy(kind)
            return RemoteStorage(f"s3://{BUCKET}/{folder.name}", self._systems[kind], f"{BUCKET}/{folder.name}", copies)
        return LocalStorage(folder / "models")

    def _webhdfs(self) -> Any:
        return storages.open_webhdfs(self.hdfs().hdfs.web_port)
