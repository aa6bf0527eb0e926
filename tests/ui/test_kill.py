"""A training that somebody ends in Airflow while it runs, and the link to Spark's UI until then."""

from __future__ import annotations

import time
from pathlib import Path

import httpx
from playwright.sync_api import Page, expect
from support.deployment import Deployment
from support.stores import latest_version
from support.workbench import SAMPLE, Script

from mlsql_runtime.storage.location import Location
from mlsql_runtime.submission.processes import marked

DAG = "slow_training"
SLOW = """
import pathlib, subprocess, mlsql_model
pathlib.Path("{started}").touch()
subprocess.run(["sleep", "600"])
mlsql_model.sk_save_model(1)
"""
LIMIT = 15  # seconds until no process of the job exists


def test_a_task_marked_failed_takes_its_job_along(deployment: Deployment, page: Page, tmp_path: Path, script: Script) -> None:
    slow = script(SLOW.format(started=tmp_path / "started"))
    answer = deployment.start(DAG, {"model_path": str(tmp_path / "m"), "script": slow, "data": SAMPLE})
    run = answer.raise_for_status().json()["dag_run_id"]
    deployment.until((tmp_path / "started").exists, "the script to start")
    mark = deployment.job_mark(DAG, "train")
    assert len(marked(mark)) >= 4  # JVM, driver, worker, supervisor, script, its child

    ui = deployment.links(DAG, run, "train")["Spark UI"]
    assert ui is not None
    spark = deployment.page(ui).headers["location"]
    assert "Spark" in httpx.get(spark, follow_redirects=True).text
    page.goto(f"/dags/{DAG}/runs/{run}/tasks/train/details")
    expect(page.get_by_role("link", name="Spark UI")).to_have_attribute("href", ui)
    expect(page.get_by_role("link", name="Model", exact=True)).to_be_visible()
    expect(page.get_by_role("link", name="Model version")).to_have_count(0)  # there is none yet

    deployment.answer("PATCH", f"dags/{DAG}/dagRuns/{run}/taskInstances/train", {"new_state": "failed"})
    begun = time.monotonic()
    deployment.until(lambda: not marked(mark), "the end of the job")
    assert time.monotonic() - begun < LIMIT
    deployment.ended(DAG, run, "failed")
    assert latest_version(Location.of(str(tmp_path / "m"))) is None
    after = deployment.page(ui)
    assert (after.status_code, "has ended" in after.json()["detail"]) == (410, True)
