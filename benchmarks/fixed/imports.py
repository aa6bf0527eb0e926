"""What the provider costs whoever reads DAG files: its imports, and the example DAGs beside DAGs of plain Spark tasks."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from measure import Timed, interleaved

DAGS = Path(__file__).parents[2] / "example_dags"
ROUNDS = 9  # of imports, which are short
SDK = "import airflow.sdk"
OPERATORS = """
from airflow_provider_mlsql.operators.predict import MLSQLPredictOperator
from airflow_provider_mlsql.operators.register import MLSQLRegisterOperator
from airflow_provider_mlsql.operators.script import MLSQLScriptOperator
from airflow_provider_mlsql.operators.train import MLSQLTrainOperator
from airflow_provider_mlsql.sensors.model import MLSQLModelSensor
"""
PLAIN = """
from datetime import datetime
from airflow.providers.apache.spark.operators.spark_submit import SparkSubmitOperator
from airflow.sdk import DAG

with DAG("plain", schedule=None, start_date=datetime(2026, 1, 1)):
    for number in range({tasks}):
        SparkSubmitOperator(task_id=f"task_{{number}}", application="app.py", conf={{"spark.executor.memory": "4g"}})
"""
PARSE = """
import gc, json, runpy, sys, time
import airflow.sdk
took, tasks = [], 0
for _ in range(2):
    begun = time.perf_counter()
    runpy.run_path(sys.argv[1])
    took.append(time.perf_counter() - begun)
    tasks = tasks or sum(len(each.tasks) for each in gc.get_objects() if isinstance(each, airflow.sdk.DAG))
print("parsed", json.dumps([*took, tasks]))
"""


class Home:
    """Interpreters with an Airflow home of their own."""

    def __init__(self, folder: Path) -> None:
        own = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
        self._env = own | {"AIRFLOW_HOME": str(folder), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}

    def run(self, *arguments: str) -> str:
        """What a new interpreter prints."""
        done = subprocess.run([sys.executable, *arguments], env=self._env, capture_output=True, text=True, check=True)
        return done.stdout + done.stderr


def imports() -> tuple[dict[str, Timed], dict[str, float]]:
    """Seconds of a process that only imports, and of the second one the milliseconds of each package's own modules."""
    with tempfile.TemporaryDirectory() as name:
        home = Home(Path(name))
        home.run("-c", SDK)  # Airflow makes its home
        ways = {"airflow.sdk": SDK, "all operators and the sensor": f"{SDK}\n{OPERATORS}"}
        taken = interleaved({way: lambda _, code=code: home.run("-c", code) for way, code in ways.items()}, rounds=ROUNDS)
        split: dict[str, float] = {}
        for line in home.run("-X", "importtime", "-c", f"{SDK}\n{OPERATORS}").splitlines():
            found = re.match(r"import time:\s+(\d+) \|\s+\d+ \|\s+(\w+)", line)
            if found:
                package = found[2] if found[2] in ("airflow_provider_mlsql", "mlsql_runtime", "airflow") else "others"
                split[package] = split.get(package, 0.0) + int(found[1]) / 1000
        return taken, split


def parse(rounds: int) -> dict[str, dict[str, Timed]]:
    """By example DAG: seconds of its file and of one with as many Spark tasks, the first time and again, imports done."""
    taken = {}
    with tempfile.TemporaryDirectory() as name:
        home = Home(Path(name))

        def parsed(file: Path) -> list[float]:
            answer = home.run("-c", PARSE, str(file))
            return [float(each) for each in re.findall(r"parsed \[(.*)\]", answer)[0].split(",")]

        for dag in sorted(DAGS.glob("*.py")):
            tasks = int(parsed(dag)[2])
            plain = Path(name) / "plain.py"
            plain.write_text(PLAIN.format(tasks=tasks))
            runs = [(parsed(dag), parsed(plain)) for _ in range(rounds + 1)][1:]
            ways = {"ours": 0, "plain": 1}
            taken[f"{dag.stem} ({tasks})"] = {
                f"{way}, {when}": Timed(tuple(run[ways[way]][index] for run in runs))
                for way in ways
                for index, when in enumerate(("first", "again"))
            }
    return taken
