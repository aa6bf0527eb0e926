"""A stand-in for YARN: spark-submit as its client has it, the ResourceManager's REST API, and real applications behind both.

``bin/spark-submit`` below the folder takes a submission in cluster mode, copies what YARN would upload, prints what YARN's
client prints and starts the application: the real launcher in a real local Spark, which knows its plan by URI only. States
that the REST API tells come from the processes. Not like YARN: executors are threads of the driver.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
import stat
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psutil
import pyspark

from support.reaper import CLUSTER, ending_processes
from support.shared_run import RUN

SPARK_HOME = Path(pyspark.__file__).parent
APPS = "/ws/v1/cluster/apps"
_CLIENT = """#!{python}
import sys
sys.path[:0] = [{tests!r}]
from pathlib import Path
from support.yarn import submit
sys.exit(submit(Path(__file__).parents[1], sys.argv[1:]))
"""


@dataclass
class Yarn:
    """The cluster. ``hold`` keeps new applications from starting; ``away`` makes the REST API respond with an error;
    ``asked`` counts requests about an application.
    """

    folder: Path
    url: str = ""
    away: bool = False
    asked: int = 0
    killed: list[str] = field(default_factory=list)

    @property
    def connection(self) -> str:
        """The Spark connection, as JSON."""
        extra = {"deploy-mode": "cluster", "yarn_resourcemanager_webapp_address": self.url}
        return json.dumps({"conn_type": "spark", "host": "yarn", "extra": extra})

    @property
    def environment(self) -> dict[str, str]:
        """The variables with which a worker submits here by the connection ``yarn``."""
        return {"AIRFLOW_CONN_YARN": self.connection, "SPARK_HOME": str(self.folder), "YARN_CONF_DIR": str(self.folder)}

    @property
    def submitted(self) -> list[str]:
        """The applications in the order of their submission."""
        return sorted(path.name for path in (self.folder / "apps").iterdir() if (path / "facts.json").exists())

    def facts(self, application: str) -> dict[str, Any]:
        """Return what was submitted: ``args``, ``conf``, ``app_args`` and the like."""
        found: dict[str, Any] = json.loads((self.folder / "apps" / application / "facts.json").read_text())
        return found

    def log(self, application: str) -> str:
        """Return what the driver has printed."""
        file = self.folder / "apps" / application / "log"
        return file.read_text() if file.exists() else ""

    def hold(self) -> None:
        (self.folder / "hold").touch()

    def release(self) -> None:
        (self.folder / "hold").unlink()

    def pid(self, application: str) -> int | None:
        """Return the first process of the application, once it has been started."""
        file = self.folder / "apps" / application / "pid"
        return int(file.read_text()) if file.exists() and file.read_text() else None

    def processes(self, application: str) -> list[psutil.Process]:
        """Return the live processes that YARN would end with the application: those of its session."""
        leader = self.pid(application)
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                if leader is not None and os.getsid(process.pid) == leader and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found

    def lose(self, application: str) -> None:
        """End the application from outside, as when its node is lost."""
        while processes := self.processes(application):  # one may start another meanwhile
            for process in processes:
                with contextlib.suppress(psutil.Error):
                    process.kill()

    def kill(self, application: str) -> None:
        """End the application as YARN does: with SIGTERM and, soon after, SIGKILL."""
        self.killed.append(application)
        (self.folder / "apps" / application / "killed").touch()
        for sent in (signal.SIGTERM, signal.SIGKILL):
            for process in self.processes(application):
                with contextlib.suppress(psutil.Error):
                    process.send_signal(sent)
            time.sleep(0.25)  # YARN's own default between both

    def state(self, application: str) -> dict[str, Any]:
        """Return the application as the REST API describes it."""
        folder, facts = self.folder / "apps" / application, self.facts(application)
        state, final, told = "ACCEPTED", "UNDEFINED", ""
        if (folder / "killed").exists():
            is_over = not self.processes(application)
            state, final = ("KILLED", "KILLED") if is_over else ("RUNNING", "UNDEFINED")
            told = f"Application {application} was killed by user test" if is_over else ""
        elif (folder / "exit").exists():
            code = int((folder / "exit").read_text())
            state, final = "FINISHED", "SUCCEEDED" if code == 0 else "FAILED"
            told = "" if code == 0 else f"User application exited with status {code}"
        elif self.pid(application) is not None:
            state = "RUNNING"
            if not self.processes(application) and not (folder / "exit").exists():
                state, final, told = "FAILED", "FAILED", f"AM Container for {application} exited with  exitCode: 137"
        url = f"{self.url}/proxy/{application}/"
        tags = facts["conf"].get("spark.yarn.tags", "").lower()
        return {
            "id": application,
            "name": facts["name"],
            "applicationTags": tags,
            "state": state,
            "finalStatus": final,
            "diagnostics": told,
            "trackingUrl": url,
        }


@contextlib.contextmanager
def yarn_cluster(folder: Path) -> Iterator[Yarn]:
    """Provide a cluster, and end all of its applications after the block."""
    cluster = Yarn(folder)
    with serving(cluster, _handler(cluster), _CLIENT):
        yield cluster


class JsonHandler(BaseHTTPRequestHandler):
    """A handler that responds in JSON, and logs nothing."""

    def answer(self, code: int, body: Any) -> None:
        text = json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextlib.contextmanager
def serving(cluster: Yarn, handler: type[JsonHandler], client: str) -> Iterator[None]:
    """Provide the cluster's API and its spark-submit, and end all of its applications after the block."""
    (cluster.folder / "bin").mkdir(parents=True)
    (cluster.folder / "apps").mkdir()
    program = cluster.folder / "bin" / "spark-submit"
    program.write_text(client.format(python=sys.executable, tests=str(Path(__file__).parents[1])))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    cluster.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        with ending_processes(CLUSTER, str(cluster.folder.resolve())):
            yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _handler(cluster: Yarn) -> type[JsonHandler]:
    class Handler(JsonHandler):
        def do_GET(self) -> None:
            asked = urlsplit(self.path)
            if cluster.away:
                self.answer(503, {"message": "no active ResourceManager"})
            elif asked.path == APPS:
                self.answer(200, {"apps": self._found(parse_qs(asked.query))})
            elif (name := asked.path.removeprefix(APPS + "/")) in cluster.submitted:
                cluster.asked += 1
                self.answer(200, {"app": cluster.state(name)})
            else:
                self.answer(404, {"RemoteException": {"exception": "NotFoundException"}})

        def do_PUT(self) -> None:
            name = self.path.removeprefix(APPS + "/").removesuffix("/state")
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            assert asked == {"state": "KILLED"}
            cluster.kill(name)
            self.answer(202, cluster.state(name))

        def _found(self, query: dict[str, list[str]]) -> dict[str, Any] | None:
            (tag,), (states,) = query["applicationTags"], query["states"]
            apps = [cluster.state(name) for name in cluster.submitted]
            found = [app for app in apps if tag in app["applicationTags"].split(",") and app["state"] in states.split(",")]
            return {"app": found} if found else None  # so YARN has it

    return Handler


