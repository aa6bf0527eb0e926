"""From a task's start to the first line of the user's script, in parts; beside it a plain spark-submit that does as little.

The times are read from outside: lines of the log, begins of processes in ``/proc``, Spark's event log, what the script prints.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil

MASTER = "local[2]"
WAYS = ("mlsql", "plain")
PARTS = {
    "submit": "files of the job; for ours also import, look for mistakes, plan and bundle",
    "JVM": "spark-submit up to the start of the Python driver",
    "imports": "the driver up to Spark's first step",
    "session": "SparkSession",
    "load": "the table, 100 rows of libsvm",
    "export": "it is written as files; for ours also checks and the preflight",
    "task": "Spark task, Python worker, bringing the files",
    "script": "interpreter of the script; for ours a supervisor before it",
    "line": "its first line comes to the log",
}
OF_JAVA = ("JVM", "session", "load")  # which the files of mlsql share-classes make shorter
SUMS = {"first line": "all of these", "end": "from there to the answer, with the rest of the script"}
Marks = dict[str, float]

SCRIPT = """
import time
first = time.time()
import json, os

def begun(pid):
    with open(f"/proc/{pid}/stat") as file:
        ticks = int(file.read().rpartition(")")[2].split()[19])
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + ticks / os.sysconf("SC_CLK_TCK")

print("first line", json.dumps({"first": first, "child": begun(os.getpid()), "parent": begun(os.getppid())}), flush=True)
if "MLSQL_SCRIPT_INPUT" in os.environ:
    import mlsql
    folder = mlsql.internal_system_param["tempModelLocalPath"]
    os.makedirs(folder, exist_ok=True)
    open(os.path.join(folder, "model"), "w").write("1")
    print("mlsql_validation_score:1")
"""

PLAIN = """
import subprocess, sys
from pyspark.sql import SparkSession

data, folder, script = sys.argv[1:]
spark = SparkSession.builder.getOrCreate()
print("plain: session", flush=True)
table = spark.read.format("libsvm").load(data)
print("plain: loaded", flush=True)
table.write.json(folder)
print("plain: written", flush=True)

def fit(numbers):
    yield subprocess.run([sys.executable, script], check=True).returncode

spark.sparkContext.parallelize([0], 1).mapPartitions(fit).collect()
spark.stop()
"""


def sample() -> str:
    """Return the path of 100 rows of libsvm, 692 wide, that come with Spark."""
    found = find_spec("pyspark")
    assert found is not None
    assert found.origin is not None
    return str(Path(found.origin).parent / "data" / "mllib" / "sample_libsvm_data.txt")


class Log:
    """Note when lines arrive that show the progress of a run."""

    def __init__(self, marks: Mapping[str, str]) -> None:
        self._marks = marks
        self.seen: Marks = {}
        self.script: dict[str, float] = {}
        self.lines: list[str] = []

    def __call__(self, line: str) -> None:
        now = time.time()
        self.lines.append(line)
        for mark, name in self._marks.items():
            if mark in line and name not in self.seen:
                self.seen[name] = now
                if name == "session":
                    self.seen["driver"] = _begun(_driver())
        if "first line {" in line:
            self.seen["line"] = now
            self.script = json.loads(line[line.index("{") :])


def _driver() -> int:
    """Return the process of the Python driver below this one."""
    below = psutil.Process().children(recursive=True)
    return next(p.pid for p in below if p.name().startswith("python") and p.cmdline()[-1:] and ".py" in " ".join(p.cmdline()))


def _begun(pid: int) -> float:
    """Return when a process began, to a hundredth of a second."""
    ticks = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + ticks / os.sysconf("SC_CLK_TCK")


def _conf(folder: Path) -> dict[str, str]:
    events = folder / "events"
    events.mkdir()
    return {
        "spark.eventLog.enabled": "true",
        "spark.eventLog.dir": events.as_uri(),
        "spark.eventLog.rolling.enabled": "false",
        "spark.eventLog.compress": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.ui.port": "0",
    }


def _context_began(folder: Path) -> float:
    """Return when Spark's context took its first step, by its event log."""
    for file in (folder / "events").iterdir():
        for line in file.read_text().splitlines():
            event = json.loads(line)
            if event["Event"] == "SparkListenerApplicationStart":
                return float(event["Timestamp"]) / 1000
    raise AssertionError("there is no event log")


