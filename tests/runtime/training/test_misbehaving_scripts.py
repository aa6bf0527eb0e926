"""Scripts that misbehave: they disturb no other group, and leave nothing behind."""

from __future__ import annotations

import pickle
import uuid
from pathlib import Path

from support.workbench import RunPlan, Script, processes_with

from mlsql_runtime.plan import Train
from mlsql_runtime.result import TrainResult
from mlsql_runtime.script.output import LOG_CHARACTERS

SCRIPT = """
import os, shutil, signal, subprocess, sys, threading, time
import mlsql, mlsql_model

FOLDER = os.path.dirname(os.getcwd())

def moves_away():
    shutil.rmtree(os.getcwd())
    os.chdir("/")

def starts_much():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    for number in range(8):
        threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
        subprocess.Popen(["sleep", "{mark}"], start_new_session=number % 2 == 0)

def talks():
    line = b"x" * 16000 + b"\\n"
    for _ in range((128 << 20) // len(line)):
        sys.stdout.buffer.write(line)
    sys.stdout.buffer.flush()

def behaves():
    pass

locals()[mlsql.fit_param["how"]]()
print("mlsql_validation_score:1", flush=True)
mlsql_model.sk_save_model(FOLDER)
"""


def test_scripts_that_misbehave_disturb_nobody_and_leave_nothing(run_plan: RunPlan, tmp_path: Path, script: Script) -> None:
    mark = f"98765.{uuid.uuid4().int % 10**12}"
    ways = ("talks", "starts_much", "moves_away", "behaves")
    result = run_plan(
        Train(
            table="data",
            model_path=str(tmp_path / "m"),
            script_path=script(SCRIPT.replace("{mark}", mark)),
            fit_params=tuple({"how": way} for way in ways),
        )
    )
    result.raise_for_error()
    assert isinstance(result.steps[-1], TrainResult)
    assert [(fit.status, fit.score) for fit in result.steps[-1].fits] == [("success", 1.0)] * 4
    assert processes_with(f"sleep {mark}") == []
    logs = tmp_path / "m/_model_1/logs"
    assert LOG_CHARACTERS <= (logs / "0.log").stat().st_size <= 1.5 * LOG_CHARACTERS
    assert "mlsql_validation_score:1" in (logs / "0.log").read_text()[-100:]
    for model in (tmp_path / "m/_model_1/model").glob("*/model.pickle"):
        assert not Path(pickle.loads(model.read_bytes())).exists()
