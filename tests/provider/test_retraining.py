"""Retraining on a schedule: what is current after a good, a worse and a broken day, and who says why; days at the same time."""

from __future__ import annotations

import getpass
import json
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from support.airflow import Airflow
from support.deployment import Deployment
from support.events import asset_events, task_states
from support.workbench import SAMPLE

from mlsql_runtime.storage.location import Location
from mlsql_runtime.store.function_history import read_history
from mlsql_runtime.store.functions import read_function
from mlsql_runtime.store.versions import read_manifest, read_states

DAG = "mlsql_scheduled_retraining"
BACKFILLED = "retraining_backfilled"


def write_day(days: Path, day: str, wrong: int, rows: int = 60) -> None:
    """The sample's first rows as a day's data, with the labels of some rows turned around."""
    lines = Path(SAMPLE).read_text(encoding="utf-8").splitlines()[:rows]
    turned = [("1" if line[0] == "0" else "0") + line[1:] for line in lines[:wrong]]
    days.mkdir(exist_ok=True)
    (days / day).write_text("\n".join([*turned, *lines[wrong:]]) + "\n", encoding="utf-8")


def test_three_days_a_good_a_worse_and_a_broken_one(airflow: Airflow, tmp_path: Path) -> None:
    days, model, output = tmp_path / "days", tmp_path / "m", tmp_path / "out"
    conf = {"data_path": str(days), "model_path": str(model), "output_path": str(output)}
    root = Location.of(str(model))
    write_day(days, "2026-01-01", wrong=0)
    write_day(days, "2026-01-02", wrong=45)

    airflow("dags", "test", DAG, "2026-01-02", "--conf", json.dumps(conf))
    first = airflow.xcoms(DAG)
    assert (first["register"]["registered"], first["register"]["reason"]) == (True, None)
    assert first["decision"] == "jack is version 1 now"

    airflow("dags", "test", DAG, "2026-01-03", "--conf", json.dumps(conf))
    second = airflow.xcoms(DAG)
    assert second["train"]["score"] < first["train"]["score"]
    assert (second["register"]["registered"], second["register"]["version"]) == (False, 2)
    assert second["decision"] == f"jack is left as it is: {second['register']['reason']}"
    assert read_function(root, "jack").version == 1

    airflow.test(DAG, conf)  # today, of which there are no data
    assert task_states(airflow, DAG) == {
        "train": "failed",
        "register": "upstream_failed",
        "decision": "upstream_failed",
        "predict": "success",
    }
    assert read_function(root, "jack").version == 1

    assert [predictions.num_rows for predictions in map(pq.read_table, sorted(output.iterdir()))] == [100, 100, 100]
    assert [folder.name for folder in sorted(output.iterdir())][:2] == ["day=2026-01-01", "day=2026-01-02"]
    told = [(each.happened, each.version, each.by, each.reason, each.current) for each in read_history(root, "jack").history]
    assert told == [
        ("registered", 1, "dag_test", "jack was not registered before", True),
        ("refused", 2, "dag_test", second["register"]["reason"], False),
    ]
    trained = [
        {"model_path": str(model), "version": each["train"]["version"], "score": each["train"]["score"]}
        for each in (first, second)
    ]
    keys = ("function", "registered", "reason", "model_path", "version", "score")
    asked = [{key: each["register"][key] for key in keys} for each in (first, second)]
    assert asset_events(airflow, DAG) == {"retrained_model": trained, "function_jack": asked}


def add_backfilled_dag(deployment: Deployment) -> None:
    """The example, ended long ago, so that the scheduler adds no run of its own."""
    source = (deployment.dags / f"{DAG}.py").read_text(encoding="utf-8")
    began = "start_date=datetime(2026, 1, 1, tzinfo=timezone.utc)"
    ended = source.replace(began, f"{began}, end_date=datetime(2026, 1, 6, tzinfo=timezone.utc)").replace(
        f'"{DAG}"', f'"{BACKFILLED}"'
    )
    assert ended.count("end_date=") == ended.count(f'"{BACKFILLED}"') == 1
    (deployment.dags / f"{BACKFILLED}.py").write_text(ended, encoding="utf-8")
    deployment.unpause(BACKFILLED)


