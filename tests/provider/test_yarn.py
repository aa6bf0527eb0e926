"""YARN when its ResourceManager responds as a real one does not when a test wants it: a stand-in responds as the test says."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from support.stand_in import JsonHandler
from support.tries import SAVE, Task, leftovers, training
from support.workbench import Script

from airflow_provider_mlsql.hooks import yarn
from airflow_provider_mlsql.hooks.cluster import Cluster
from airflow_provider_mlsql.hooks.mlsql import MLSQLHook
from airflow_provider_mlsql.triggers.application import MLSQLApplicationTrigger
from mlsql_runtime.errors import ClusterUnavailable, InputError, JobFailed
from mlsql_runtime.plan import NO_SECRETS, Plan, Select
from mlsql_runtime.submission.run_folder import RunFolder

PLAN = Plan(job_id="job", statements=(Select(table="t", sql="select 1 as a"),))
APPLICATION = "application_1700000000000_0001"


@dataclass
class ResourceManager:
    """A server that responds with a status and a document. ``search`` responds to searches for applications; ``ended`` are those
    that were to be ended.
    """

    url: str
    response: tuple[int, Any] = (404, {"RemoteException": {}})
    search: Callable[[], tuple[int, Any]] = lambda: (200, {"apps": None})
    state: str = "ACTIVE"
    ended: list[str] = field(default_factory=list)
    end_status: int = 202

    def describe(self, **facts: Any) -> None:
        """Let it know one application."""
        app = {"id": APPLICATION, "state": "RUNNING", "finalStatus": "UNDEFINED", "diagnostics": "", "trackingUrl": ""} | facts
        self.response = 200, {"app": app}


@pytest.fixture
def manager(monkeypatch: pytest.MonkeyPatch) -> Iterator[ResourceManager]:
    class Handler(JsonHandler):
        def do_GET(self) -> None:  # noqa: N802, the name that http.server asks for
            path = urlsplit(self.path).path
            if path.endswith("/info"):
                self.answer(200, {"clusterInfo": {"haState": found.state}})
            else:
                self.answer(*(found.search() if path.endswith("/apps") else found.response))

        def do_PUT(self) -> None:  # noqa: N802, as above
            self.rfile.read(int(self.headers["Content-Length"]))
            if found.response[0] == 404:
                self.answer(*found.response)
                return
            found.ended.append(self.path.split("/")[-2])
            if found.end_status == 202:
                found.describe(state="KILLED", finalStatus="KILLED")
            self.answer(found.end_status, {})

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found = ResourceManager(f"http://127.0.0.1:{server.server_address[1]}")
    connect(monkeypatch, found.url)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield found
    server.shutdown()
    thread.join()
    server.server_close()


def connection_to(url: str) -> dict[str, Any]:
    extra = {"deploy-mode": "cluster", "yarn_resourcemanager_webapp_address": url}
    return {"conn_type": "spark", "host": "yarn", "extra": extra}


def connect(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_YARN", json.dumps(connection_to(url)))


def cluster() -> Cluster:
    return MLSQLHook("yarn").open_cluster()


@pytest.mark.parametrize(
    ("response", "part"),
    [
        ((503, {"message": "no active ResourceManager"}), "does not respond as expected: 503"),
        ((200, {"html": "a page of a proxy"}), "unexpected response"),
        ((200, ["no object"]), "unexpected response"),
    ],
)
def test_a_response_that_is_not_yarns_is_an_unavailable_cluster(
    manager: ResourceManager, response: tuple[int, Any], part: str
) -> None:
    manager.response = response
    with pytest.raises(ClusterUnavailable, match=part):
        cluster().status(APPLICATION)


def test_an_application_that_yarn_has_forgotten_is_lost(manager: ResourceManager) -> None:
    status = cluster().status(APPLICATION)
    assert (status.state, status.is_over) == ("LOST", True)
    assert cluster().read_last_lines(APPLICATION) == ()
    assert cluster().find("task") == {}
    manager.describe(state="KILLED", finalStatus="KILLED")
    assert cluster().read_last_lines(APPLICATION) == ()  # it has run nowhere


def test_a_resource_manager_that_has_just_started_does_not_know_its_applications_yet(manager: ResourceManager) -> None:
    manager.state = "INITIALIZING"
    for ask in (lambda: cluster().status(APPLICATION), lambda: cluster().kill(APPLICATION), lambda: cluster().find("task")):
        with pytest.raises(ClusterUnavailable, match=r"is starting \(INITIALIZING\); ask again"):
            ask()


def test_a_resource_manager_that_cannot_be_reached_or_is_silent_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yarn, "_TIMEOUT", (0.2, 0.2))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        connect(monkeypatch, f"http://127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(
            ClusterUnavailable, match=r"^YARN's ResourceManager at http://127.* does not respond within 0.2 s; look"
        ):
            cluster().status(APPLICATION)
    with pytest.raises(ClusterUnavailable, match=r"^YARN's ResourceManager at http://127.* cannot be reached: .*refused; check"):
        cluster().status(APPLICATION)


def test_a_trigger_follows_an_application_until_ten_requests_have_failed(
    manager: ResourceManager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments: dict[str, Any] = {"spark_conn_id": "yarn", "application": APPLICATION, "run": str(tmp_path), "deadline": None}
    connect(monkeypatch, "http://127.0.0.1:1")

    async def event() -> Any:
        return (await anext(MLSQLApplicationTrigger(**arguments, poll_interval=0.0).run())).payload

    found = asyncio.run(event())
    assert found["status"] == "failed"
    assert "cannot be reached" in found["error"]["message"]
    assert manager.ended == []  # a retry follows it


def test_the_end_of_an_application_may_be_refused(manager: ResourceManager) -> None:
    manager.describe()
    manager.end_status = 403
    with pytest.raises(JobFailed, match="does not let this worker end"):
        cluster().kill(APPLICATION)
    manager.end_status = 500
    with pytest.raises(ClusterUnavailable, match=r"does not end .* now: 500"):
        cluster().kill(APPLICATION)


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A spark-submit that a test writes."""
    program = tmp_path / "spark" / "bin" / "spark-submit"
    program.parent.mkdir(parents=True)
    program.touch(mode=0o755)
    (tmp_path / "hadoop").mkdir()
    (tmp_path / "hadoop" / "yarn-site.xml").touch()
    monkeypatch.setenv("SPARK_HOME", str(tmp_path / "spark"))
    monkeypatch.setenv("HADOOP_CONF_DIR", str(tmp_path / "hadoop"))
    return program


