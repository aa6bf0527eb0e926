"""Run the example DAG with ``airflow dags test``, and show the results."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pyarrow.parquet as pq
from airflow_home import AIRFLOW, WORK, environment, migrate

from mlsql_runtime.store.functions import read_function
from mlsql_runtime.store.versions import open_model_path, read_manifest

DAG = "mlsql_train_register_predict"
FOLDER = WORK / "demo"
_SHOWN = re.compile(
    r"\] (\[(?:mlsql|fit \d+|register \w+)\] .*?|Version \d+ of .*?|Spark runs on .*?)\s+\[airflow\.task[\w.]*\]( |$)"
)
_TASK = re.compile(r"\[DAG TEST\] starting task_id=(\w+)")
_ERROR = re.compile(r"^(mlsql_runtime\.errors\.\w+: .*)")


def run_dag(conf: dict[str, str]) -> bool:
    """Run the DAG, show its progress, keep its log, and return whether it succeeded."""
    home = WORK / "airflow"
    migrate(home)
    command = [AIRFLOW, "dags", "test", DAG, "--conf", json.dumps(conf)]
    last = ""
    with (
        (FOLDER / "airflow.log").open("w") as log,
        subprocess.Popen(command, env=environment(home), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process,
    ):
        for line in process.stdout or ():
            log.write(line)
            last = line
            if task := _TASK.search(line):
                print(f"task {task[1]}", flush=True)
            elif shown := _SHOWN.search(line) or _ERROR.match(line):
                print(" ", shown[1][:160], flush=True)
    return process.returncode == 0 and "DagRun failed" not in last


def report(model_path: str, predictions: str) -> str:
    """Print the interesting lines of the log, and return the last line."""
    root = open_model_path(model_path)
    record = read_function(root, "jack")
    manifest = read_manifest(root)
    print(f"\nmodel path    {root.uri}\nversion       {manifest.version}")
    for fit in manifest.fits:
        chosen = "   <- registered as jack" if (manifest.version, fit.alg_index) == (record.version, record.alg_index) else ""
        print(f"group {fit.alg_index}       {fit.status}, score {fit.score}, {dict(fit.params)}{chosen}")
    table = pq.read_table(predictions)
    print(f"predictions   {table.num_rows} rows in {predictions}, the first five:")
    for row in table.slice(0, 5).to_pylist():
        print(f"  label {row['label']}   prediction {row['prediction']['values'][0]}")
    return f"demo: version={manifest.version} score={manifest.best.score} rows={table.num_rows} predictions={predictions}"


def main() -> int:
    """Run and report; return 0 for success."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    model_path, predictions = str(FOLDER / "pa_model"), str(FOLDER / "predictions")
    print(f"airflow dags test {DAG} (whole log: {FOLDER / 'airflow.log'})", flush=True)
    if not run_dag({"model_path": model_path, "output_path": predictions}):
        print(f"demo: the DAG failed; see {FOLDER / 'airflow.log'}", file=sys.stderr)
        return 1
    print(report(model_path, predictions))
    return 0


if __name__ == "__main__":
    sys.exit(main())
