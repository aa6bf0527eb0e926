"""One run of the tests: what its processes share, and the end of everything that they start.

The first process of a run (with xdist: the controller) starts a keeper in a session of its own. The keeper starts a service, such
as the broker, when a test first needs it; all processes of the run use the same one. Every process that the run starts inherits
the path of the run's folder in its environment. When the first process has ended, however that happened, the keeper ends all of
them and removes the folder. Temporary folders are below it, those of pytest excepted.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from multiprocessing.connection import Client
from pathlib import Path
from typing import Any

RUN = "MLSQL_TEST_RUN"  # in the environment of all processes of a run: its folder
SOCKET = "socket"
END_SECONDS = 30.0
_ROOT = Path(__file__).parents[2]
_KEEPER = f"""
import sys
sys.path[:0] = {[str(_ROOT / name) for name in ("tests", "scripts", "scripts/jvm")]!r}
from support.keeper import main
main()
"""
_NO_JAVA = """#!/bin/sh
[ "$*" = -version ] && echo 'openjdk version "17.0.1"' >&2 && exit
echo "a test of 'make check' starts Java; give it the fixture starts_jvm" >&2
exit 97
"""


class Keeper:
    """The process that outlives all others of the run."""

    def __init__(self, folder: Path) -> None:
        with (folder / "keeper.log").open("w") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _KEEPER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, start_new_session=True
            )
        assert self._process.stdout is not None
        with self._process.stdout as stdout:
            is_ready = stdout.readline()
        if not is_ready:
            raise RuntimeError(f"the keeper of the tests' processes did not start:\n{(folder / 'keeper.log').read_text()}")

    def close(self) -> None:
        """Let the keeper end every process of the run."""
        assert self._process.stdin is not None
        self._process.stdin.close()

    def wait(self) -> None:
        """Wait until the keeper has ended every process of the run and removed its folder."""
        self.close()
        self._process.wait(END_SECONDS)


def join() -> Keeper | None:
    """Prepare this process for a run, and return the keeper if it is the run's first process."""
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if worker is not None:
        _set_environment(worker)
        return None
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", tempfile.gettempdir())
    folder = Path(tempfile.mkdtemp(prefix="mlsql-tests-"))
    folder.chmod(0o711)  # tests that change their user find their files, in folders with names that they know
    os.environ[RUN] = str(folder)
    _set_environment("keeper")
    keeper = Keeper(folder)
    _set_environment("main")
    return keeper


def _set_environment(process: str) -> None:
    """Give a process of the run a home of Airflow and temporary folders of its own."""
    own = Path(os.environ[RUN]) / process
    (own / "tmp").mkdir(parents=True)
    java = own / "no-java" / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.write_text(_NO_JAVA)
    java.chmod(0o755)
    os.environ |= {
        "AIRFLOW_HOME": str(own / "airflow"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "SPT_NOENV": "1",  # Airflow's titles of processes would overwrite their environments
        "TMPDIR": str(own / "tmp"),
    }
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # each of some hundred processes would compile the project
    tempfile.tempdir = None  # look at TMPDIR again
    _set_java_options(own / "tmp")


def _set_java_options(temporary: Path) -> None:
    """Spark lives for seconds here: classes come from files, made by setup.sh; compiler and collector are quick; it has no UI."""
    quick = "-Xlog:disable -XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
    own = f"-XX:SharedArchiveFile={_ROOT}/.work/spark.jsa {quick} -XX:MetaspaceSize=256m -Dspark.ui.enabled=false"
    given = os.environ.get("SPARK_SUBMIT_OPTS", own)
    os.environ["SPARK_SUBMIT_OPTS"] = f"{given.partition(' -Djava.io.tmpdir')[0]} -Djava.io.tmpdir={temporary}"
    os.environ.setdefault("SPARK_LAUNCHER_OPTS", f"-XX:SharedArchiveFile={_ROOT}/.work/launcher.jsa {quick}")


def no_java_home() -> str:
    """Return a JAVA_HOME whose Java fails."""
    return str(Path(os.environ[RUN]) / os.environ.get("PYTEST_XDIST_WORKER", "main") / "no-java")


def start_service(name: str) -> Any:
    """Return the address of a service of the run, which is started unless it runs already."""
    return _request(name, None)


def count_use(name: str, users: int) -> None:
    """Note that a test has used a service, which ends after the last of ``users`` tests."""
    _request(name, users)


def _request(name: str, users: int | None) -> Any:
    with Client(str(Path(os.environ[RUN]) / SOCKET), "AF_UNIX") as connection:
        connection.send((name, users))
        value, error = connection.recv()
    if error is not None:
        raise RuntimeError(f"the service {name} did not start:\n{error}")
    return value