def test_an_application_of_a_submission_that_failed_is_ended(manager: ResourceManager, client: Path, tmp_path: Path) -> None:
    arguments = tmp_path / "arguments"
    lost = "java.net.SocketTimeoutException: connection to the ResourceManager lost"
    client.write_text(f"#!/bin/sh\necho \"$@\" > {arguments}\necho '{lost}'\nexit 1\n")

    def find() -> tuple[int, Any]:
        if not arguments.exists():
            return 200, {"apps": None}
        (tags,) = re.findall(r"spark.yarn.tags=(\S+)", arguments.read_text())
        return 200, {"apps": {"app": [{"id": APPLICATION, "state": "ACCEPTED", "applicationTags": tags}]}}

    manager.describe()
    manager.search = find
    job = MLSQLHook("yarn", job_path=str(tmp_path / "jobs")).open_cluster_job(PLAN, NO_SECRETS, task="t")
    with pytest.raises(JobFailed, match=f"could not be submitted to YARN: .*: {lost}; see the log above$"):
        job.submit()
    assert manager.ended == [APPLICATION]
    assert list((tmp_path / "jobs").iterdir()) == []

    manager.search = lambda: (200, {"apps": None})
    client.write_text("#!/bin/sh\nexit 0\n")
    with pytest.raises(JobFailed, match="YARN has no application with the tag mlsql-run-app-"):
        job.submit()


@pytest.mark.parametrize(
    ("folder", "message"),
    [
        (None, "^HADOOP_CONF_DIR is not set, which Spark needs for YARN; set it in the environment of the worker"),
        ("empty", "^HADOOP_CONF_DIR is .*/empty, where there is no yarn-site.xml; set it to the folder"),
        ("missing", "^HADOOP_CONF_DIR is .*/missing, where there is no yarn-site.xml; set it to the folder"),
    ],
)
@pytest.mark.parametrize("mode", ["client", "cluster"])
def test_nothing_is_submitted_without_the_configuration_of_yarn(
    manager: ResourceManager,
    client: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    mode: str,
    folder: str | None,
    message: str,
) -> None:
    client.write_text(f"#!/bin/sh\ntouch {tmp_path}/submitted\n")
    (tmp_path / "empty").mkdir()
    monkeypatch.delenv("HADOOP_CONF_DIR")
    if folder is not None:
        monkeypatch.setenv("HADOOP_CONF_DIR", str(tmp_path / folder))
    connection = connection_to(manager.url)
    connection["extra"]["deploy-mode"] = mode
    monkeypatch.setenv("AIRFLOW_CONN_YARN", json.dumps(connection))
    with pytest.raises(InputError, match=message):
        MLSQLHook("yarn", job_path=str(tmp_path / "jobs")).run(PLAN)
    assert not (tmp_path / "submitted").exists()
    assert not (tmp_path / "jobs").exists() or list((tmp_path / "jobs").iterdir()) == []


