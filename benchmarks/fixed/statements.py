"""The costs of registering and calling a function, without those of the script and the model, from one application's log."""

from __future__ import annotations

import json
import re
import tempfile
import time
from functools import partial
from pathlib import Path

from fixed.start import MASTER, sample
from mlsql_runtime.plan import FunctionRef, Load, Plan, Register, Save, Secrets, Select, Statement, Train
from mlsql_runtime.submission.client_mode import ClientJob
from mlsql_runtime.submission.spark_submit import build_command

TRAIN = """
import os, mlsql
folder = mlsql.internal_system_param["tempModelLocalPath"]
os.makedirs(folder, exist_ok=True)
open(os.path.join(folder, "model"), "w").write("1")
print("mlsql_validation_score:1")
"""
PREDICT = """
import json, os, time
import python_fun

def begun(pid):
    with open(f"/proc/{pid}/stat") as file:
        ticks = int(file.read().rpartition(")")[2].split()[19])
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + ticks / os.sysconf("SC_CLK_TCK")

python_fun.batch_udf(lambda X, model: X[:, 0], load=lambda folder: None)
print("script", json.dumps(time.time() - begun(os.getpid())), flush=True)
"""
_NUMBERED = re.compile(r"\[mlsql\] \((\d+)/\d+\) ")


def _calls(root: str) -> tuple[Statement, ...]:
    """Select the same rows without and with the function, each twice: the first call starts Python workers."""
    without = Select(table="without", sql="select features from data")
    ref = FunctionRef(name="f", model_path=root, function="f")
    called = Select(table="called", sql="select f(features) as answer from data", functions=(ref,))
    save = [Save(table=table, format="noop", mode="overwrite") for table in ("without", "called", "called", "without")]
    return (without, save[0], called, save[1], save[2], save[3])


def run(folder: Path) -> dict[str, float]:
    """Return the seconds of each measured statement."""
    for name, source in {"train.py": TRAIN, "predict.py": PREDICT}.items():
        (folder / name).write_text(source)
    root, begun, script = str(folder / "m"), {}, 0.0
    statements = (
        Load(table="data", format="libsvm", path=sample(), options={"numFeatures": "692"}),
        Train(table="data", model_path=root, script_path=str(folder / "train.py")),
        Register(model_path=root, function="f", script_path=str(folder / "predict.py")),
        *_calls(root),
    )

    def line(text: str) -> None:
        nonlocal script
        if found := _NUMBERED.match(text):
            begun[int(found[1])] = time.time()
        elif "] script " in text:
            script = json.loads(text.rpartition(" ")[2])
        elif "[mlsql] save: " in text:
            begun[len(statements) + 1] = time.time()

    job = ClientJob(Plan(job_id="fixed-costs", statements=statements), Secrets(), MASTER, {})
    job.run(partial(build_command, MASTER), line)

    def seconds(number: int) -> float:
        return begun[number + 1] - begun[number]

    without = seconds(9)
    return {
        "register": seconds(3),
        "of it the script, with its interpreter": script,
        "register, the rest": seconds(3) - script,
        "select without the function": without,
        "first select with it, more than that": seconds(7) - without,
        "second select with it, more than that": seconds(8) - without,
    }


def measure(rounds: int) -> list[dict[str, float]]:
    """Run applications one after the other, after one of warm-up."""
    taken = []
    for _ in range(rounds + 1):
        with tempfile.TemporaryDirectory() as name:
            taken.append(run(Path(name)))
    return taken[1:]
