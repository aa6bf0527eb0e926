from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from mlsql_runtime.plan import PythonEnv
from mlsql_runtime.script import thread_limits
from mlsql_runtime.script.output import TAIL_LINES, CappedLog

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


def test_a_script_that_ends_well_has_no_problem(run: Run) -> None:
    ran = run("import sys; print('one'); print('two', file=sys.stderr)")
    assert (ran.outcome.problem, ran.outcome.timed_out, ran.outcome.notes) == (None, False, ())
    assert sorted(ran.lines) == ["one", "two"]
    assert list(ran.outcome.tail) == ran.lines == ran.log.splitlines()


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


def test_a_script_that_ignores_sigterm_is_ended_too(run: Run, marker: str, processes_with: Processes) -> None:
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
from mlsql_runtime.script.process import run_script
from mlsql_runtime.script.protocol import ScriptInput
folder = pathlib.Path(sys.argv[1])
run_script(
    ScriptBundle("train.py", {"train.py": os.environ["SCRIPT"].encode()}),
    ScriptInput(protocol_version=1, role="train", params={}),
    folder, folder / "log", PythonEnv(), lambda event: print(event.text, flush=True),
)
"""


@pytest.mark.parametrize("source", [DETACH + "print('ready', flush=True)", IGNORE_SIGTERM], ids=["detached", "ignores SIGTERM"])
def test_nothing_is_left_when_the_parent_is_killed(
    source: str, tmp_path: Path, marker: str, processes_with: Processes, wait_until: WaitUntil
) -> None:
    script = source.format(mark=marker) + f"\nimport subprocess\nsubprocess.run(['sleep', '{marker}'])"
    parent = subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(tmp_path)], env=os.environ | {"SCRIPT": script}, stdout=subprocess.PIPE, text=True
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


@pytest.mark.parametrize("name", ["signal.py", "select.py", "json.py"])
def test_a_script_may_be_called_like_a_module_of_the_standard_library(run: Run, name: str) -> None:
    ran = run("print('trained once')", entry=name)
    assert ran.outcome.problem is None
    assert ran.lines == ["trained once"]


def test_a_script_reads_its_neighbours_from_its_own_copy_of_the_folder(run: Run) -> None:
    source = "import os, pathlib, part\npathlib.Path('made').write_text('x')\nprint(part.NAME, os.path.exists('deep/words.txt'))"
    ran = run(source, files={"part.py": "NAME = 'neighbour'", "deep/words.txt": "a b"})
    assert ran.lines == ["neighbour True"]
    assert (ran.folder / "work" / "made").read_text() == "x"


def test_the_score_and_the_metrics_of_the_lines_are_kept(run: Run) -> None:
    source = """
