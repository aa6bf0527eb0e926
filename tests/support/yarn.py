"""The applications that a test runs on the real YARN, its nodes, and failures of both."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
import pyspark
from hadoop import HELD, Yarn, YarnProcesses

from support.reaper import find_processes
from support.shared_run import RUN
from support.waiting import wait_until

RESOURCE_MANAGER = "ResourceManager"
_REVIVAL_SECONDS = 0.5
_HELD = {"spark.yarn.queue": HELD}  # properties of an application that waits until it is released
_CLASSES = "spark.driver.extraClassPath", "spark.executor.extraClassPath"
_SMALL = {"spark.yarn.am.memory": "512m", "spark.driver.memory": "600m", "spark.executor.memory": "600m"}


@dataclass(frozen=True)
class Applications:
    """The cluster, and the applications that were submitted since the test began."""

    yarn: Yarn
    earlier: frozenset[str] = field(default_factory=frozenset)

    @classmethod
    def of(cls, yarn: Yarn) -> Applications:
        return cls(yarn, frozenset(cls(yarn).submitted))

    @property
    def environment(self) -> dict[str, str]:
        """The variables with which spark-submit submits here by the connection ``yarn``."""
        return submitting(self.yarn)

    @property
    def held(self) -> dict[str, str]:
        """Spark properties of an application that waits for :meth:`release`; no process of it runs until then."""
        return dict(_HELD)

    @property
    def submitted(self) -> list[str]:
        """The applications in the order of their submission."""
        return sorted({app["id"] for app in _list(self._ask("apps"), "app")} - self.earlier)

    def state(self, application: str) -> str:
        """Return YARN's state of an application."""
        return str(self.facts(application)["state"])

    def facts(self, application: str) -> dict[str, Any]:
        """Return what YARN knows about an application."""
        found: dict[str, Any] = self._ask(f"apps/{application}")["app"]
        return found

    def release(self, application: str) -> None:
        """Move an application that waits into the queue from which applications run."""
        url = f"{self.yarn.url}/ws/v1/cluster/apps/{application}/queue"
        httpx.put(url, json={"queue": "default"}, timeout=60).raise_for_status()

    def log(self, application: str) -> str:
        """Return what the application's driver and executors have printed."""
        files = sorted(self.yarn.folder.glob(f"node-*/logs/{application}/*/std*"))
        return "\n".join(file.read_text(errors="replace") for file in files)

    def processes(self, application: str, number: int | None = None) -> list[psutil.Process]:
        """Return the live processes of an application, or of one of its containers, of which the driver's is the first."""
        numbers = application.removeprefix("application") + "_"  # a ResourceManager that was restarted puts an epoch before them
        found = []
        for process in find_processes(RUN, os.environ[RUN]):
            with contextlib.suppress(psutil.Error):
                name = process.environ().get("CONTAINER_ID", "")
                if numbers in name and (number is None or int(name.rpartition("_")[2]) == number):
                    found.append(process)
        return found

    def lose_executors(self, application: str) -> None:
        """End all containers of an application with SIGKILL, that of its driver excepted."""
        driver = {process.pid for process in self.processes(application, 1)}
        _kill([process for process in self.processes(application) if process.pid not in driver])

    def lose_driver(self, application: str) -> None:
        """End the JVM of an application's driver with SIGKILL, as when its node has no memory left."""
        _kill([process for process in self.processes(application, 1) if process.name() == "java"])

    def lose_node(self, application: str) -> None:
        """Lose the node of the application's driver: its NodeManager and all containers. A NodeManager starts there soon."""
        host = self.processes(application, 1)[0].environ()["NM_HOST"]
        _kill(_find_daemons(f"yarn.nodemanager.hostname={host}"))
        for container in find_processes("NM_HOST", host):
            _kill([container])

    @contextlib.contextmanager
    def away(self) -> Iterator[None]:
        """Kill the ResourceManager; after the block it starts again, with what it knew."""
        sign = self.yarn.folder / f"{RESOURCE_MANAGER}.away"
        sign.touch()
        _kill(_find_daemons(RESOURCE_MANAGER))
        try:
            yield
        finally:
            sign.unlink()

    def is_there(self) -> bool:
        """Return whether the ResourceManager responds, and knows its applications."""
        with contextlib.suppress(httpx.HTTPError):
            return bool(self._ask("info")["clusterInfo"]["haState"] == "ACTIVE")
        return False

    def wait_for_nodes(self, count: int = 2) -> None:
        """Wait until so many nodes run."""
        wait_until(
            lambda: len((self._ask("nodes?states=RUNNING")["nodes"] or {}).get("node", ())) == count, "the nodes", every=0.5
        )

    def _ask(self, path: str) -> Any:
        return httpx.get(f"{self.yarn.url}/ws/v1/cluster/{path}", timeout=60).raise_for_status().json()


def submitting(yarn: Yarn) -> dict[str, str]:
    """Return the variables with which spark-submit submits here, quickly.

    Spark's jars are where they are, on all nodes, and are first on the class path, in the order in which spark-submit has them:
    only so do JVMs take the classes from ``.work/spark.jsa``, which saves an application some ten seconds of CPU. Spark takes
    properties from system properties; ``spark-defaults.conf`` would be a folder on the path.
    """
    jars = Path(os.environ.get("SPARK_HOME", Path(pyspark.__file__).parent)) / "jars"
    (first,) = jars.glob("slf4j-api-*.jar")
    properties = dict.fromkeys(_CLASSES, f"{first}:{jars}/*")
    properties |= {"spark.yarn.jars": f"local:{jars}/*", "spark.executor.instances": "1", **_SMALL}
    options = " ".join(f"-D{name}={value}" for name, value in properties.items())
    return {
        **yarn.hdfs.environment,
        "PYSPARK_PYTHON": yarn.environment["PYSPARK_PYTHON"],
        "SPARK_LOCAL_IP": "127.0.0.1",
        "SPARK_SUBMIT_OPTS": f"{os.environ['SPARK_SUBMIT_OPTS']} {options}",
        "AIRFLOW_CONN_YARN": yarn.connection(),
    }


@contextlib.contextmanager
def reviving(processes: YarnProcesses, ending: threading.Event) -> Iterator[None]:
    """Start daemons again that end during the block, except those that a test keeps away.

    :param ending: set when they end for good.
    """
    is_over = threading.Event()
    daemons = {RESOURCE_MANAGER: processes.resource_manager}
    daemons |= {f"node-{number}": node for number, node in enumerate(processes.node_managers)}

    def revive() -> None:
        while not is_over.wait(_REVIVAL_SECONDS) and not ending.is_set():
            for name, daemon in daemons.items():
                if daemon.has_ended() and not (processes.yarn.folder / f"{name}.away").exists():
                    daemon.stop()
                    daemon.start()

    thread = threading.Thread(target=revive, daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def _list(response: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """Return a list of YARN's REST API, which has none instead of an empty one."""
    return list((response[f"{name}s"] or {}).get(name, ()))


def _find_daemons(end: str) -> Sequence[psutil.Process]:
    """Return the JVMs of Hadoop with an argument that ends with ``end``."""
    found = []
    for process in find_processes(RUN, os.environ[RUN]):
        with contextlib.suppress(psutil.Error):
            command = process.cmdline()
            if command and Path(command[0]).name == "java" and any(part.endswith(end) for part in command):
                found.append(process)
    return found


def _kill(processes: Sequence[psutil.Process]) -> None:
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(processes, timeout=10)
