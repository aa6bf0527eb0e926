"""Cluster mode on a real YARN, with the folder of the job in S3 and Spark's jars on HDFS."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.secured_s3 import SecuredS3, secured_s3
from support.workbench import TESTS, processes_with
from support.yarn import Applications

from airflow_provider_mlsql.hooks.mlsql import MLSQLHook
from airflow_provider_mlsql.hooks.storage import read_storage
from mlsql_runtime.plan import Plan, Secrets, Select, Show
from mlsql_runtime.result import RunResult
from mlsql_runtime.storage.location import Location


@pytest.fixture
def s3() -> Iterator[SecuredS3]:
    with secured_s3() as server:
        yield server


@pytest.fixture
def jars(yarn: Applications, tmp_path: Path) -> Iterator[dict[str, str]]:
    """Put Spark's jars on HDFS as docs/how-to/clusters.md says, and return the property of an application that uses them."""
    page = (TESTS.parent / "docs/how-to/clusters.md").read_text(encoding="utf-8")
    section = page.partition("\n## YARN\n")[2].partition("\n## ")[0]
    [commands] = re.findall(r"```bash\n(jars=.*?)```", section, re.DOTALL)
    [properties] = re.findall(r"```text\n(spark\..*?)```", section, re.DOTALL)
    environment = {**os.environ, **yarn.environment, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    subprocess.run(["bash", "-e", "-c", commands], cwd=tmp_path, env=environment, check=True)
    name, value = properties.split()
    yield {name: value}
    Location.of(f"{yarn.yarn.hdfs.uri}/spark").remove()


def test_an_application_reads_its_jars_from_hdfs_and_its_folder_by_a_connection_whose_keys_are_seen_nowhere(
    yarn: Applications, jars: dict[str, str], s3: SecuredS3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_STORE", s3.connection())
    storage, events = read_storage("store"), tmp_path / "events"
    events.mkdir()
    conf = {"spark.eventLog.enabled": "true", "spark.eventLog.dir": events.as_uri(), "spark.eventLog.compress": "false"}
    hook = MLSQLHook("yarn", conf | jars, job_path="s3://models/jobs", poll_interval=0.5)
    plan = Plan(job_id="yarn", statements=(Select(table="t", sql="select 1 as a"), Show(table="t", rows=1)))
    results: list[RunResult] = []
    job = threading.Thread(target=lambda: results.append(hook.run(plan, Secrets(spark=storage.spark, storage=storage.access))))
    job.start()
    shown, stored = set[str](), dict[str, bytes]()
    while job.is_alive():
        shown |= set(processes_with(s3.secret))
        stored |= s3.read_bucket()
        job.join(0.3)
    assert [result.is_successful for result in results] == [True]
    assert shown == set()
    assert {os.path.basename(key) for key in stored} >= {"plan.json", "secrets.json", "000001.jsonl"}
    log = b"".join(path.read_bytes() for path in events.rglob("*") if path.is_file())
    assert b'"spark.hadoop.fs.s3a.secret.key":"*********(redacted)"' in log
    assert b"spark.mlsql.secret.storage" not in log
    assert re.search(rb'"[^"]*/__spark_libs__/spark-core_[^"]*":"System Classpath"', log)
    assert [name for name, content in {**stored, "event log": log}.items() if s3.secret.encode() in content] == []
    assert s3.read_bucket() == {}
