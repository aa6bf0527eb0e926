"""Spark's exceptions as ours."""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest
from py4j.protocol import Py4JNetworkError

from mlsql_runtime.errors import DataError, InputError, InterpreterError, JobFailed, to_json
from mlsql_runtime.plan import Attempt
from mlsql_runtime.spark_errors import errors_for_driver, translate
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store.staging import is_final, open_staging

ARGUMENT = "java.lang.IllegalArgumentException: 17 is too large"


class Speechless(Exception):
    """As Py4J's are once the JVM is gone: even what they say is asked of it."""

    def __str__(self) -> str:
        raise ConnectionRefusedError("[Errno 111] Connection refused")


@pytest.mark.parametrize(
    ("raised", "why"),
    [
        (Speechless(), "[Errno 111] Connection refused"),
        (ConnectionRefusedError("[Errno 111] Connection refused"), "[Errno 111] Connection refused"),
        (Py4JNetworkError("Answer from Java side is empty"), "Answer from Java side is empty"),
        (EOFError(), "EOFError"),
    ],
)
def test_an_error_of_a_jvm_that_is_gone_is_a_failed_job(raised: Exception, why: str) -> None:
    error = translate(raised)
    assert to_json(error)["kind"] == "JobFailed"
    assert error.message.startswith(f"Spark's JVM on the driver was lost, probably killed ({why}); ")


def test_what_is_finished_stays_when_the_jvm_is_killed(tmp_path: Path) -> None:
    root = Location.of(str(tmp_path / "m"))
    first = Attempt(earlier_since=None, is_last=False)
    staging = open_staging(root, "job", "train", first, lambda error: is_final(translate(error)))
    with contextlib.suppress(Speechless), staging as stage:
        (stage.folder / "finished").write(b"group 0")
        raise Speechless
    assert (stage.folder / "finished").read() == b"group 0"


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("[PATH_NOT_FOUND] Path does not exist: file:/x. SQLSTATE: 42K03", InputError),
        ("[SPARK_JOB_CANCELLED] Job 1 cancelled as part of cancellation of all jobs SQLSTATE: XXKDA", JobFailed),
        ("no message", JobFailed),
        ("x\nCaused by: java.sql.SQLDataException: Attempt to divide by zero.\nCaused by: ERROR 22012: divide", DataError),
        ("java.sql.SQLSyntaxErrorException: Syntax error: Encountered 'select'", InputError),
        ("java.util.IllegalFormatConversionException: d != org.apache.spark.unsafe.types.UTF8String", DataError),
        (
            "java.lang.RuntimeException: Error loading '/a'\n\tat org.apache.spark.sql.catalyst.expressions.xml.X.y(X.java:1)",
            DataError,
        ),
        (
            f"x\nCaused by: {ARGUMENT}\n\tat java.base/java.util.A.b(A.java)\n\tat org.apache.spark.ml.linalg.C.d(C.scala)",
            DataError,
        ),
        (f"x\nCaused by: {ARGUMENT}\n\tat org.apache.spark.network.util.TransportFrameDecoder.decodeNext(X.java:1)", JobFailed),
        (f"x\nCaused by: {ARGUMENT}\n\tat org.apache.hadoop.security.SecurityUtil.buildTokenService(X.java:1)", JobFailed),
        ("java.lang.IllegalArgumentException: Self-suppression not permitted\n\tat org.apache.parquet.A.b(A.java:1)", JobFailed),
        ("java.lang.NullPointerException: x\n\tat org.apache.spark.sql.catalyst.expressions.A.b(A.scala:1)", JobFailed),
        ("java.lang.OutOfMemoryError: Java heap space\n\tat org.apache.spark.sql.catalyst.expressions.A.b(A.scala:1)", JobFailed),
        ("java.io.IOException: No space left\n\tat org.apache.spark.sql.catalyst.util.A.b(A.scala:1)", JobFailed),
        ("java.sql.SQLTransientConnectionException: the server is gone", JobFailed),
    ],
)
def test_whose_fault_it_is(said: str, kind: type[Exception]) -> None:
    assert type(translate(RuntimeError(said))) is kind


def fail_in_a_task(error: Exception) -> str:
    try:
        with errors_for_driver():
            raise error
    except Exception:
        return traceback.format_exc()


class AnalysisException(Exception):
    """With the name of PySpark's class."""


def test_a_database_that_cannot_be_reached_is_worth_another_try() -> None:
    text = "[FAILED_JDBC.CONNECTION] Failed JDBC jdbc:x on the operation: Couldn't connect to the database SQLSTATE: HV000"
    assert type(translate(AnalysisException(text))) is JobFailed
    assert type(translate(AnalysisException("no condition"))) is InputError


class IllegalArgumentException(Exception):
    """With the name of PySpark's class, and its trace."""

    def __init__(self, trace: str) -> None:
        super().__init__(trace.splitlines()[0].partition(": ")[2])
        self._stackTrace = trace