def backfill(deployment: Deployment, first: str, last: str, conf: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Two days at a time, to the end of all; the runs by the days of their data."""
    window = ("--from-date", first, "--to-date", last, "--max-active-runs", "2")
    deployment.command("backfill", "create", "--dag-id", BACKFILLED, *window, "--dag-run-conf", json.dumps(conf))

    def runs() -> Any:
        found = deployment.answer("GET", f"dags/{BACKFILLED}/dagRuns")["dag_runs"]
        return found if found and all(run["state"] in ("success", "failed") for run in found) else None

    return {run["data_interval_start"][:10]: run for run in deployment.until(runs, "the backfill")}


def at(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def test_days_at_the_same_time_do_not_disturb_each_other(deployment: Deployment, tmp_path: Path) -> None:
    days, model, output = tmp_path / "days", tmp_path / "m", tmp_path / "out"
    wrong = {"2026-01-01": 25, "2026-01-02": 0, "2026-01-03": 45, "2026-01-04": 20}
    rows = {day: 60 + index for index, day in enumerate(wrong)}
    for day, turned in wrong.items():
        write_day(days, day, turned, rows[day])
    add_backfilled_dag(deployment)
    conf = {"data_path": str(days), "model_path": str(model), "output_path": str(output), "keep_versions": 3}
    runs = backfill(deployment, "2026-01-01", "2026-01-05", conf)  # of the fifth there are no data

    states = {day: run["state"] for day, run in runs.items()}
    logs = "".join(deployment.logs(BACKFILLED, runs[day]["dag_run_id"]) for day in wrong if states[day] != "success")
    assert states == dict.fromkeys(wrong, "success") | {"2026-01-05": "failed"}, logs
    assert at(runs["2026-01-02"]["start_date"]) < at(runs["2026-01-01"]["end_date"])  # there were two at a time

    def answers(task: str) -> dict[str, dict[str, Any]]:
        return {day: deployment.xcom(BACKFILLED, runs[day]["dag_run_id"], task) for day in wrong}

    trained, registered = answers("train"), answers("register")
    assert {day: answer["rows"] for day, answer in trained.items()} == rows
    numbers = {day: answer["version"] for day, answer in trained.items()}
    assert sorted(numbers.values()) == [1, 2, 3, 4]
    scores = {day: answer["score"] for day, answer in trained.items()}
    assert sorted(scores, key=lambda day: scores[day]) == ["2026-01-03", "2026-01-01", "2026-01-04", "2026-01-02"]
    assert {day: (each["version"], each["score"]) for day, each in registered.items()} == {
        day: (numbers[day], scores[day]) for day in wrong
    }

    root = Location.of(str(model))
    complete = [number for number, state in read_states(root).items() if state == "complete"]
    told = read_history(root, "jack").history
    became = [each.version for each in told if each.happened == "registered"]
    assert {2, 3, 4} <= set(complete) <= {2, 3, 4, *became}  # three are kept, and what was in use when the others went
    for day, version in numbers.items():
        if version in complete:
            manifest = read_manifest(root, version)
            assert (manifest.job_id, manifest.data.rows) == (f"{BACKFILLED}.train/{runs[day]['dag_run_id']}/0", rows[day])

    assert sorted(each.version for each in told) == [1, 2, 3, 4]
    assert {each.by for each in told} == {getpass.getuser()}  # whoever asked for the backfill
    assert [each.score for each in told if each.current] == [1.0]
    assert read_function(root, "jack").version == numbers["2026-01-02"]
    better = [each.score for each in told if each.happened == "registered"]
    assert all(before is not None and after is not None and before < after for before, after in pairwise(better))
    assert {day: each["registered"] for day, each in registered.items()} == {day: numbers[day] in became for day in wrong}
    tasks = [task for run in runs.values() for task in deployment.tasks(BACKFILLED, run["dag_run_id"])]
    spans = sorted(
        (at(t["start_date"]), at(t["end_date"])) for t in tasks if t["task_id"] == "register" and t["state"] == "success"
    )
    assert all(before[1] <= after[0] for before, after in pairwise(spans))  # one registration after the other

    predicted = {folder.name: pq.read_table(folder).num_rows for folder in output.iterdir()}
    assert predicted == {f"day={day}": 100 for day in runs}
    for day in runs:
        used = deployment.xcom(BACKFILLED, runs[day]["dag_run_id"], "predict")["functions"]["jack"]
        assert used["version"] in became