def run_mlsql(folder: Path) -> dict[str, float]:
    """Run a training of one group, as :class:`MLSQLHook` submits it."""
    begun = time.time()
    from mlsql_runtime.plan import Load, Plan, Secrets, Train
    from mlsql_runtime.submission.client_mode import ClientJob
    from mlsql_runtime.submission.spark_submit import Submission, build_command

    log = Log({"] Spark ": "session", "] (2/2) ": "loaded", "train: 1 fit group": "written"})

    def begin(submission: Submission) -> list[str]:
        log.seen["submit"] = time.time()
        return build_command(MASTER, submission)

    script = folder / "train.py"
    script.write_text(SCRIPT)
    statements = (
        Load(table="data", format="libsvm", path=sample()),
        Train(table="data", model_path=str(folder / "m"), script_path=str(script)),
    )
    job = ClientJob(Plan(job_id="fixed-costs", statements=statements), Secrets(), MASTER, _conf(folder))
    job.run(begin, lambda line: log(line.text))
    return _parts(begun, log, folder, log.script["parent"])


def run_plain(folder: Path) -> dict[str, float]:
    """Run the smallest PySpark application that trains the same script."""
    begun = time.time()
    script, application = folder / "train.py", folder / "application.py"
    script.write_text(SCRIPT)
    application.write_text(PLAIN)
    log = Log({"plain: session": "session", "plain: loaded": "loaded", "plain: written": "written"})
    home = Path(sample()).parents[2]
    conf = [part for name, value in _conf(folder).items() for part in ("--conf", f"{name}={value}")]
    own = ["--conf", f"spark.pyspark.python={sys.executable}", "--conf", "spark.log.level=WARN"]
    log.seen["submit"] = time.time()
    with subprocess.Popen(
        [
            str(home / "bin" / "spark-submit"),
            "--master",
            MASTER,
            *conf,
            *own,
            str(application),
            sample(),
            str(folder / "out"),
            script,
        ],
        env=os.environ | {"SPARK_HOME": str(home), "SPARK_LOCAL_IP": "127.0.0.1", "SPARK_LOCAL_DIRS": str(folder / "spark")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            log(line)
    assert process.returncode == 0, "".join(log.lines[-30:])
    return _parts(begun, log, folder, log.script["child"])


def _parts(begun: float, log: Log, folder: Path, script: float) -> dict[str, float]:
    """Seconds of each part of :data:`PARTS`, of all up to the first line, and from there to the end of the application."""
    seen = log.seen
    steps = (seen["submit"], seen["driver"], _context_began(folder), seen["session"], seen["loaded"], seen["written"])
    marks = (begun, *steps, script, log.script["first"], seen["line"])
    parts = dict(zip(PARTS, (after - before for before, after in itertools.pairwise(marks)), strict=True))
    return parts | {"first line": seen["line"] - begun, "end": time.time() - seen["line"]}


def cold(way: str) -> dict[str, float]:
    """Do one run in a process of its own."""
    with tempfile.TemporaryDirectory() as name:
        answer = Path(name) / "answer.json"
        code = "import sys; from fixed import start; start.main(*sys.argv[1:])"
        env = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])}
        done = subprocess.run([sys.executable, "-c", code, way, name, str(answer)], env=env, capture_output=True, check=False)
        if done.returncode:
            raise SystemExit(f"{way}: " + (done.stdout + done.stderr).decode(errors="replace")[-5000:])
        parts: dict[str, float] = json.loads(answer.read_text())
        return parts


def main(way: str, folder: str, answer: str) -> None:
    """Do one run, and write its parts to the file ``answer``."""
    run = run_mlsql if way == "mlsql" else run_plain
    Path(answer).write_text(json.dumps(run(Path(folder))))


def write_classes() -> None:
    """Write the files of ``mlsql share-classes``, if they are missing."""
    from mlsql_runtime.submission.class_archive import find_folder, write_archives
    from mlsql_runtime.submission.spark_submit import build_environment

    folder = find_folder(build_environment("classes"))
    if folder is None or not folder.exists():
        write_archives()


def measure(rounds: int) -> dict[str, list[dict[str, float]]]:
    """Do cold runs of each way in turn, after one of warm-up."""
    write_classes()
    taken: dict[str, list[dict[str, Any]]] = {way: [] for way in WAYS}
    for number in range(rounds + 1):
        for way in WAYS:
            parts = cold(way)
            if number:
                taken[way].append(parts)
    return taken
