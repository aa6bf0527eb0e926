"""``mlsql fit`` and processes: signals, imports, other interpreters; nothing is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from support.environments import ARRAYS, make_venv
from support.fit_command import COMMAND, GOOD, FitCommand
from support.packages import index_settings, write_wheel
from support.workbench import SAMPLE, TESTS

DATA = f"libsvm.`{SAMPLE}`"


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_everything(
    fit: FitCommand,
    marker: str,
    processes_with: Callable[[str], list[Any]],
    wait_until: Callable[..., None],
    number: signal.Signals,
) -> None:
    """The script starts one child in a session of its own, and ignores what it can."""
    source = f"""
import signal, subprocess, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
subprocess.Popen(["sleep", "{marker}"], start_new_session=True)
print("up", flush=True)
time.sleep(600)
"""
    running = subprocess.Popen(
        [*COMMAND, fit.write(source), "--data", "rows.json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert running.stdout is not None
    assert any("[fit 0] up" in line for line in iter(running.stdout.readline, ""))
    wait_until(lambda: processes_with(marker), "the script's child runs")
    if number is signal.SIGINT:
        os.killpg(running.pid, number)  # as a terminal does
        os.killpg(running.pid, number)
    else:
        running.send_signal(number)
    _, complaint = running.communicate(timeout=30)
    assert running.returncode == 130, complaint
    assert "mlsql: interrupted" in complaint
    assert "Traceback" not in complaint
    wait_until(lambda: not processes_with(marker), "the script's child is gone")
    assert fit.left == []


def test_the_training_goes_on_when_nobody_reads_its_output(fit: FitCommand) -> None:
    source = "print('up', flush=True)\nfor _ in range(2000): print('a line')\n" + GOOD
    command = [*COMMAND, fit.write(source), "--data", "rows.json", "--model-dir", "kept"]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert running.stdout is not None
    assert any("[fit 0] up" in line for line in iter(running.stdout.readline, ""))
    running.stdout.close()
    assert running.wait(100) == 141, running.stderr
    assert os.listdir(fit.folder / "kept")
    assert running.stderr is not None
    assert running.stderr.read() == ""
    running.stderr.close()


def test_the_command_imports_neither_spark_nor_frameworks(fit: FitCommand) -> None:
    script = fit.write(GOOD)
    program = f"""
import sys
from mlsql_runtime.cli.main import main
heavy = {{"pyspark", "sklearn", "scipy", "pandas", "kafka", "numpy", "pyarrow"}}
assert main(["fit", "--help"]) == 0
assert not heavy & set(sys.modules), heavy & set(sys.modules)
assert main(["fit", {script!r}, "--data", "nowhere.json"]) == 2
assert not heavy & set(sys.modules), heavy & set(sys.modules)
assert main(["fit", {script!r}, "--data", "rows.json"]) == 0
assert heavy & set(sys.modules) <= {{"numpy", "pyarrow"}}, heavy & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


ARRAYS_ONLY = """
import mlsql, mlsql_model
X, y = mlsql.all_data()
mlsql.report(rows=X.shape[0], width=X.shape[1], batches=len(list(mlsql.read_batches(30))))
open(mlsql_model.model_dir() + "/model", "w").write("x")
"""


def test_a_script_of_arrays_runs_in_an_interpreter_without_spark(fit: FitCommand, monkeypatch: pytest.MonkeyPatch) -> None:
    python = str(make_venv(fit.folder / "env", *ARRAYS))
    monkeypatch.setenv("PYTHONPATH", str(TESTS.parent))  # where this command is, and no pyspark
    found = fit.report(fit.write(ARRAYS_ONLY), "--data", DATA, "--python", python)
    assert (found["status"], found["metrics"]) == ("success", {"rows": 100.0, "width": 692.0, "batches": 4.0}), found
    rows = fit.report(fit.write("import mlsql\nnext(mlsql.read_data()())", "rows.py"), "--data", DATA, "--python", python)
    assert rows["status"] == "failed"
    assert "this interpreter has no pyspark; install it, or use mlsql.read_batches()" in rows["message"]
    lacking = fit(fit.write("import mlsql, sklearn", "lacking.py"), "--data", DATA, "--python", python)
    assert lacking.returncode == 2
    assert f"mlsql: {python} on " in lacking.stderr
    assert "lacks sklearn (package scikit-learn), which lacking.py imports" in lacking.stderr


def test_a_script_runs_in_an_environment_of_its_requirements(fit: FitCommand, monkeypatch: pytest.MonkeyPatch) -> None:
    write_wheel(fit.folder / "index", "mlsqlwords", "1.5")
    (fit.folder / "requirements.txt").write_text("mlsqlwords\n")
    places = {"MLSQL_ENVIRONMENTS": str(fit.folder / "kept"), "UV_CACHE_DIR": str(fit.folder / "cache")}
    for name, value in (index_settings(fit.folder / "index") | places).items():
        monkeypatch.setenv(name, value)
    source = "import mlsql_model, mlsqlwords; print('mlsql_validation_score:' + mlsqlwords.VERSION)\n"
    path = fit.write(source + "open(mlsql_model.model_dir() + '/model', 'w').write('x')")
    done = fit(path, "--data", "rows.json", "--requirements", "requirements.txt")
    assert done.returncode == 0, done.stderr
    assert "[mlsql] building an environment of 1 requirements on " in done.stdout
    assert "1.5" in done.stdout
    assert fit.left == []
