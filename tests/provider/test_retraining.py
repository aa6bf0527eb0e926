"""Retraining on a schedule: what is current after good, worse and broken days, some at the same time, and what history says."""

from __future__ import annotations

import getpass
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from support.airflow import Airflow
from support.deployment import Deployment
from support.events import asset_events
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


def test_a_first_day(airflow: Airflow, tmp_path: Path) -> None:
    days, model, output = tmp_path / "days", tmp_path / "m", tmp_path / "out"
    conf = {"data_path": str(days), "model_path": str(model), "output_path": str(output)}
    write_day(days, "2026-01-01", wrong=0)
    airflow("dags", "test", DAG, "2026-01-02", "--conf", json.dumps(conf))
    values = airflow.xcoms(DAG)
    assert (values["register"]["registered"], values["register"]["reason"]) == (True, None)
    assert values["decision"] == "jack is version 1 now"
    assert [(folder.name, pq.read_table(folder).num_rows) for folder in output.iterdir()] == [("day=2026-01-01", 100)]
    [made] = read_history(Location.of(str(model)), "jack").history
    assert (made.happened, made.version, made.by, made.current) == ("registered", 1, "dag_test", True)
    assert made.reason == "jack was not registered before"
    assert asset_events(airflow, DAG) == expected_events([values])


def expected_events(answers: Sequence[Mapping[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Return the events of the example's assets after runs with these XComs."""
    train, register = ("model_path", "version", "score"), ("function", "registered", "reason", "model_path", "version", "score")
    return {
        "retrained_model": [{key: answer["train"][key] for key in train} for answer in answers],
        "function_jack": [{key: answer["register"][key] for key in register} for answer in answers],
    }


def add_backfilled_dag(deployment: Deployment) -> None:
    """The example, ended long ago, so that the scheduler adds no run of its own."""
    source = (deployment.dags / f"{DAG}.py").read_text(encoding="utf-8")
    began = "start_date=datetime(2026, 1, 1, tzinfo=timezone.utc)"
    ended = source.replace(began, f"{began}, end_date=datetime(2026, 1, 6, tzinfo=timezone.utc)").replace(
        f'"{DAG}"', f'"{BACKFILLED}"'
    )
    assert ended.count("end_date=") == ended.count(f'"{BACKFILLED}"') == 1
    (deployment.dags / f"{BACKFILLED}.py").write_text(ended, encoding="utf-8")
    deployment.until(lambda: deployment.ask("GET", f"dags/{BACKFILLED}").is_success, f"DAG {BACKFILLED}")


def backfill(deployment: Deployment, first: str, last: str, conf: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Two days at a time, to the end of all; the runs by the days of their data."""
    window = ("--from-date", first, "--to-date", last, "--max-active-runs", "2")

    def create() -> bool:
        try:
            deployment.command("backfill", "create", "--dag-id", BACKFILLED, *window, "--dag-run-conf", json.dumps(conf))
        except AssertionError as error:
            if "database is locked" not in str(error):
                raise
            return False  # SQLite: another process wrote after the command had read; Airflow removes what the command has added
        return True

    deployment.until(create, "the command that creates the backfill")
    deployment.unpause(BACKFILLED)  # not before, so that the scheduler does not write the runs at the same time

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

    def answers(task: str) -> dict[str, Any]:
        return {day: deployment.xcom(BACKFILLED, runs[day]["dag_run_id"], task) for day in wrong}

    trained, registered, decisions = answers("train"), answers("register"), answers("decision")
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
    assert (registered["2026-01-02"]["reason"], registered["2026-01-03"]["registered"]) == (None, False)  # the best, the worst
    assert decisions == {
        day: f"jack is version {each['version']} now" if each["registered"] else f"jack is left as it is: {each['reason']}"
        for day, each in registered.items()
    }
    refused = {each["version"]: each["reason"] for each in registered.values() if not each["registered"]}
    assert {each.version: each.reason for each in told if each.happened == "refused"} == refused
    assert told[0].reason == "jack was not registered before"
    broken = {task["task_id"]: task["state"] for task in deployment.tasks(BACKFILLED, runs["2026-01-05"]["dag_run_id"])}
    assert broken == {"train": "failed", "register": "upstream_failed", "decision": "upstream_failed", "predict": "success"}
    expected = expected_events([{"train": trained[day], "register": registered[day]} for day in wrong])
    by_version = {
        name: sorted(events, key=lambda event: event["version"]) for name, events in asset_events(deployment, BACKFILLED).items()
    }
    assert by_version == {name: sorted(events, key=lambda event: event["version"]) for name, events in expected.items()}
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
