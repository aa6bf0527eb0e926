"""Ending a job's processes by the mark that they inherit."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid

import pytest
from support.workbench import leave_process

from mlsql_runtime.submission import processes
from mlsql_runtime.submission.processes import MARK, end_marked, end_orphans, marked, new_mark


def test_a_detached_grandchild_that_ignores_sigterm_is_ended_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "GRACE", 0.3)
    mark = uuid.uuid4().hex
    stubborn = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); time.sleep(600)"
    detached = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {stubborn!r}], start_new_session=True)"
    with subprocess.Popen(
        [sys.executable, "-c", detached], env={**os.environ, MARK: mark}, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "ready\n"  # the grandchild speaks; its parent may be gone already
        assert end_marked(mark) >= 1
    assert marked(mark) == []


def test_a_child_that_is_ended_keeps_its_exit_status() -> None:
    mark = uuid.uuid4().hex
    with subprocess.Popen(["sleep", "600"], env={**os.environ, MARK: mark}) as child:
        assert end_marked(mark) == 1
    assert child.returncode == -signal.SIGTERM


def test_unmarked_processes_are_left_alone() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        assert end_marked(uuid.uuid4().hex) == 0
        assert other.poll() is None
        other.communicate(b"\n")


def test_only_processes_whose_submitter_is_gone_are_orphans() -> None:
    job = uuid.uuid4().hex
    ours = {**os.environ, MARK: new_mark(job)}
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, env=ours) as watched:
        lost = leave_process(job)
        assert len(marked(lost)) == 1
        assert end_orphans(uuid.uuid4().hex) == 0
        assert end_orphans(job) == 1
        assert marked(lost) == []
        assert watched.poll() is None
        watched.communicate(b"\n")
