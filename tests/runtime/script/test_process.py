"""How a script ends, and that no process of it is left."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from mlsql_runtime.plan import PythonEnv
from mlsql_runtime.script import supervisor

pytestmark = pytest.mark.timeout(60)  # a process that gets away keeps the output open, and its reader waiting
Run = Callable[..., Any]
Processes = Callable[[str], list[psutil.Process]]
WaitUntil = Callable[..., None]

# Two that try to hide: one forks twice into its own session, one is started in a new session.
DETACH = """
import os, subprocess
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execvp("sleep", ["sleep", "{mark}"])
    os._exit(0)
os.wait()
subprocess.Popen(["sleep", "{mark}"], start_new_session=True)
"""
IGNORE_SIGTERM = """
import signal, subprocess, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
subprocess.Popen(["sleep", "{mark}"])  # inherits that SIGTERM is ignored
print("ready", flush=True)
"""

# A supervisor that waits less between SIGTERM and SIGKILL.
QUICK = supervisor.SUPERVISE.replace(
    "os._exit(", "from mlsql_runtime.script import supervisor\nsupervisor.GRACE = 0.3\nos._exit("
)


def test_a_script_that_ends_well_has_no_problem(run: Run) -> None:
    ran = run("import sys; print('one'); print('two', file=sys.stderr)")
    assert (ran.outcome.problem, ran.outcome.timed_out, ran.outcome.notes) == (None, False, ())
    assert sorted(ran.lines) == ["one", "two"]
    assert list(ran.outcome.tail) == ran.lines == ran.log.splitlines()


def test_reports_come_through_when_standard_output_is_replaced_or_closed(run: Run) -> None:
    source = """
import contextlib, io, sys, mlsql
with contextlib.redirect_stdout(io.StringIO()):
    mlsql.report(loss=1)
sys.stdout.close()
mlsql.report(step=2, accuracy=0.5)
"""
    ran = run(source)
    assert (ran.outcome.problem, ran.outcome.report.metrics) == (None, {"loss": 1.0, "accuracy": 0.5})


def test_programs_of_a_project_can_be_started(run: Run) -> None:
    ran = run("import subprocess; subprocess.run(['./prepare.sh'], check=True)", files={"prepare.sh": "#!/bin/sh\necho ready\n"})
    assert (ran.outcome.problem, ran.lines) == (None, ["ready"])


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("raise ValueError('no such digit')", "it ended with exit code 1: ValueError: no such digit"),
        ("import sys; sys.exit(3)", "it ended with exit code 3"),
        ("import sys; sys.exit('give up')", "it ended with exit code 1"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "it was killed by SIGKILL"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "it was killed by SIGSEGV"),
        ("import os; os.kill(os.getpid(), 40)", "it was killed by"),
        ("def f(:", "it ended with exit code 1"),
    ],
)
def test_a_script_that_fails_says_how(run: Run, source: str, problem: str) -> None:
    outcome = run(source).outcome
    assert problem in outcome.problem
    assert not outcome.timed_out


def test_a_script_past_its_timeout_is_ended(run: Run, marker: str, processes_with: Processes) -> None:
    source = f"import subprocess\nprint('begun', flush=True)\nsubprocess.run(['sleep', '{marker}'])"
    ran = run(source, python=PythonEnv(timeout=1))
    assert ran.outcome.timed_out
    assert ran.outcome.problem == "it ran longer than its timeout of 1 s and was ended"
    assert ran.lines[0] == "begun"
    assert processes_with(marker) == []


def test_a_script_that_ignores_sigterm_is_ended_too(
    run: Run, marker: str, processes_with: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "SUPERVISE", QUICK)
    source = IGNORE_SIGTERM.format(mark=marker) + "\nimport time\nwhile True:\n    time.sleep(1)"
    outcome = run(source, python=PythonEnv(timeout=1)).outcome
    assert outcome.timed_out
    assert outcome.tail == ("ready",)
    assert processes_with(marker) == []


def test_processes_that_outlive_the_script_are_ended_and_named(run: Run, marker: str, processes_with: Processes) -> None:
    outcome = run(DETACH.format(mark=marker)).outcome
    assert outcome.problem is None
    assert processes_with(marker) == []
    assert len(outcome.notes) == 1
    assert outcome.notes[0].startswith("it left 2 processes running")
    assert outcome.notes[0].count(f"sleep {marker}") == 2


def test_helpers_that_end_by_themselves_are_not_complained_about(run: Run) -> None:
    outcome = run("import subprocess; subprocess.Popen(['sleep', '0.05'], start_new_session=True)").outcome
    assert (outcome.problem, outcome.notes) == (None, ())


DRIVER = """
import os, pathlib, sys, tempfile
from mlsql_runtime.plan import PythonEnv
from mlsql_runtime.script.bundle import ScriptBundle
from mlsql_runtime.script import supervisor
from mlsql_runtime.script.process import run_script
from mlsql_runtime.script.protocol import ScriptInput
supervisor.SUPERVISE = os.environ["SUPERVISE"]
folder = pathlib.Path(sys.argv[1])
run_script(
    ScriptBundle("train.py", {"train.py": os.environ["SCRIPT"].encode()}),
    ScriptInput(role="train"),
    folder, PythonEnv(), lambda event: print(event.text, flush=True),
)
"""


@pytest.mark.parametrize("source", [DETACH + "print('ready', flush=True)", IGNORE_SIGTERM], ids=["detached", "ignores SIGTERM"])
def test_nothing_is_left_when_the_parent_is_killed(
    source: str, tmp_path: Path, marker: str, processes_with: Processes, wait_until: WaitUntil
) -> None:
    script = source.format(mark=marker) + f"\nimport subprocess\nsubprocess.run(['sleep', '{marker}'])"
    parent = subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(tmp_path)],
        env=os.environ | {"SCRIPT": script, "SUPERVISE": QUICK},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    assert parent.stdout.readline() == "ready\n"
    wait_until(lambda: len(processes_with(marker)) >= 2, "the script's children run")
    below = psutil.Process(parent.pid).children(recursive=True)
    assert below
    parent.kill()
    parent.wait()
    parent.stdout.close()
    wait_until(lambda: not processes_with(marker), "no sleeper is left")
    wait_until(lambda: not any(process.is_running() for process in below), "no descendant is left")


def test_an_exception_while_showing_a_line_ends_the_script(
    run: Run, marker: str, processes_with: Processes, wait_until: WaitUntil
) -> None:
    def stop(line: str) -> None:
        raise KeyboardInterrupt(line)

    with pytest.raises(KeyboardInterrupt, match="begun"):
        run(f"import subprocess\nprint('begun', flush=True)\nsubprocess.run(['sleep', '{marker}'])", on_line=stop)
    wait_until(lambda: not processes_with(marker), "no sleeper is left")


def test_a_script_that_kills_its_supervisor_is_a_failure(run: Run) -> None:
    outcome = run("import os, signal; print('bye', flush=True); os.kill(os.getppid(), signal.SIGKILL)").outcome
    assert "supervisor was killed" in outcome.problem


def test_an_interpreter_that_is_missing_is_a_failure_that_names_it(run: Run) -> None:
    outcome = run("print(1)", python=PythonEnv(path="/nonexistent/python9")).outcome
    assert "/nonexistent/python9" in outcome.problem
    assert not outcome.timed_out
