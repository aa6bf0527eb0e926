"""The Spark application."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mlsql_runtime.app import history_url
from mlsql_runtime.errors import MLSQLError
from mlsql_runtime.plan import Plan, Train, dump_plan
from mlsql_runtime.submission import JOB_FOLDER_PREFIX, LOST_RESULT
from mlsql_runtime.submission.processes import MARK, marked, new_mark
from mlsql_runtime.submission.run_folder import RunFolder


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


ON_A_CLUSTER = """
import sys
from mlsql_runtime import app
app.RESULT_WAITS = (0.05,) * 1000
files = {"--plan": "plan.json", "--result": "result.json", "--events": "events"}
sys.exit(app.main([part for option, name in files.items() for part in (option, f"{sys.argv[1]}/{name}")]))
"""


def test_the_result_is_written_once_the_storage_takes_it(tmp_path: Path) -> None:
    (tmp_path / "job.json").touch()
    (tmp_path / "result.json").mkdir()  # in the way
    with subprocess.Popen([sys.executable, "-c", ON_A_CLUSTER, str(tmp_path)], stdout=subprocess.PIPE, text=True) as driver:
        assert driver.stdout is not None
        assert any("the result is written again in 0.05 s" in line for line in driver.stdout)
        (tmp_path / "result.json").rmdir()
        driver.communicate()
    result = RunFolder.at(str(tmp_path)).read_result()
    assert result is not None
    with pytest.raises(MLSQLError, match=r"plan\.json cannot be read"):
        result.raise_for_error()


def test_a_result_that_the_storage_never_takes_is_the_last_line(tmp_path: Path) -> None:
    (tmp_path / "job.json").touch()
    (tmp_path / "result.json").mkdir()  # in the way
    script = ON_A_CLUSTER.replace("(0.05,) * 1000", "()")
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "")
    assert f"{LOST_RESULT}{tmp_path}/result.json cannot be written" in done.stdout.splitlines()[-1]


def test_no_result_is_written_for_a_job_that_was_ended(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", ON_A_CLUSTER, str(tmp_path / "run")], capture_output=True, check=False)
    assert done.returncode == 1
    assert list(tmp_path.iterdir()) == []
