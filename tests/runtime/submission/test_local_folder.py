"""The folder of an attempt on the submitter's machine."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import uuid
from pathlib import Path

import pytest

from mlsql_runtime.submission.local_folder import clean_up_orphans, local_folder
from mlsql_runtime.submission.processes import new_mark
from mlsql_runtime.submission.spark_submit import build_environment

_KILLED = """
import os, signal, sys
from mlsql_runtime.submission.local_folder import local_folder
from mlsql_runtime.submission.processes import new_mark
with local_folder(new_mark(sys.argv[1])) as folder:
    (folder / "file").touch()
    print(folder, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(autouse=True)
def own_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def leave_folder(job: str, temporary: Path) -> Path:
    """Return the folder that an attempt of a job has left, because its submitter was killed."""
    command = [sys.executable, "-c", _KILLED, job]
    killed = subprocess.run(command, env={**os.environ, "TMPDIR": str(temporary)}, capture_output=True, text=True, check=False)
    return Path(killed.stdout.strip())


def test_the_folder_is_private_and_is_removed_with_its_files() -> None:
    with local_folder(new_mark("job")) as folder:
        assert folder.stat().st_mode & 0o777 == 0o700
        (folder / "file").touch()
    assert not folder.exists()


def test_a_retry_removes_the_folder_of_an_attempt_that_was_killed(tmp_path: Path) -> None:
    job = uuid.uuid4().hex
    left, other = leave_folder(job, tmp_path), leave_folder(uuid.uuid4().hex, tmp_path)
    with local_folder(new_mark(job)) as ours:
        clean_up_orphans(job)
        assert sorted(tmp_path.iterdir()) == sorted([ours, other])
    assert not left.exists()


def test_an_option_of_the_user_for_temporary_files_of_java_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SPARK_SUBMIT_OPTS", raising=False)
    assert build_environment("m", tmp_path)["SPARK_SUBMIT_OPTS"] == f'"-Djava.io.tmpdir={tmp_path}"'
    monkeypatch.setenv("SPARK_SUBMIT_OPTS", "-Djava.io.tmpdir=/mine")
    assert build_environment("m", tmp_path)["SPARK_SUBMIT_OPTS"] == f'"-Djava.io.tmpdir={tmp_path}" -Djava.io.tmpdir=/mine'
    assert build_environment("m")["SPARK_SUBMIT_OPTS"] == "-Djava.io.tmpdir=/mine"
