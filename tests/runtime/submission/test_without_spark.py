"""Registrations in a driver without Spark. They are light tests, in which no JVM can start."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timezone
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest
from support.models import publish_model
from support.predict_scripts import OVER_COLUMNS
from support.waiting import wait_until
from support.workbench import Script

from mlsql_runtime import engine
from mlsql_runtime.errors import InputError, JobFailed, ScriptFailed
from mlsql_runtime.feed.decoding.sql_types import parse_type
from mlsql_runtime.plan import Plan, Register, Secrets, Select, Statement, dump_plan
from mlsql_runtime.result import RegisterResult, RunResult
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store.functions import read_pointer
from mlsql_runtime.submission import JOB_FOLDER_PREFIX
from mlsql_runtime.submission.client_mode import ClientJob
from mlsql_runtime.submission.output import OutputLine
from mlsql_runtime.submission.processes import marked
from mlsql_runtime.submission.spark_submit import Submission
from mlsql_runtime.submission.without_spark import can_do_without_spark

SUBMIT = """
import sys
from pathlib import Path
from mlsql_runtime.plan import Secrets, load_plan
from mlsql_runtime.submission.client_mode import ClientJob

job = ClientJob(load_plan(Path(sys.argv[1]).read_bytes(), "the plan"), Secrets(), "local[1]", {})
print(job.mark, flush=True)
job.run(lambda submission: sys.exit("Spark starts"), lambda line: None)
"""
NUMBERS = pa.table({"x": [1.0, 2.0, 3.0], "y": pa.array([1, 2, 3], pa.int32())})


class SparkStarts(Exception):
    """The submitter has asked for the command line of spark-submit."""


def submit(*statements: Statement, conf: Mapping[str, str] | None = None, master: str = "local[1]") -> tuple[RunResult, str]:
    """Return the result of a job and its output."""

    def build_command(submission: Submission) -> Sequence[str]:
        raise SparkStarts

    lines: list[OutputLine] = []
    job = ClientJob(Plan(job_id="job", statements=statements), Secrets(), master, conf or {})
    result = job.run(build_command, lines.append)
    return result, "\n".join(line.text for line in lines if line.level is not None)


def register(tmp_path: Path, script: Script, table: pa.Table = NUMBERS, function: str = "jack", **source: str) -> Register:
    """Return the registration of a function over the columns of a table."""
    path = publish_model(tmp_path / "m", None, table)
    given = {"body": "return X.sum(axis=1)", "takes": "matrix", "returns": "double"} | source
    return Register(model_path=path, function=function, script_path=script(OVER_COLUMNS.format(**given)))


def test_a_function_is_registered_and_tried_on_rows_of_every_type(tmp_path: Path, script: Script) -> None:
    kinds = [
        ("boolean", [True, None]),
        ("bigint", [2**60 + 1, None]),
        ("float", [0.5, None]),
        ("decimal(20,3)", [Decimal("1.125"), None]),
        ("string", ["é", None]),
        ("binary", [b"\x00", None]),
        ("date", [date(2020, 2, 29), None]),
        ("timestamp", [datetime(2020, 1, 1, 12, tzinfo=timezone.utc), None]),
        ("timestamp_ntz", [datetime(2020, 1, 1, 12), None]),
        ("array<double>", [[0.1, None], None]),
        ("map<string,int>", [[("a", 1)], None]),
        ("struct<a:int,b:array<string>>", [{"a": 1, "b": ["x"]}, None]),
        ("vector", [{"type": 0, "size": 3, "indices": [1], "values": [2.0]}, None]),
    ]
    table = pa.table({f"c{place}": pa.array(values, parse_type(kind)) for place, (kind, values) in enumerate(kinds)})
    body = "return ['|'.join(map(str, row)) + str(list(map(str, X.dtypes))) for row in X.itertuples(index=False)]"
    statement = register(tmp_path, script, table, body=body, takes="frame", returns="string")
    result, log = submit(statement, conf={"spark.executor.memory": "4g"})
    [step] = result.steps
    assert isinstance(step, RegisterResult)
    assert (step.registered, step.function_version) == (True, 1)
    pointer = read_pointer(Location.of(statement.model_path), "jack")
    assert pointer is not None
    assert [move.version for move in pointer.history] == [1]
    assert "Spark is not needed here, and is not started\n" in log
    assert "starting Spark" not in log
    assert "batch contract: " in log


@pytest.mark.parametrize(
    ("body", "returns", "message"),
    [
        ("import os; return [os.getpid()] * len(X)", "long", "predicts differently on the driver and in a process of its own"),
        (
            "import multiprocessing; return 1 / (multiprocessing.parent_process() is None) and [None] * len(X)",
            "timestamp",
            "function jack failed: ZeroDivisionError",
        ),
    ],
    ids=["another result", "an error, of a function over an iterator"],
)
def test_a_function_that_does_something_else_in_another_process_is_refused(
    tmp_path: Path, script: Script, body: str, returns: str, message: str
) -> None:
    statement = register(tmp_path, script, body=body, returns=returns)
    result = engine.run(Plan(job_id="job", statements=(statement,)), None)
    with pytest.raises(ScriptFailed, match=message):
        result.raise_for_error()
    assert not (Path(statement.model_path) / "_functions").exists()


def test_a_type_that_only_spark_can_read_starts_spark_after_all(tmp_path: Path, script: Script) -> None:
    with pytest.raises(SparkStarts):
        submit(register(tmp_path, script, returns="a double"))


def test_a_failed_script_is_the_error_of_the_job(tmp_path: Path, script: Script) -> None:
    with pytest.raises(ScriptFailed, match=r"predict script .*script\.py failed: .*KeyError: 'x'"):
        submit(register(tmp_path, script, body="pass\nraise KeyError('x')"))


def test_nothing_is_left_of_a_job_that_is_cancelled(tmp_path: Path, script: Script) -> None:
    """It waits in the worker in which the function is tried."""
    wait = f"import multiprocessing, time; multiprocessing.parent_process() and (open({str(tmp_path / 'begun')!r}, 'w').close(),"
    statement = register(tmp_path, script, body=f"{wait} time.sleep(600)); return X[:, 0]")
    job = ClientJob(Plan(job_id="job", statements=(statement,)), Secrets(), "local[1]", {})
    errors: list[Exception] = []

    def run() -> None:
        try:
            job.run(lambda submission: pytest.fail("Spark starts"), lambda line: None)
        except JobFailed as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    wait_until((tmp_path / "begun").exists)
    assert len(marked(job.mark)) >= 2  # driver and worker
    job.cancel()
    thread.join()
    assert marked(job.mark) == []
    assert len(errors) == 1
    assert not list((Path(statement.model_path) / "_functions").rglob("current.json"))


def test_nothing_is_left_when_the_submitter_is_killed(tmp_path: Path, script: Script) -> None:
    """The driver loses its output together with the process that reads it, and no retry cleans up."""
    wait = f"import multiprocessing, time; multiprocessing.parent_process() and (open({str(tmp_path / 'begun')!r}, 'w').close(),"
    statement = register(tmp_path, script, body=f"{wait} time.sleep(600)); return X[:, 0]")
    (tmp_path / "plan.json").write_text(dump_plan(Plan(job_id="job", statements=(statement,))))
    command = [sys.executable, "-c", SUBMIT, str(tmp_path / "plan.json")]
    (tmp_path / "tmp").mkdir()
    env = {**os.environ, "TMPDIR": str(tmp_path / "tmp")}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env) as submitter:
        assert submitter.stdout is not None
        mark = submitter.stdout.readline().strip()
        wait_until((tmp_path / "begun").exists)
        assert len(marked(mark)) >= 2
        submitter.kill()
    wait_until(lambda: marked(mark) == [])
    wait_until(lambda: not list((tmp_path / "tmp").glob(f"{JOB_FOLDER_PREFIX}*")))


@pytest.mark.parametrize("name", ["first", "Vector_NORM"])
def test_a_name_of_sparks_own_functions_is_refused_before_a_driver_starts(tmp_path: Path, script: Script, name: str) -> None:
    with pytest.raises(InputError, match=f"^{name} is the name of one of Spark's own functions"):
        submit(register(tmp_path, script, function=name))


def test_spark_starts_for_everything_else(tmp_path: Path, script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    statement = Register(model_path=str(tmp_path), function="jack")
    plan, rows = Plan(job_id="job", statements=(statement,)), Select(table="rows", sql="select 1")
    assert can_do_without_spark(plan, {"spark.hadoop.fs.s3a.endpoint": "x", "spark.ui.enabled": "false"})
    for name in ("spark.submit.pyFiles", "spark.jars.packages", "spark.sql.session.timeZone", "spark.sql.extensions"):
        assert not can_do_without_spark(plan, {"spark.ui.enabled": "false", name: "x"}), name
    assert not can_do_without_spark(Plan(job_id="job", statements=(rows, statement)), {})
    with_table = Register(model_path=str(tmp_path), function="jack", sample_table="rows")
    assert not can_do_without_spark(Plan(job_id="job", statements=(with_table,)), {})
    monkeypatch.setenv("SPARK_CONF_DIR", str(tmp_path))
    assert can_do_without_spark(plan, {})
    (tmp_path / "spark-defaults.conf").write_text("spark.sql.session.timeZone UTC")
    assert not can_do_without_spark(plan, {})
    monkeypatch.delenv("SPARK_CONF_DIR")
    monkeypatch.setenv("SPARK_HOME", str(tmp_path))  # without jars, its release is not known
    assert not can_do_without_spark(plan, {})


def test_on_a_cluster_the_executors_try_the_function(tmp_path: Path, script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_HOME", os.devnull)
    with pytest.raises(SparkStarts):
        submit(register(tmp_path, script), master="spark://host:7077")