def test_the_configuration_of_yarn_may_be_elsewhere(
    manager: ResourceManager, client: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.write_text("#!/bin/sh\nexit 1\n")
    monkeypatch.setenv("YARN_CONF_DIR", str(tmp_path / "hadoop"))
    monkeypatch.setenv("HADOOP_CONF_DIR", str(tmp_path))
    hook = MLSQLHook("yarn", job_path=str(tmp_path / "jobs"))
    with pytest.raises(JobFailed, match="spark-submit ended with exit code 1"):
        hook.run(PLAN)
    monkeypatch.delenv("YARN_CONF_DIR")
    with pytest.raises(JobFailed, match="spark-submit ended with exit code 1"):
        MLSQLHook("yarn", {"spark.hadoop.yarn.resourcemanager.hostname": "rm"}, job_path=str(tmp_path / "jobs")).run(PLAN)
    monkeypatch.delenv("HADOOP_CONF_DIR")
    (tmp_path / "spark" / "conf").mkdir()
    (tmp_path / "spark" / "conf" / "spark-env.sh").touch()
    with pytest.raises(JobFailed, match="spark-submit ended with exit code 1"):
        hook.run(PLAN)


def test_a_plan_without_a_model_needs_a_folder_for_its_files(manager: ResourceManager) -> None:
    with pytest.raises(InputError, match="set job_path to a folder that this worker and the cluster reach"):
        MLSQLHook("yarn").run(PLAN)


def test_the_connection_may_name_the_folder_of_jobs(
    manager: ResourceManager, client: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = connection_to(manager.url)
    connection["extra"]["job_path"] = str(tmp_path / "jobs")
    monkeypatch.setenv("AIRFLOW_CONN_YARN", json.dumps(connection))
    client.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/arguments\nexit 1\n')
    with pytest.raises(JobFailed):
        MLSQLHook("yarn").run(PLAN)
    assert f"--plan {tmp_path}/jobs/app-" in (tmp_path / "arguments").read_text()


@pytest.mark.parametrize(
    ("folder", "conf", "defaults", "staging"),
    [
        ("hdfs://127.0.0.1:1/jobs", {}, "spark.yarn.queue ml\n", "hdfs://127.0.0.1:1/jobs/app-1/run"),
        ("hdfs://127.0.0.1:1/jobs", {"spark.yarn.stagingDir": "hdfs:///mine"}, "", "hdfs:///mine"),
        ("hdfs://127.0.0.1:1/jobs", {}, "# of all\n spark.yarn.stagingDir = hdfs:///ours\n", None),
        ("file:///jobs", {}, "", None),
    ],
    ids=["hdfs", "conf", "defaults", "another storage"],
)
def test_spark_keeps_its_files_in_the_folder_of_the_job_on_hdfs(
    folder: str,
    conf: dict[str, str],
    defaults: str,
    staging: str | None,
    manager: ResourceManager,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SPARK_CONF_DIR", str(tmp_path))
    (tmp_path / "spark-defaults.conf").write_text(defaults)
    run = RunFolder.at(f"{folder}/app-1/run")
    assert cluster().properties("task", run, conf).get("spark.yarn.stagingDir") == staging


@pytest.mark.parametrize(
    ("connection", "arguments", "part"),
    [
        (
            {"host": "spark://host:7077"},
            {},
            "Spark does not run Python applications in that mode; set deploy-mode to client",
        ),
        ({"host": "local[2]"}, {}, "that is for yarn and k8s://"),
        ({"host": "yarn", "extra": {}}, {}, "yarn_resourcemanager_webapp_address"),
        ({}, {"job_path": "ftp://user:pw@host/jobs"}, "holds a password in its URI"),
        ({}, {"conf": {"spark.yarn.maxAppAttempts": "3"}}, "spark.yarn.maxAppAttempts is '3'; expected 1"),
        ({}, {"python_script_path": "/no/such.py"}, "there is no script at /no/such.py"),
        ({"host": "local[2]", "extra": {"deploy-mode": "client"}}, {"deferrable": True}, "which cannot leave it"),
    ],
)
def test_wrong_settings_are_errors_before_anything_is_submitted(
    connection: dict[str, Any],
    arguments: dict[str, Any],
    part: str,
    manager: ResourceManager,
    client: Path,
    script: Script,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client.write_text(f"#!/bin/sh\ntouch {tmp_path}/submitted\nexit 1\n")
    usual = connection_to(manager.url)
    extra = {"deploy-mode": "cluster", **(connection["extra"])} if "extra" in connection else usual["extra"]
    monkeypatch.setenv("AIRFLOW_CONN_YARN", json.dumps(usual | connection | {"extra": extra}))
    with pytest.raises(InputError) as caught:
        Task(tmp_path, training("yarn", tmp_path / "m", script(SAVE)) | arguments).execute()
    assert part in caught.value.message
    assert "pw@" not in caught.value.message
    assert not (tmp_path / "submitted").exists()
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize(
    ("diagnostics", "expected"),
    [
        ("", ""),
        ("Application application_1_1 was killed by user root\n", "Application application_1_1 was killed by user root"),
        (
            "Application application_1_1 failed 1 times (global limit =2; local limit is =1) due to AM Container for "
            "appattempt_1_1_000001 exited with  exitCode: -104\nFailing this attempt.Diagnostics: [2026-01-01] Container "
            "[pid=1,containerID=container_1] is running 12MB beyond the 'PHYSICAL' memory limit. Current usage: 1 GB\nDump of",
            "the driver's container was ended because it used more memory than it had; raise spark.driver.memoryOverhead",
        ),
    ],
)
def test_diagnostics_are_one_sentence(manager: ResourceManager, diagnostics: str, expected: str) -> None:
    manager.describe(state="FAILED", finalStatus="FAILED", diagnostics=diagnostics)
    assert cluster().status(APPLICATION).message == expected
