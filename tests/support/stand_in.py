"""A stand-in for a cluster that cannot run here: its spark-submit, its API, and real applications behind both.

``bin/spark-submit`` below the folder takes a submission in cluster mode, copies what the cluster's client would upload, prints
what that client prints and starts the application: the real launcher in a real local Spark, which knows its plan by URI only.
States that the API tells come from the processes. Not like a cluster: executors are threads of the driver.
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

import psutil
import pyspark

from support.reaper import CLUSTER, ending_processes
from support.shared_run import RUN

SPARK_HOME = Path(pyspark.__file__).parent


@dataclass
class StandIn:
    """The cluster. Until :meth:`release`, :meth:`hold` keeps new applications from starting."""

    folder: Path
    url: str = ""
    killed: list[str] = field(default_factory=list)

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
        """Return the live processes that end with the application: those of its session."""
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
        """End the application: with SIGTERM and, soon after, SIGKILL."""
        self.killed.append(application)
        (self.folder / "apps" / application / "killed").touch()
        for sent in (signal.SIGTERM, signal.SIGKILL):
            for process in self.processes(application):
                with contextlib.suppress(psutil.Error):
                    process.send_signal(sent)
            time.sleep(0.25)

    def exit_code(self, application: str) -> int | None:
        """Return the exit code of an application that has ended: 1 when it was killed, 137 when it was lost."""
        folder = self.folder / "apps" / application
        if (folder / "killed").exists():
            return None if self.processes(application) else 1
        if (folder / "exit").exists():
            return int((folder / "exit").read_text())
        is_lost = self.pid(application) is not None and not self.processes(application) and not (folder / "exit").exists()
        return 137 if is_lost else None


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
def serving(cluster: StandIn, handler: type[JsonHandler], client: str) -> Iterator[None]:
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
    spark = {key: value for key, value in conf.items() if not key.startswith("spark.kubernetes.")} | own
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
