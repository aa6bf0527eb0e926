"""The Spark application."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mlsql_runtime.app import history_url
from mlsql_runtime.plan import Plan, Train, dump_plan
from mlsql_runtime.submission import JOB_FOLDER_PREFIX
from mlsql_runtime.submission.processes import MARK, marked, new_mark


@pytest.mark.parametrize(
    ("server", "keeps_events", "address"),
    [
        ("history:18080", True, "http://history:18080/history/app-1/"),
        ("https://history/spark/", True, "https://history/spark/history/app-1/"),
        ("history:18080", False, None),
        (None, True, None),
        ("", True, None),
        ("${hadoopconf-yarn.resourcemanager.hostname}:18080", True, None),
    ],
)
def test_a_history_server_is_linked_to_when_it_hears_of_the_application(
    server: str | None, keeps_events: bool, address: str | None
) -> None:
    assert history_url(server, keeps_events, "app-1") == address


ORPHAN = """
import subprocess, sys, threading, time
from pathlib import Path
from mlsql_runtime import app
from mlsql_runtime.plan import load_plan
from mlsql_runtime.store.staging import open_staging
from mlsql_runtime.store.versions import open_model_path

folder, model = Path(sys.argv[1]), sys.argv[2]
app.CANCEL_SECONDS, app.ORPHAN_SECONDS = 0.1, float(sys.argv[3])
gone = subprocess.Popen(["true"])
gone.wait()
cancellation = app._Cancellation(folder)
cancellation.plan = load_plan((folder / "plan.json").read_text(), "the plan")
threading.Thread(target=cancellation.watch, args=(gone.pid,), daemon=True).start()
try:
    with open_staging(open_model_path(model), cancellation.plan.job_id):
        subprocess.run(["sleep", "600"], check=len(sys.argv) > 4)  # without the JVM, a statement fails
        time.sleep(600)
except subprocess.CalledProcessError:
    cancellation.remove_orphaned_folder()
"""


@pytest.mark.parametrize(("arguments", "code"), [(("600", "fails"), 0), (("0.1",), 143)], ids=["fails", "hangs"])
def test_an_orphan_that_does_not_end_in_time_leaves_nothing(tmp_path: Path, arguments: tuple[str, ...], code: int) -> None:
    folder, model = tmp_path / f"{JOB_FOLDER_PREFIX}x", tmp_path / "m"
    folder.mkdir()
    plan = Plan(job_id="orphan", statements=(Train(table="t", model_path=str(model), script_path="train.py"),))
    (folder / "plan.json").write_text(dump_plan(plan))
    mark = new_mark("orphan")
    command = [sys.executable, "-c", ORPHAN, str(folder), str(model), *arguments]
    done = subprocess.run(command, env=os.environ | {MARK: mark}, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    assert marked(mark) == []
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert not folder.exists()
