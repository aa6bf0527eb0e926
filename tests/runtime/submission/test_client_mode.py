"""The files and properties that spark-submit is given, and what happens when there is no result."""

from __future__ import annotations

import contextlib
import os
import stat
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from mlsql_runtime import codec
from mlsql_runtime.errors import FormatError, InputError, JobFailed, PreflightFailed
from mlsql_runtime.events import EVENTS_VARIABLE
from mlsql_runtime.plan import Attempt, Plan, Preflight, PythonEnv, Secrets, Select, StorageAccess, StorageConnection, Train
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store.staging import open_staging
from mlsql_runtime.submission import spark_submit
from mlsql_runtime.submission.client_mode import ClientJob
from mlsql_runtime.submission.output import OutputLine
from mlsql_runtime.submission.processes import marked, new_mark
from mlsql_runtime.submission.spark_submit import SparkSubmitFailed, Submission, build_environment, run_spark_submit

PLAN = Plan(job_id="test-job", statements=(Select(table="t", sql="select 1 as a"),))


class Looks:
    """Instead of returning a command, looks at what spark-submit would be given."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error or SparkSubmitFailed("it did not start")
        self.submission: Submission | None = None
        self.modes: dict[str, int] = {}
        self.texts: dict[str, str] = {}

    def __call__(self, submission: Submission) -> list[str]:
        self.submission = submission
        for name, value in zip(submission.arguments[::2], submission.arguments[1::2], strict=True):
            if os.path.isfile(value):
                self.modes[name] = stat.S_IMODE(os.stat(value).st_mode)
                self.texts[name] = Path(value).read_text()
        raise self.error


SECRET = {
    "spark.hadoop.fs.s3a.secret.key": "hush-1",
    "spark.hadoop.fs.azure.account.key.acc.blob.core.windows.net": "hush-2",
    "spark.hadoop.fs.azure.sas.c.acc.blob.core.windows.net": "hush-3",
    "spark.hadoop.fs.gs.auth.service.account.private.key": "hush-4",
    "spark.ssl.keyStorePassword": "hush-5",
    "spark.sql.catalog.pg.url": "jdbc:postgresql://host/db?user=me&password=hush-6",
}


def test_files_are_private_and_secrets_in_no_argument(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_DB", "postgres://me:hush-6@h/d")
    looks = Looks()
    secrets = Secrets(
        spark={"spark.hadoop.fs.s3a.endpoint": "http://hush-8"},
        kafka={"kafka": {"sasl_plain_password": "hush-7"}},
        storage=StorageAccess((StorageConnection(name="minio", prefix="s3://", options='{"secret": "hush-9"}'),)),
    )
    job = ClientJob(PLAN, secrets, "local[1]", {**SECRET, "spark.ui.enabled": "false"})
    with pytest.raises(JobFailed, match=r"ended without a result \(it did not start\)"):
        job.run(looks, print)
    assert looks.modes == {"--plan": 0o600, "--secrets": 0o600}
    written = codec.loads(Secrets, looks.texts["--secrets"], "secrets.json")
    assert written == replace(secrets, spark={**secrets.spark, **SECRET})
    assert "hush" not in repr(written)
    submission = looks.submission
    assert submission is not None
    assert submission.conf["spark.ui.enabled"] == "false"
    given = str((submission.name, submission.conf, submission.arguments, submission.env, looks.texts["--plan"]))
    assert "hush" not in given
    assert not Path(submission.application).exists()


def test_an_error_before_spark_starts_is_raised_as_it_is() -> None:
    looks = Looks(InputError("there is no spark-submit"))
    with pytest.raises(InputError, match=r"^there is no spark-submit$"):
        ClientJob(PLAN, Secrets(), "local[1]", {}).run(looks, print)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("executor.memory", "4g", "'executor.memory' is not a Spark property; expected a name that begins with spark."),
        (
            "spark.master",
            "yarn",
            "spark.master cannot be set for a job: the Spark connection, or --master, decides where Spark runs",
        ),
        ("spark.submit.pyFiles", "a.zip", "it carries the runtime"),
        ("spark.submit.deployMode", "cluster", "jobs run in client mode"),
    ],
)
def test_properties_that_spark_would_ignore_are_refused(name: str, value: str, message: str) -> None:
    looks = Looks()
    with pytest.raises(InputError, match=message):
        ClientJob(PLAN, Secrets(), "local[1]", {name: value}).run(looks, print)
    assert looks.submission is None


def test_a_cancelled_job_does_not_start() -> None:
    looks = Looks()
    job = ClientJob(PLAN, Secrets(), "local[1]", {})
    assert job.cancel() == 0
    with pytest.raises(JobFailed, match="cancelled before Spark started"):
        job.run(looks, print)
    assert looks.submission is None


def test_a_job_that_is_cancelled_while_it_is_prepared_ends_at_once() -> None:
    job = ClientJob(PLAN, Secrets(), "local[1]", {})

    def build(submission: Submission) -> list[str]:
        assert job.cancel() == 0  # there is no process yet
        return ["sleep", "600"]

    with pytest.raises(JobFailed, match="sleep ended with exit code -"):
        job.run(build, print)
    assert marked(job.mark) == []


class Interrupted:
    """Instead of returning a command, leaves a staging folder and is interrupted."""

    def __init__(self, root: Location, meanwhile: Callable[[], object] = lambda: None) -> None:
        self._root, self._meanwhile = root, meanwhile

    def __call__(self, submission: Submission) -> list[str]:
        with contextlib.suppress(JobFailed), open_staging(self._root, submission.name, "training", Attempt(is_last=False)):
            raise JobFailed("the cluster is gone")
        self._meanwhile()
        raise SparkSubmitFailed("it was killed")


@pytest.mark.parametrize(
    ("is_last", "is_cancelled", "stays"), [(False, False, True), (True, False, False), (False, True, True), (True, True, False)]
)
def test_staged_files_stay_only_when_another_attempt_follows(
    tmp_path: Path, is_last: bool, is_cancelled: bool, stays: bool
) -> None:
    script = tmp_path / "train.py"
    script.write_text("")
    root = Location.of(str(tmp_path / "m"))
    train = Train(table="t", model_path=root.uri, script_path=str(script))
    plan = Plan(job_id="job", statements=(*PLAN.statements, train), attempt=Attempt(is_last=is_last))
    job = ClientJob(plan, Secrets(), "local[1]", {})
    with pytest.raises(JobFailed):
        job.run(Interrupted(root, job.cancel if is_cancelled else lambda: None), print)
    assert bool(root.list_files()) is stays
    assert job.cancel() == 0  # as Airflow does after a timeout: what is kept is not touched
    assert bool(root.list_files()) is stays


@pytest.mark.parametrize(
    ("ended_by", "raised"), [(KeyboardInterrupt(), KeyboardInterrupt), (SparkSubmitFailed("exit code 1"), FormatError)]
)
def test_a_result_that_cannot_be_read_hides_no_interruption(ended_by: BaseException, raised: type[BaseException]) -> None:
    def leave_half_a_result(submission: Submission) -> list[str]:
        Path(submission.arguments[submission.arguments.index("--result") + 1]).write_text('{"job_id":')
        raise ended_by

    with pytest.raises(raised):
        ClientJob(PLAN, Secrets(), "local[1]", {}).run(leave_half_a_result, print)


def test_a_job_inside_a_job_does_not_read_the_events_of_the_outer_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(EVENTS_VARIABLE, "/tmp/outer/events")
    assert EVENTS_VARIABLE not in build_environment(new_mark("test"))


def test_archives_of_scripts_are_added_to_those_of_the_job(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("")
    archive = tmp_path / "env.tar.gz"
    with tarfile.open(archive, "w:gz") as file:
        file.add(tmp_path / "train.py", "bin/python")
    python = PythonEnv(path="env/bin/python", archives=(f"{archive}#env",))
    train = Train(table="t", model_path=str(tmp_path / "m"), script_path=str(tmp_path / "train.py"), python=python)
    plan = Plan(job_id="job", statements=(*PLAN.statements, train, Preflight(python=python)))
    looks = Looks()
    with pytest.raises(JobFailed):
        ClientJob(plan, Secrets(), "local[1]", {"spark.archives": "s3a://b/words.zip"}).run(looks, print)
    assert looks.submission is not None
    assert looks.submission.conf["spark.archives"] == f"s3a://b/words.zip,{archive}#env"


@pytest.mark.parametrize("content", [None, b"no archive", b""])
def test_a_broken_archive_is_refused_before_spark_starts(tmp_path: Path, content: bytes | None) -> None:
    (tmp_path / "train.py").write_text("")
    for name in ("env.tar.gz", "env.zip"):
        if content is not None:
            (tmp_path / name).write_bytes(content)
        python = PythonEnv(path="env/bin/python", archives=(f"{tmp_path}/{name}#env",))
        train = Train(table="t", model_path=str(tmp_path / "m"), script_path=str(tmp_path / "train.py"), python=python)
        looks = Looks()
        with pytest.raises(InputError, match=name):
            ClientJob(Plan(job_id="job", statements=(*PLAN.statements, train)), Secrets(), "local[1]", {}).run(looks, print)
        assert looks.submission is None


def test_missing_packages_are_an_error_before_spark_starts(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("import no_such_module_4711")
    train = Train(table="t", model_path=str(tmp_path / "m"), script_path=str(tmp_path / "train.py"))
    looks = Looks()
    with pytest.raises(PreflightFailed, match=r"lacks no_such_module_4711, which train\.py imports"):
        ClientJob(Plan(job_id="job", statements=(*PLAN.statements, train)), Secrets(), "local[1]", {}).run(looks, print)
    assert looks.submission is None


def test_a_spark_submit_that_fails_says_its_last_line_and_leaves_no_process() -> None:
    mark, lines = new_mark("test"), list[OutputLine]()
    shell = "sleep 600 > /dev/null 2>&1 & echo '26/11/22 10:48:44 INFO Main: begins'; echo ' no such queue '; exit 3"
    with pytest.raises(SparkSubmitFailed, match=r"^sh ended with exit code 3: no such queue$"):
        run_spark_submit(["sh", "-c", shell], build_environment(mark), lines.append)
    assert lines == [OutputLine("26/11/22 10:48:44 INFO Main: begins", None), OutputLine(" no such queue ")]
    assert marked(mark) == []


def test_what_holds_the_output_of_a_spark_submit_that_is_over_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spark_submit, "REST_SECONDS", 0.2)
    mark = new_mark("test")
    with pytest.raises(SparkSubmitFailed, match=r"^sh ended with exit code -9: begins$"):
        run_spark_submit(["sh", "-c", "echo begins; sleep 600 & kill -9 $$"], build_environment(mark), lambda line: None)
    assert marked(mark) == []


SAFE_MODE = """
Exception in thread "main" org.apache.hadoop.hdfs.server.namenode.SafeModeException: Cannot create /x. Name node is in safe mode.
It was turned on manually. Use "hdfs dfsadmin -safemode leave" to turn safe mode off. NamenodeHostName:localhost
\tat java.base/java.lang.reflect.Constructor.newInstance(Constructor.java:480)
Caused by: org.apache.hadoop.ipc.RemoteException(org.apache.hadoop.hdfs.server.namenode.SafeModeException): Cannot create /user.
It was turned on manually. Use "hdfs dfsadmin -safemode leave" to turn safe mode off. NamenodeHostName:localhost
"""


def test_the_exception_of_spark_submit_says_more_than_its_last_line(tmp_path: Path) -> None:
    (tmp_path / "output").write_text(SAFE_MODE)
    shell = ["sh", "-c", f"cat {tmp_path}/output; exit 1"]
    with pytest.raises(SparkSubmitFailed, match=r"^sh ended with exit code 1: Cannot create .*\. Name node is in safe mode\.$"):
        run_spark_submit(shell, build_environment(new_mark("test")), lambda line: None)


def test_a_reader_that_fails_ends_spark_submit() -> None:
    mark = new_mark("test")
    with pytest.raises(ZeroDivisionError):
        run_spark_submit(["sh", "-c", "echo one; sleep 600"], build_environment(mark), lambda line: print(line, 1 / 0))
    assert marked(mark) == []


def test_there_is_no_spark_submit(tmp_path: Path) -> None:
    env = {**build_environment(new_mark("test")), "PATH": str(tmp_path)}
    with pytest.raises(InputError, match="there is no spark-submit; install pyspark, or set SPARK_HOME"):
        run_spark_submit(["spark-submit"], env, print)
