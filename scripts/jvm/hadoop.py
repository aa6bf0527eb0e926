"""HDFS and YARN on 127.0.0.1, for the tests and experiments. ``make hadoop`` runs both until Ctrl-C.

Each daemon of Hadoop is a JVM of its own: NameNode and two DataNodes of HDFS; ResourceManager and two NodeManagers of YARN, on
127.0.0.1 and 127.0.0.2. Everything listens on loopback addresses. Their jars are one with Hadoop's daemons, and PySpark's own.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any
from xml.sax.saxutils import escape

from daemon import Daemon, build_java_command, find_free_ports, wait_until
from jars import WORK, fetch_jars, find_java_tool

HOSTS = ("127.0.0.1", "127.0.0.2")
HELD = "held"  # a queue whose applications wait until they are moved into another one
_SPARK_NAMES = ("hadoop-client-api", "hadoop-client-runtime", "log4j-", "slf4j-api", "jcl-over-slf4j")
_OPENED = ("--add-opens", "java.base/java.lang=ALL-UNNAMED")  # which Hadoop 3.4 takes for granted
_MAIN = {  # the class and the heap of each kind of daemon
    "namenode": ("org.apache.hadoop.hdfs.server.namenode.NameNode", "192m"),
    "datanode": ("org.apache.hadoop.hdfs.server.datanode.DataNode", "160m"),
    "resourcemanager": ("org.apache.hadoop.yarn.server.resourcemanager.ResourceManager", "256m"),
    "nodemanager": ("org.apache.hadoop.yarn.server.nodemanager.NodeManager", "192m"),
}
_SPARK = """\
spark.yarn.jars local:{jars}/*
spark.yarn.am.memory 512m
spark.driver.memory 600m
spark.executor.memory 600m
spark.executor.instances 1
"""
_LOG4J = """\
rootLogger.level = warn
rootLogger.appenderRef.console.ref = console
appender.console.type = Console
appender.console.name = console
appender.console.target = SYSTEM_ERR
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{HH:mm:ss.SSS} %p %c{1}: %m%n%ex
"""


@dataclass(frozen=True)
class Hdfs:
    """A running HDFS: its URI, and host and port of its WebHDFS. ``conf`` is the folder for HADOOP_CONF_DIR, of YARN, too."""

    folder: Path
    port: int
    web_port: int

    @property
    def uri(self) -> str:
        return f"hdfs://127.0.0.1:{self.port}"

    @property
    def web_uri(self) -> str:
        return f"webhdfs://127.0.0.1:{self.web_port}"

    @property
    def conf(self) -> Path:
        return self.folder / "conf"

    @property
    def environment(self) -> dict[str, str]:
        """The variables with which clients find it."""
        return {"HADOOP_CONF_DIR": str(self.conf)}


@dataclass(frozen=True)
class Yarn:
    """A running YARN: the address of its ResourceManager's REST API, and its HDFS."""

    folder: Path
    url: str
    hdfs: Hdfs

    def connection(self, **more: str) -> str:
        """Return a Spark connection of Airflow for cluster mode, as JSON; ``more`` goes into its extra."""
        extra = {"deploy-mode": "cluster", "yarn_resourcemanager_webapp_address": self.url, **more}
        return json.dumps({"conn_type": "spark", "host": "yarn", "extra": extra})

    @property
    def environment(self) -> dict[str, str]:
        """The variables with which spark-submit submits here: Spark's jars and Python are at the same path everywhere."""
        python = os.environ.get("PYSPARK_PYTHON", sys.executable)
        return {**self.hdfs.environment, "SPARK_CONF_DIR": str(self.folder / "spark"), "PYSPARK_PYTHON": python}


class HdfsProcesses:
    """Start and end HDFS with its data in ``folder``: a NameNode and two DataNodes.

    Each file has two replicas. With one, clients wait half a second for most small files: the NameNode has not yet heard of the
    only replica when they ask it to close the file.

    :param keeps_classes: write the classes that they load to files in ``.work`` when they end; there is one DataNode then.
    """

    def __init__(self, folder: Path, *, keeps_classes: bool = False) -> None:
        ports = find_free_ports(2)
        self.hdfs = Hdfs(folder, *ports)
        self._formatting = _command("namenode", self.hdfs, "-format", "-nonInteractive", "-force")
        self.name_node = _daemon("namenode", self.hdfs, keeps_classes=keeps_classes)
        self.data_nodes = [self._data_node(number, keeps_classes) for number in range(1 if keeps_classes else 2)]
        self.hdfs.conf.mkdir(parents=True)
        (self.hdfs.conf / "log4j2.properties").write_text(_LOG4J)
        _write_properties(self.hdfs.conf / "core-site.xml", _core_properties(self.hdfs))
        _write_properties(self.hdfs.conf / "hdfs-site.xml", _hdfs_properties(folder, ports[1]))

    def __enter__(self) -> HdfsProcesses:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def start(self) -> None:
        """Start all, and wait until files can be written. The first start formats the NameNode's folder."""
        if not (self.hdfs.folder / "name").exists():
            done = subprocess.run(self._formatting, capture_output=True, text=True, check=False)
            if done.returncode:
                raise RuntimeError(f"the NameNode's folder could not be formatted: {done.stdout}{done.stderr}")
        _start_all(self.is_ready, "HDFS", [self.name_node, *self.data_nodes])

    def stop(self) -> None:
        """End all."""
        for node in self.data_nodes:
            node.stop()
        self.name_node.stop()

    def is_ready(self) -> bool:
        """Return whether files can be written."""
        query = "Hadoop:service=NameNode,name=FSNamesystemState"
        beans = _ask(f"http://127.0.0.1:{self.hdfs.web_port}/jmx?qry={query}").get("beans", ())
        count = len(self.data_nodes)
        return any(bean["NumLiveDataNodes"] == count and bean["FSState"] == "Operational" for bean in beans)

    def _data_node(self, number: int, keeps_classes: bool) -> Daemon:
        ports = find_free_ports(3)
        own = {
            "data.dir": (self.hdfs.folder / f"data-{number}").as_uri(),
            "address": f"127.0.0.1:{ports[0]}",
            "http.address": f"127.0.0.1:{ports[1]}",
            "ipc.address": f"127.0.0.1:{ports[2]}",
        }
        arguments = [part for name, value in own.items() for part in ("-D", f"dfs.datanode.{name}={value}")]
        return _daemon(f"datanode-{number}", self.hdfs, *arguments, keeps_classes=keeps_classes)


class YarnProcesses:
    """Start and end YARN on an HDFS that runs: a ResourceManager, and NodeManagers on :data:`HOSTS`.

    :param environment: variables of the NodeManagers, which containers have, too.
    :param keeps_classes: as for HDFS; there is one NodeManager then.
    """

    def __init__(self, folder: Path, hdfs: Hdfs, environment: Mapping[str, str] = {}, *, keeps_classes: bool = False) -> None:
        ports = find_free_ports(5)
        self.yarn = Yarn(folder, f"http://127.0.0.1:{ports[4]}", hdfs)
        self.resource_manager = _daemon("resourcemanager", hdfs, keeps_classes=keeps_classes)
        hosts = HOSTS[:1] if keeps_classes else HOSTS
        self.node_managers = [self._node(number, host, environment, keeps_classes) for number, host in enumerate(hosts)]
        names = (*_JAVA_NAMES, *environment)
        _write_properties(hdfs.conf / "yarn-site.xml", _yarn_properties(folder, hdfs.conf, ports, names))
        _write_properties(hdfs.conf / "capacity-scheduler.xml", _QUEUES)
        (folder / "spark").mkdir(parents=True)
        (folder / "spark" / "spark-defaults.conf").write_text(_SPARK.format(jars=_find_spark_jars()))

    def __enter__(self) -> YarnProcesses:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def start(self) -> None:
        """Start all, and wait until containers can be started."""
        _start_all(self.is_ready, "YARN", [self.resource_manager, *self.node_managers])

    def stop(self) -> None:
        """End all. A NodeManager ends its containers first."""
        for node in self.node_managers:
            node.stop()
        self.resource_manager.stop()

    def is_ready(self) -> bool:
        """Return whether all nodes run, and applications can be asked for."""
        if _ask(f"{self.yarn.url}/ws/v1/cluster/info").get("clusterInfo", {}).get("haState") != "ACTIVE":
            return False
        nodes = (_ask(f"{self.yarn.url}/ws/v1/cluster/nodes?states=RUNNING").get("nodes") or {}).get("node") or ()
        return len(nodes) == len(self.node_managers)

    def _node(self, number: int, host: str, environment: Mapping[str, str], keeps_classes: bool) -> Daemon:
        folder = self.yarn.folder / f"node-{number}"
        ports = find_free_ports(3)
        own = {
            "hostname": host,
            "bind-host": host,
            "address": f"{host}:{ports[0]}",
            "localizer.address": f"{host}:{ports[1]}",
            "webapp.address": f"{host}:{ports[2]}",
            "local-dirs": folder / "local",
            "log-dirs": folder / "logs",
        }
        arguments = [part for name, value in own.items() for part in ("-D", f"yarn.nodemanager.{name}={value}")]
        java = {"JAVA_HOME": str(_find_java_home()), "SPARK_LOCAL_IP": host}
        environment = {**os.environ, **java, **environment}
        return _daemon(f"nodemanager-{number}", self.yarn.hdfs, *arguments, environment=environment, keeps_classes=keeps_classes)


_JAVA_NAMES = ("JAVA_HOME", "SPARK_LOCAL_IP")
_QUEUES = {
    "yarn.scheduler.capacity.root.queues": f"default,{HELD}",
    "yarn.scheduler.capacity.root.default.capacity": 100,
    f"yarn.scheduler.capacity.root.{HELD}.capacity": 0,
    f"yarn.scheduler.capacity.root.{HELD}.maximum-capacity": 0,
    f"yarn.scheduler.capacity.root.{HELD}.maximum-applications": 100,  # derived from the capacity otherwise
    "yarn.scheduler.capacity.maximum-am-resource-percent": 0.8,
}


def _start_all(is_ready: Callable[[], object], name: str, daemons: Sequence[Daemon]) -> None:
    try:
        for each in daemons:
            each.start()
        wait_until(is_ready, name, daemons)
    except BaseException:
        for each in reversed(daemons):
            each.stop()
        raise


def _core_properties(hdfs: Hdfs) -> dict[str, object]:
    return {"fs.defaultFS": hdfs.uri, "hadoop.tmp.dir": hdfs.folder / "tmp"}


def _hdfs_properties(folder: Path, web_port: int) -> dict[str, object]:
    return {
        "dfs.replication": 2,
        "dfs.namenode.name.dir": (folder / "name").as_uri(),
        "dfs.namenode.http-address": f"127.0.0.1:{web_port}",
        "dfs.namenode.handler.count": 4,
        "dfs.namenode.service.handler.count": 2,
        "dfs.namenode.safemode.extension": 0,
        "dfs.namenode.edits.noeditlogchannelflush": "true",  # its files need not survive a power cut
        "dfs.datanode.hostname": "127.0.0.1",
        "dfs.datanode.handler.count": 2,
        "dfs.datanode.directoryscan.interval": -1,
        "dfs.block.scanner.volume.bytes.per.second": 0,
        "dfs.heartbeat.interval": 1,
    }


def _yarn_properties(folder: Path, conf: Path, ports: Sequence[int], inherited: Sequence[str]) -> dict[str, object]:
    names = ("address", "scheduler.address", "resource-tracker.address", "admin.address", "webapp.address")
    addresses = {f"yarn.resourcemanager.{name}": f"127.0.0.1:{port}" for name, port in zip(names, ports, strict=True)}
    return addresses | {
        "yarn.resourcemanager.hostname": "127.0.0.1",
        "yarn.resourcemanager.bind-host": "127.0.0.1",
        "yarn.resourcemanager.configuration.provider-class": "org.apache.hadoop.yarn.FileSystemBasedConfigurationProvider",
        "yarn.resourcemanager.configuration.file-system-based-store": conf.as_uri(),
        "yarn.resourcemanager.recovery.enabled": "true",  # applications go on when it is started again
        "yarn.resourcemanager.store.class": "org.apache.hadoop.yarn.server.resourcemanager.recovery.FileSystemRMStateStore",
        "yarn.resourcemanager.fs.state-store.uri": (folder / "state").as_uri(),
        "yarn.resourcemanager.nm.liveness-monitor.expiry-interval-ms": 15000,
        "yarn.resourcemanager.nodemanagers.heartbeat-interval-ms": 250,
        "yarn.resourcemanager.client.thread-count": 4,
        "yarn.resourcemanager.scheduler.client.thread-count": 4,
        "yarn.resourcemanager.resource-tracker.client.thread-count": 4,
        "yarn.scheduler.minimum-allocation-mb": 128,
        "yarn.nodemanager.resource.memory-mb": 8192,
        "yarn.nodemanager.resource.cpu-vcores": 4,
        "yarn.nodemanager.vmem-check-enabled": "false",
        "yarn.nodemanager.disk-health-checker.enable": "false",
        # Which is looked at once all the same: a node with a disk that is 90 % full would take no containers.
        "yarn.nodemanager.disk-health-checker.max-disk-utilization-per-disk-percentage": 100,
        "yarn.nodemanager.container-manager.thread-count": 4,
        "yarn.nodemanager.env-whitelist": ",".join(inherited),
    }


def _write_properties(file: Path, properties: Mapping[str, object]) -> None:
    lines = (f"<property><name>{name}</name><value>{escape(str(value))}</value></property>" for name, value in properties.items())
    file.write_text("\n".join(("<configuration>", *lines, "</configuration>\n")))


def _ask(url: str) -> dict[str, Any]:
    """Return a JSON object of a server; an empty one while it does not respond."""
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            found: dict[str, Any] = json.load(response)
            return found
    except (OSError, ValueError):
        return {}


def _daemon(
    name: str, hdfs: Hdfs, *arguments: str, environment: Mapping[str, str] | None = None, keeps_classes: bool = False
) -> Daemon:
    return Daemon(_command(name, hdfs, *arguments, keeps_classes=keeps_classes), hdfs.folder / f"{name}.log", environment)


def _command(name: str, hdfs: Hdfs, *arguments: str, keeps_classes: bool = False) -> list[str]:
    """Return the command of a daemon.

    Java writes no file of classes with a folder on the class path, but uses one when a folder is added to the class path.
    """
    kind = name.partition("-")[0]
    main, heap = _MAIN[kind]
    classes = WORK / f"{kind}.jsa"
    spark = [jar for jar in sorted(_find_spark_jars().iterdir()) if jar.name.startswith(_SPARK_NAMES)]
    jars = [*spark, *sorted(fetch_jars("hadoop").iterdir())]
    own = (f"-Dlog4j2.configurationFile={hdfs.conf}/log4j2.properties", *_OPENED)
    if keeps_classes:
        files = ("core", "hdfs") if kind in ("namenode", "datanode") else ("core", "hdfs", "yarn")
        configuration = [part for each in files for part in ("-conf", str(hdfs.conf / f"{each}-site.xml"))]
        options = (*own, f"-XX:ArchiveClassesAtExit={classes}")
        return build_java_command(classes, jars, heap, main, *configuration, *arguments, options=options)
    return build_java_command(classes, [*jars, hdfs.conf], heap, main, *arguments, options=own)


def write_classes() -> None:
    """Write the classes of each daemon to a file in ``.work``, when its JVM ends."""
    for kind in _MAIN:
        (WORK / f"{kind}.jsa").unlink(missing_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="mlsql-hadoop-") as folder,
        HdfsProcesses(Path(folder), keeps_classes=True) as hdfs,
        YarnProcesses(Path(folder) / "yarn", hdfs.hdfs, keeps_classes=True),
    ):
        pass


def _find_spark_jars() -> Path:
    import pyspark

    return Path(pyspark.__file__).parent / "jars"


def _find_java_home() -> Path:
    return Path(shutil.which(find_java_tool("java")) or "java").resolve().parents[1]


def main() -> None:
    """Run HDFS and YARN until Ctrl-C, with their data in a temporary folder."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mlsql-hadoop-")))
        hdfs = stack.enter_context(HdfsProcesses(folder)).hdfs
        yarn = stack.enter_context(YarnProcesses(folder / "yarn", hdfs)).yarn
        variables = yarn.environment | {"AIRFLOW_CONN_YARN": yarn.connection(job_path=f"{hdfs.uri}/jobs")}
        exports = "\n".join(f"  export {name}={shlex.quote(value)}" for name, value in variables.items())
        print(f"""\
HDFS and YARN run; Ctrl-C ends them and removes their data.

  HDFS        {hdfs.uri}
  WebHDFS     {hdfs.web_uri}; with a browser http://127.0.0.1:{hdfs.web_port}
  YARN        {yarn.url}, two NodeManagers
  logs        {hdfs.folder}/*.log; those of containers in {yarn.folder}/node-<n>/logs

For `make airflow`, in a shell where this is set; the connection yarn is for cluster mode:

{exports}
""")
        with contextlib.suppress(KeyboardInterrupt):
            signal.pause()
    print("ended")


if __name__ == "__main__":
    main()
