"""The costs of the provider when Airflow reads DAG files: its imports, and the example DAGs beside DAGs of plain Spark tasks."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
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
from airflow.providers.apache.spark.operators.spark_submit import SparkSubmitOperator
answers = []
for file in sys.argv[1:]:
    seconds = []
    for _ in range(2):
        begun = time.perf_counter()
        runpy.run_path(file)
        seconds.append(time.perf_counter() - begun)
    dags = {each.dag_id: each for each in gc.get_objects() if isinstance(each, airflow.sdk.DAG) and each.fileloc == file}
    answers.append([*seconds, sum(len(dag.tasks) for dag in dags.values())])
print("parsed", json.dumps(answers))
"""


class Home:
    """Interpreters with an Airflow home of their own."""

    def __init__(self, folder: Path) -> None:
        own = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
        self._env = own | {"AIRFLOW_HOME": str(folder), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}

    def run(self, *arguments: str) -> str:
        """Return the output of a new interpreter."""
        done = subprocess.run([sys.executable, *arguments], env=self._env, capture_output=True, text=True, check=True)
        return done.stdout + done.stderr


def imports() -> tuple[dict[str, Timed], dict[str, float]]:
    """Return seconds of a process that only imports and, of the second one, milliseconds of each package's own modules."""
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


def parse(rounds: int) -> tuple[dict[str, Timed], dict[str, dict[str, Timed]]]:
    """Of the example DAGs, and of DAGs with as many Spark tasks: seconds of all files in a process that has only imported Airflow
    and its Spark operator, and by DAG seconds of its file once more.
    """
    with tempfile.TemporaryDirectory() as name:
        home = Home(Path(name))

        def parsed(files: Sequence[Path]) -> list[list[float]]:
            found: list[list[float]] = json.loads(re.findall(r"parsed (.*)", home.run("-c", PARSE, *map(str, files)))[0])
            return found

        ours = sorted(DAGS.glob("*.py"))
        tasks = [int(answer[2]) for answer in parsed(ours)]
        plain = [Path(name) / f"plain_{dag.name}" for dag in ours]
        for file, count in zip(plain, tasks, strict=True):
            file.write_text(PLAIN.format(tasks=count))
        runs = [{"ours": parsed(ours), "plain": parsed(plain)} for _ in range(rounds + 1)][1:]
    first = {way: Timed(tuple(sum(answer[0] for answer in run[way]) for run in runs)) for way in runs[0]}
    again = {
        f"{dag.stem} ({count})": {way: Timed(tuple(run[way][at][1] for run in runs)) for way in runs[0]}
        for at, (dag, count) in enumerate(zip(ours, tasks, strict=True))
    }
    return first, again