import mlsql
print("mlsql_validation_score:0.25")
mlsql.report(step=1, loss=0.5, auc=0.75)
mlsql.report(loss=0.125)
mlsql.progress(3, 4)
print("  mlsql_validation_score: 0.75")
"""
    ran = run(source)
    assert ran.outcome.report.score == 0.75
    assert ran.outcome.report.score_lines == 2
    assert ran.outcome.report.metrics == {"loss": 0.125, "auc": 0.75}
    assert ran.lines[1:4] == ["step 1: loss=0.5, auc=0.75", "loss=0.125", "progress: 3 of 4 (75%)"]
    assert ran.outcome.notes == ()


def test_a_score_that_is_no_number_is_noted(run: Run) -> None:
    outcome = run("print('mlsql_validation_score:0.5')\nprint('mlsql_validation_score:nan')").outcome
    assert (outcome.problem, outcome.report.score) == (None, None)
    assert "nan" in outcome.notes[0]


def test_output_that_is_no_utf_8_is_shown_with_replacements(run: Run) -> None:
    ran = run(r"import sys; sys.stdout.buffer.write(b'gr\xf6\xdfer\nna\xc3\xafve\n')")
    assert ran.lines == ["gr\ufffd\ufffder", "naïve"]
    assert ran.log == "gr\ufffd\ufffder\nnaïve\n"


def test_text_of_any_language_can_be_printed(run: Run) -> None:
    assert run("print('größer → 大')", python=PythonEnv(timeout=60, envs={"LC_ALL": "C"})).lines == ["größer → 大"]


@pytest.mark.parametrize("letter", ["x", "é"])
def test_a_very_long_line_loses_nothing(run: Run, letter: str) -> None:
    ran = run(f"print('-' + {letter!r} * 200_000)\nprint('end')")
    assert "".join(ran.lines) == "-" + letter * 200_000 + "end"
    assert ran.lines[-1] == "end"


def test_output_without_a_newline_at_the_end_is_shown(run: Run) -> None:
    assert run("print('a'); print('b', end='')").lines == ["a", "b"]


def test_the_tail_is_the_last_100_lines_and_the_log_is_all(run: Run) -> None:
    ran = run("for i in range(250): print(i)")
    assert list(ran.outcome.tail) == [str(number) for number in range(250 - TAIL_LINES, 250)]
    assert ran.log.split() == ran.lines == [str(number) for number in range(250)]


def test_the_log_is_capped_and_keeps_beginning_and_end(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "0.log"
    with CappedLog(path, limit=1000) as log:
        for number in range(10_000):
            log.write(f"line {number}")
    lines = path.read_text(encoding="utf-8").splitlines()
    cut = next(index for index, line in enumerate(lines) if "left out" in line)
    assert lines[:cut] == [f"line {number}" for number in range(cut)]
    assert lines[cut + 1 :] == [f"line {number}" for number in range(10_000 - TAIL_LINES, 10_000)]
    assert 1000 <= sum(len(line) + 1 for line in lines[:cut]) < 1020
    left_out = sum(len(f"line {number}\n") for number in range(cut, 10_000 - TAIL_LINES))
    assert str(left_out) in lines[cut]


def test_a_log_below_its_cap_is_left_alone(tmp_path: Path) -> None:
    with CappedLog(tmp_path / "log", limit=100) as log:
        for line in ("größer", "", "b"):
            log.write(line)
    assert (tmp_path / "log").read_text(encoding="utf-8") == "größer\n\nb\n"


ENVIRONMENT = "import json, os; print(json.dumps(dict(os.environ)))"


def environment_of(run: Run, **options: Any) -> dict[str, str]:
    ran = run(ENVIRONMENT, **options)
    assert ran.outcome.problem is None
    found: dict[str, str] = json.loads("".join(ran.lines))
    return found


def test_variables_reach_the_script_and_override_what_is_inherited(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INHERITED", "a")
    monkeypatch.setenv("OVERRIDDEN", "a")
    found = environment_of(run, python=PythonEnv(envs={"OVERRIDDEN": "b", "OWN": "größer"}))
    assert (found["INHERITED"], found["OVERRIDDEN"], found["OWN"]) == ("a", "b", "größer")


def test_private_variables_of_spark_and_airflow_do_not_reach_the_script(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    private = [
        "PYTHON_WORKER_FACTORY_SECRET",
        "PYTHON_WORKER_FACTORY_PORT",
        "MLSQL_EVENTS",
        "PYSPARK_GATEWAY_SECRET",
        "PYSPARK_GATEWAY_PORT",
        "PYSPARK_PYTHON",
        "_PYTHON_WORKER_TAG",
        "SPARK_AUTH_SOCKET_TIMEOUT",
        "AIRFLOW__CORE__FERNET_KEY",
    ]
    for name in private:
        monkeypatch.setenv(name, "secret-4711")
    found = environment_of(run)
    assert [name for name, value in found.items() if "secret-4711" in value] == []


@pytest.mark.parametrize("name", ["OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_CPP_MIN_LOG_LEVEL"])
@pytest.mark.parametrize(("inherited", "envs", "expected"), [(None, None, None), ("5", None, "5"), ("5", "7", "7")])
def test_libraries_keep_to_the_task_s_cores_and_to_themselves(
    run: Run, monkeypatch: pytest.MonkeyPatch, name: str, inherited: str | None, envs: str | None, expected: str | None
) -> None:
    """Unless the environment says otherwise, or ``envs``."""
    for variable in (*thread_limits.THREADS, *thread_limits.QUIET):
        monkeypatch.delenv(variable, raising=False)
    if inherited:
        monkeypatch.setenv(name, inherited)
    found = environment_of(run, python=PythonEnv(envs={name: envs} if envs else {}), task_cpus=3)
    ours = dict.fromkeys(thread_limits.THREADS, "3") | {"TF_CPP_MIN_LOG_LEVEL": "2"}
    assert {variable: found[variable] for variable in ours} == (ours | {name: expected} if expected else ours)


GREETINGS = """
print("WARNING: All log messages before absl::InitializeLog() is called are written to STDERR")
print("I0000 00:00:1795393083.500147    8497 port.cc:153] oneDNN custom operations are on. You may see")
print("E0000 00:00:1795393083.500147    8497 cuda_fft.cc:467] Unable to register cuFFT factory")
print("I0000 is a code of mine")
"""


def test_what_a_library_says_at_every_start_is_in_the_log_alone(run: Run) -> None:
    ran = run(GREETINGS)
    assert [line.partition(" ")[0] for line in ran.lines] == ["E0000", "I0000"]
    assert list(ran.outcome.tail) == ran.lines
    assert [line.partition(" ")[0] for line in ran.log.splitlines()] == ["WARNING:", "I0000", "E0000", "I0000"]


@pytest.mark.parametrize("by", ["inherited", "envs"])
def test_a_python_path_adds_modules_and_hides_none_of_ours(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, by: str
) -> None:
    (tmp_path / "mine.py").write_text("NAME = 'mine'")
    if by == "inherited":
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    envs = {"PYTHONPATH": str(tmp_path)} if by == "envs" else {}
    ran = run("import mine, mlsql; print(mine.NAME)", python=PythonEnv(envs=envs))
    assert (ran.outcome.problem, ran.lines) == (None, ["mine"])


def test_interpreter_flags_reach_the_interpreter(run: Run) -> None:
    ran = run("import sys; print(sys.flags.optimize, sys.flags.utf8_mode)", python=PythonEnv(flags=("-O", "-X", "utf8")))
    assert ran.lines == ["1 1"]


def test_what_the_script_is_told_is_readable_by_its_owner_only(run: Run) -> None:
    ran = run("print(1)", fit_param={"password": "x"})
    told = ran.folder / "input.json"
    assert '"password": "x"' in told.read_text()
    assert told.stat().st_mode & 0o777 == 0o600


def test_standard_input_of_the_script_is_empty(run: Run) -> None:
    assert run("import sys; print(repr(sys.stdin.read()))").lines == ["''"]