@dataclass(frozen=True)
class Submitted:
    """The arguments of a call of spark-submit."""

    arguments: list[str]
    options: dict[str, str]
    conf: dict[str, str]
    application: str
    app_args: list[str]

    @classmethod
    def of(cls, arguments: list[str]) -> Submitted:
        options: dict[str, str] = {}
        conf: dict[str, str] = {}
        rest = list(arguments)
        while rest[0].startswith("--"):
            name, value = rest.pop(0), rest.pop(0)
            if name == "--conf":
                conf[value.partition("=")[0]] = value.partition("=")[2]
            else:
                options[name] = value
        return cls(arguments, options, conf, rest[0], rest[1:])


def start(folder: Path, name: str, given: Submitted) -> None:
    """Copy an application's files, and start it once nothing holds it."""
    app = folder / "apps" / name
    app.mkdir()
    files = []
    for file in (*given.options["--py-files"].split(","), given.application):  # the real client uploads them
        (app / Path(file).name).write_bytes(Path(file).read_bytes())
        files.append(str(app / Path(file).name))
    facts = {"name": given.options["--name"], "conf": given.conf, "args": given.arguments, "app_args": given.app_args}
    (app / "facts.new").write_text(json.dumps(facts))
    (app / "facts.new").rename(app / "facts.json")
    _start(folder, app, given.conf, files, given.app_args)


