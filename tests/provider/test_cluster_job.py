"""A job on a cluster that answers as a test wants."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from support.tries import State
from support.workbench import leave_process

from airflow_provider_mlsql.hooks.cluster import Status
from airflow_provider_mlsql.hooks.cluster_job import ClusterJob
from airflow_provider_mlsql.hooks.spark_log import OutputLog
from airflow_provider_mlsql.operators.cluster_run import ClusterRun
from mlsql_runtime import codec
from mlsql_runtime.errors import ClusterUnavailable, JobFailed
from mlsql_runtime.events import LogLine, Message, encode_message
from mlsql_runtime.plan import NO_SECRETS, Attempt, Plan, Select, Train
from mlsql_runtime.result import RunResult
from mlsql_runtime.storage.location import Location
from mlsql_runtime.submission import LOST_RESULT
from mlsql_runtime.submission.output import OutputLine
from mlsql_runtime.submission.processes import marked
from mlsql_runtime.submission.run_folder import RunFolder, open_job_folder
from mlsql_runtime.submission.spark_submit import Submission

LOG = logging.getLogger("test.cluster")
PLAN = Plan(job_id="test-job", statements=(Select(table="t", sql="select 1 as a"),))


RUNNING = Status(state="RUNNING", is_over=False)
ENDED = Status(state="KILLED", is_over=True, message="out of memory")


class OneApplication:
    """A cluster with one application, whose statuses it returns in order, and then does not respond any more.

    :param act: called with the folder of the application's events before each status.
    """

    name: ClassVar[str] = "a cluster"

    def __init__(self, *statuses: Status, act: Callable[[Location], object] = lambda _: None) -> None:
        self.statuses, self.act = list(statuses), act
        self.events = ""
        self.last_lines: list[str] | None = []
        self.on_submit: Callable[[], object] = lambda: None
        self.killed: list[str] = []

    def properties(self, task: str, run: RunFolder, conf: Mapping[str, str]) -> Mapping[str, str]:
        return conf

    def submit(self, submission: Submission, on_line: Callable[[OutputLine], None]) -> str:
        self.events = submission.arguments[submission.arguments.index("--events") + 1]
        self.on_submit()
        return "app-1"

    def status(self, application: str) -> Status:
        self.act(Location.of(self.events))
        if not self.statuses:
            raise ClusterUnavailable("it does not respond")
        return self.statuses.pop(0)

    def kill(self, application: str) -> None:
        assert self.statuses, "it is over"
        self.statuses = [ENDED]
        self.killed.append(application)

    def find(self, task: str) -> Mapping[str, str]:
        return {}

    def log_hint(self, application: str) -> str:
        return f"logs {application}"

    def read_last_lines(self, application: str) -> Sequence[str]:
        if self.last_lines is None:
            raise ClusterUnavailable("the node is gone")
        return self.last_lines


def job(cluster: OneApplication, folder: Path, plan: Plan) -> ClusterJob:
    output = OutputLog(LOG)
    return ClusterJob(cluster, plan, NO_SECRETS, {}, task="task", job_path=str(folder), poll_interval=0.0, output=output, log=LOG)


def test_a_failure_says_how_the_application_ended_even_if_the_cluster_forgets_it(tmp_path: Path) -> None:
    cluster = OneApplication(RUNNING, ENDED)
    message = r"app-1 ended without a result, KILLED: out of memory; see logs app-1, and retry$"
    with pytest.raises(JobFailed, match=message) as caught:
        job(cluster, tmp_path, PLAN).run()
    assert type(caught.value) is JobFailed


def test_the_task_log_shows_what_the_application_does_while_it_runs(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    done: list[int] = []

    def act(events: Location) -> None:
        if done:
            assert f"[fit 0] line {len(done)}" in caplog.messages
        done.append(1)
        number = len(done)
        message = Message(event=LogLine(f"line {number}\nand more"), label="fit 0")
        (events / f"{number:06d}.jsonl").write(encode_message(message).encode() + b"\n")

    with pytest.raises(JobFailed, match="ended without a result"):
        job(OneApplication(RUNNING, RUNNING, RUNNING, ENDED, act=act), tmp_path, PLAN).run()
    shown = [line for line in caplog.messages if line.startswith("[fit 0]")]
    assert shown == [line for number in (1, 2, 3, 4) for line in (f"[fit 0] line {number}", "[fit 0] and more")]
    assert list(tmp_path.iterdir()) == []


def test_a_storage_that_does_not_respond_delays_lines_and_is_named_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    looks: list[int] = []

    def act(events: Location) -> None:
        first = Path(events.path) / "000001.jsonl"
        looks.append(1)
        if len(looks) == 1:
            first.mkdir(parents=True)  # cannot be read
        elif len(looks) == 3:
            first.rmdir()
            first.write_text(encode_message(Message(event=LogLine("late"), label="fit 0")) + "\n")

    with pytest.raises(JobFailed, match="ended without a result"):
        job(OneApplication(RUNNING, RUNNING, ENDED, act=act), tmp_path, PLAN).run()
    warnings = [line for line in caplog.messages if line.startswith("The application's output is not shown for now")]
    assert len(warnings) == 1
    assert "[fit 0] late" in caplog.messages


def test_an_application_without_a_result_leaves_its_drivers_last_lines(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    for lines, shown in (
        (
            ["java.lang.OutOfMemoryError", "  at somewhere"],
            ["The driver's last lines:", "java.lang.OutOfMemoryError", "  at somewhere"],
        ),
        ([], ["The driver has left no output"]),
        (None, ["The driver's last lines cannot be read: the node is gone"]),
    ):
        cluster = OneApplication(ENDED)
        cluster.last_lines = lines
        caplog.clear()
        with pytest.raises(JobFailed, match="KILLED: out of memory; see logs app-1"):
            job(cluster, tmp_path, PLAN).run()
        start = caplog.messages.index("The driver's log: logs app-1") + 1
        assert caplog.messages[start:] == shown


def test_a_result_that_the_storage_does_not_take_is_the_reason(tmp_path: Path) -> None:
    cluster = OneApplication(ENDED)
    cluster.last_lines = ["[mlsql] done", f"[mlsql] {LOST_RESULT}hdfs://h/result.json: the quota is exceeded", "ERROR status 1"]
    with pytest.raises(JobFailed, match=r"KILLED: the job's result cannot be written: hdfs://h/result\.json: the quota"):
        job(cluster, tmp_path, PLAN).run()


def test_an_application_is_ended_if_the_task_is_killed_while_it_is_submitted(tmp_path: Path) -> None:
    cluster = OneApplication(RUNNING)
    submitting = job(cluster, tmp_path, PLAN)
    cluster.on_submit = submitting.cancel
    with pytest.raises(JobFailed, match="the job was cancelled"):
        submitting.run()
    assert cluster.killed == ["app-1"]
    assert list(tmp_path.iterdir()) == []


def test_a_retry_removes_runs_that_earlier_attempts_have_left(tmp_path: Path) -> None:
    plan = replace(PLAN, attempt=Attempt(earlier_since=datetime(2026, 1, 1, tzinfo=timezone.utc), is_last=False))
    job_folder = Path(open_job_folder(plan, str(tmp_path)).path)
    for file in ("lost/job.json", "lost/secrets.json.1.tmp", "scripts/0/function.py"):
        (job_folder / file).parent.mkdir(parents=True, exist_ok=True)
        (job_folder / file).touch()
    application = job(OneApplication(), tmp_path, plan).submit()
    assert {path.name for path in job_folder.iterdir()} == {"scripts", Path(application.run).name}
    job(OneApplication(), tmp_path, PLAN).submit()  # a first attempt, which looks at no other
    assert len(list(job_folder.iterdir())) == 3


def test_a_retry_ends_what_still_submits_an_earlier_attempt(tmp_path: Path) -> None:
    attempt = Attempt(earlier_since=datetime(2026, 1, 1, tzinfo=timezone.utc), is_last=False)
    plan = replace(PLAN, job_id=uuid.uuid4().hex, attempt=attempt)
    lost = leave_process(plan.job_id)
    assert len(marked(lost)) == 1
    job(OneApplication(), tmp_path, plan).submit()
    assert marked(lost) == []


def test_a_retry_with_other_arguments_or_another_script_follows_nothing(tmp_path: Path) -> None:
    script, state = tmp_path / "train.py", State(tmp_path / "state.json")
    operator: Any = SimpleNamespace(deferrable=False)
    context: Any = {"task_state_store": state}
    cluster = OneApplication(RUNNING)
    submitted: list[str] = []
    cluster.on_submit = lambda: submitted.append("app-1")
    for source, table in (("1", "t"), ("1", "t"), ("2", "t"), ("2", "u")):
        script.write_text(source)
        train = Train(table=table, model_path=str(tmp_path / "m"), script_path=str(script))
        plan = replace(PLAN, statements=(replace(PLAN.statements[0], table=table), train))
        cluster.statuses = [RUNNING]
        with pytest.raises(ClusterUnavailable):  # the worker would go on to ask
            ClusterRun(operator, context, job(cluster, tmp_path / "jobs", plan), plan).run()
    assert len(submitted) == 3


def test_a_kept_result_is_returned_and_what_a_lost_worker_has_left_is_removed(tmp_path: Path) -> None:
    result = RunResult(job_id=PLAN.job_id, steps=())
    operator: Any = SimpleNamespace(deferrable=False)
    context: Any = {"task_state_store": State(tmp_path / "state.json")}
    cluster = OneApplication(ENDED, act=lambda events: (events.parent / "result.json").write(codec.dumps(result).encode()))
    for _ in range(2):
        assert ClusterRun(operator, context, job(cluster, tmp_path / "jobs", PLAN), PLAN).run() == result
        assert not (tmp_path / "jobs").exists() or not list((tmp_path / "jobs").iterdir())
        (Location.of(cluster.events) / "1.jsonl").write(b"")  # as if the worker had been lost before it removed the folder