def test_the_trace_of_an_argument_tells_a_mistake_from_a_network_that_fails() -> None:
    trace = f"{ARGUMENT}\n\tat scala.Predef$.require(Predef.scala:1)\n\tat org.apache.spark."
    assert (
        type(translate(IllegalArgumentException(f"{trace}sql.execution.datasources.csv.CSVUtils.sample(C.scala:1)")))
        is InputError
    )
    assert type(translate(IllegalArgumentException(f"{trace}metrics.MetricsSystem.x(M.scala:1)"))) is JobFailed
    unknown = "\n\tat org.apache.hadoop.security.SecurityUtil.x(X.java:1)\nCaused by: java.net.UnknownHostException: n"
    error = translate(IllegalArgumentException(f"java.lang.IllegalArgumentException: java.net.UnknownHostException: n{unknown}"))
    assert type(error) is JobFailed
    assert type(translate(IllegalArgumentException("no trace"))) is InputError


def test_an_error_of_a_task_reaches_the_driver_whole() -> None:
    error = DataError("row 3: größer\nand a second line", expected=3, found=4)
    text = f"An exception was thrown from a worker.\n{fail_in_a_task(error)}\tat org.apache.spark.api.python.PythonRunner"
    back = translate(RuntimeError(text))
    assert to_json(back) == to_json(error)
    assert type(back) is DataError


def test_the_last_of_several_errors_of_tasks_counts() -> None:
    texts = [fail_in_a_task(DataError("first")), fail_in_a_task(InputError("second"))]
    assert translate(RuntimeError("\n".join(texts))).message == "second"


def test_other_errors_of_a_task_stay_what_they_are() -> None:
    text = fail_in_a_task(ValueError('mlsql_runtime.spark_errors.TaskError: {"kind"'))
    assert type(translate(RuntimeError(text))) is JobFailed


@pytest.mark.parametrize("rest", ["", "not JSON", '{"kind": "DataError", "mess', "{}", "[]"])
def test_a_task_error_that_is_not_whole_is_a_failed_job(rest: str) -> None:
    text = f"Traceback (most recent call last):\nmlsql_runtime.spark_errors.TaskError: {rest}"
    assert type(translate(RuntimeError(text))) is JobFailed


def test_ours_stay_what_they_are() -> None:
    error = DataError("two widths")
    assert translate(error) is error


@pytest.mark.parametrize(
    "begin", ["An exception was thrown from the Python worker.", "org.apache.spark.api.python.PythonException: x"]
)
def test_a_module_that_workers_lack_is_a_matter_of_their_interpreter(begin: str) -> None:
    error = translate(
        RuntimeError(f"{begin}\nTraceback (most recent call last):\nModuleNotFoundError: No module named 'pyarrow'")
    )
    assert type(error) is InterpreterError
    assert "has no package 'pyarrow'" in error.message


def test_the_exception_of_a_worker_is_the_message() -> None:
    def fail() -> None:
        try:
            {}["first"]
        except KeyError as error:
            raise ValueError("two columns are wrong:\n  a: null\n  b: text") from error

    text = (
        "An exception was thrown from the Python worker. Please see the stack trace below.\n"
        f"{traceback_of(fail)}\n\n\tat org.apache.spark.api.python.BasePythonRunner\n\tat java.base/java.lang.Thread.run"
    )
    error = translate(RuntimeError(text))
    assert error.message == "RuntimeError: a Python worker raised ValueError: two columns are wrong:"


def traceback_of(function: Callable[[], None]) -> str:
    try:
        function()
    except Exception:
        return traceback.format_exc()
    raise AssertionError("it did not fail")


LOST = """An error occurred while calling z:org.apache.spark.api.python.PythonRDD.collectAndServe.
: org.apache.spark.SparkException: Job aborted due to stage failure: Task 0 in stage 3.0 failed 4 times, most recent failure: \
Lost task 0.3 in stage 3.0 (TID 6) (node-7 executor 4): ExecutorLostFailure (executor 4 exited caused by one of the running \
tasks) Reason: {}
Driver stacktrace:
\tat org.apache.spark.scheduler.DAGScheduler.$anonfun$abortStage$3(DAGScheduler.scala:2935)
"""
OVER_LIMIT = (
    "Container killed by YARN for exceeding physical memory limits. 1.1 GB of 768 MB physical memory used. Consider boosting "
    "spark.executor.memoryOverhead"
)
ADVICE = "; if the host had no memory left, raise spark.executor.memoryOverhead: scripts are outside of the JVM's heap"


@pytest.mark.parametrize(
    ("reason", "message"),
    [
        (f"{OVER_LIMIT}.", OVER_LIMIT),
        (
            "Container from a bad node: container_1 on host: node-7. Exit status: 137. Diagnostics: [2026-11-30]Killed on\n"
            "[2026-11-30]Container exited with a non-zero exit code 137.\n.",
            f"Container from a bad node: container_1 on host: node-7. Exit status: 137{ADVICE}",
        ),
        ("Command exited with code 137", f"Command exited with code 137{ADVICE}"),
        ("worker lost: Not receiving heartbeat for 60 seconds", "worker lost: Not receiving heartbeat for 60 seconds"),
    ],
)
def test_a_lost_executor_is_one_sentence(reason: str, message: str) -> None:
    error = translate(Exception(LOST.format(reason)))
    assert (type(error), error.message) == (JobFailed, f"executor 4 on node-7 was lost: {message}")