def call_the_real_one(arguments: list[str]) -> None:
    """Replace this process by Spark's own spark-submit, for a submission to another master."""
    os.environ["SPARK_HOME"] = str(SPARK_HOME)
    os.execv(SPARK_HOME / "bin" / "spark-submit", ["spark-submit", *arguments])


def submit(folder: Path, arguments: list[str]) -> int:
    """Do what YARN's client does: accept the submission, start it, print its id, and return."""
    if "yarn" not in arguments:
        call_the_real_one(arguments)
    given = Submitted.of(arguments)
    expected = (given.options.get("--deploy-mode"), given.conf.get("spark.yarn.submit.waitAppCompletion"))
    if expected != ("cluster", "false"):
        print(f'Exception in thread "main" org.apache.spark.SparkException: not for this cluster: {expected}')
        return 1
    if (folder / "full").exists():
        print('Exception in thread "main" org.apache.spark.SparkException: Failed to submit: queue root.default is full')
        return 1
    name = f"application_1700000000000_{len(list((folder / 'apps').iterdir())) + 1:04}"
    start(folder, name, given)
    print(f"26/01/01 00:00:00 INFO YarnClientImpl: Submitted application {name}")
    print(f"26/01/01 00:00:00 INFO Client: Application report for {name} (state: ACCEPTED)", flush=True)
    if (folder / "unsure").exists():
        print('Exception in thread "main" java.net.SocketTimeoutException: connection to the ResourceManager lost')
        return 1
    return 0


def _start(folder: Path, app: Path, conf: dict[str, str], archives: list[str], app_args: list[str]) -> None:
    """Start the application in a session of its own, once nothing holds it, with an environment that is not the worker's."""
    kept = ("HOME", "LANG", "JAVA_HOME", "SPARK_LAUNCHER_OPTS", "SPARK_SUBMIT_OPTS", "TMPDIR", "AWS_", RUN)
    env = {key: value for key, value in os.environ.items() if key.startswith(kept)}
    env["PATH"] = os.pathsep.join(part for part in os.environ["PATH"].split(os.pathsep) if part != str(folder / "bin"))
    env |= {
        CLUSTER: str(folder.resolve()),
        "SPARK_HOME": str(SPARK_HOME),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "PYSPARK_PYTHON": sys.executable,
    }
    own = {"spark.master": "local[2]", "spark.ui.enabled": "false", "spark.sql.warehouse.dir": (app / "warehouse").as_uri()}
    spark = {key: value for key, value in conf.items() if not key.startswith(("spark.yarn.", "spark.kubernetes."))} | own
    *py_files, launcher = archives
    command = [str(SPARK_HOME / "bin" / "spark-submit"), "--py-files", ",".join(py_files)]
    command += [part for key, value in spark.items() for part in ("--conf", f"{key}={value}")]
    command += [launcher, *app_args]
    hold, pid, code = (shlex.quote(str(path)) for path in (folder / "hold", app / "pid", app / "exit"))
    killed = shlex.quote(str(app / "killed"))
    script = (
        f"while [ -e {hold} ]; do [ -e {killed} ] && exit; sleep 0.1; done; echo $$ > {pid}; "
        f"{shlex.join(command)}; echo $? > {code}.new; mv {code}.new {code}"
    )
    null = os.open(os.devnull, os.O_RDWR)
    log = os.open(app / "log", os.O_WRONLY | os.O_CREAT, 0o600)
    if os.fork() == 0:
        os.setsid()
        os.chdir(app)
        os.dup2(null, 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.execve("/bin/sh", ["sh", "-c", script], env)
