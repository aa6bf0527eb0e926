"""A job on a cluster that answers as a test wants."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import ClassVar

import pytest
from support.workbench import leave_process

from airflow_provider_mlsql.hooks.cluster import Status
from airflow_provider_mlsql.hooks.cluster_job import ClusterJob
from airflow_provider_mlsql.hooks.spark_log import OutputLog
from mlsql_runtime.errors import ClusterUnavailable, JobFailed
from mlsql_runtime.plan import NO_SECRETS, Attempt, Plan, Select
from mlsql_runtime.submission.output import OutputLine
from mlsql_runtime.submission.processes import marked
from mlsql_runtime.submission.run_folder import RunFolder
from mlsql_runtime.submission.spark_submit import Submission

LOG = logging.getLogger("test.cluster")
PLAN = Plan(job_id="test-job", statements=(Select(table="t", sql="select 1 as a"),))


class OneApplication:
    """A cluster with one application, whose statuses it returns in order, and then does not respond any more."""

    name: ClassVar[str] = "a cluster"

    def __init__(self, *statuses: Status) -> None:
        self.statuses = list(statuses)

    def properties(self, task: str, run: RunFolder, conf: Mapping[str, str]) -> Mapping[str, str]:
        return conf

    def submit(self, submission: Submission, on_line: Callable[[OutputLine], None]) -> str:
        return "app-1"

    def status(self, application: str) -> Status:
        if not self.statuses:
            raise ClusterUnavailable("it does not respond")
        return self.statuses.pop(0)

    def kill(self, application: str) -> None:
        raise AssertionError("it is over")

    def find(self, task: str) -> Mapping[str, str]:
        return {}

    def log_hint(self, application: str) -> str:
        return f"logs {application}"


def job(cluster: OneApplication, folder: Path, plan: Plan) -> ClusterJob:
    output = OutputLog(LOG)
    return ClusterJob(cluster, plan, NO_SECRETS, {}, task="task", job_path=str(folder), poll_interval=0.0, output=output, log=LOG)


def test_a_failure_says_how_the_application_ended_even_if_the_cluster_forgets_it(tmp_path: Path) -> None:
    running = Status(state="RUNNING", is_over=False)
    cluster = OneApplication(running, Status(state="KILLED", is_over=True, message="out of memory"))
    message = r"app-1 ended without a result, KILLED: out of memory; see logs app-1, and retry$"
    with pytest.raises(JobFailed, match=message) as caught:
        job(cluster, tmp_path, PLAN).run()
    assert type(caught.value) is JobFailed


def test_a_retry_ends_what_still_submits_an_earlier_attempt(tmp_path: Path) -> None:
    attempt = Attempt(earlier_since=datetime(2026, 1, 1, tzinfo=timezone.utc), is_last=False)
    plan = replace(PLAN, job_id=uuid.uuid4().hex, attempt=attempt)
    lost = leave_process(plan.job_id)
    assert len(marked(lost)) == 1
    job(OneApplication(), tmp_path, plan).submit()
    assert marked(lost) == []
