"""Retraining on a schedule: what is current after better, worse and broken days, two at the same time, and what history says."""

from __future__ import annotations

import runpy
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from support.airflow import EXAMPLE_DAGS
from support.deployment import USER, Deployment
from support.events import asset_events
from support.workbench import SAMPLE

from mlsql_runtime.storage.location import Location
from mlsql_runtime.store.function_history import read_history
from mlsql_runtime.store.functions import read_function
from mlsql_runtime.store.versions import read_manifest, read_states

DAG = "mlsql_scheduled_retraining"
BACKFILLED = "retraining_backfilled"


def write_day(days: Path, day: str, rows: int) -> None:
    """Write the sample's first rows as a day's data."""
    lines = Path(SAMPLE).read_text(encoding="utf-8").splitlines(keepends=True)
    days.mkdir(exist_ok=True)
    (days / day).write_text("".join(lines[:rows]), encoding="utf-8")


def expected_events(answers: Sequence[Mapping[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Return the events of the example's assets after runs with these XComs. A task that a refusal has skipped makes none."""
    train, register = ("model_path", "version", "score"), ("function", "registered", "reason", "model_path", "version", "score")
    return {
        "retrained_model": [{key: answer["train"][key] for key in train} for answer in answers],
        "function_jack": [
            {key: each[key] for key in register} for each in (a["register"] for a in answers) if each["registered"]
        ],
    }


def add_ended_dag(deployment: Deployment, name: str) -> None:
    """Add the example under a name, ended long ago, so that the scheduler adds no run of its own."""
    source = (deployment.dags / f"{DAG}.py").read_text(encoding="utf-8")
    began = "start_date=datetime(2026, 1, 1, tzinfo=timezone.utc)"
    ended = source.replace(began, f"{began}, end_date=datetime(2026, 1, 6, tzinfo=timezone.utc)").replace(f'"{DAG}"', f'"{name}"')
    assert ended.count("end_date=") == ended.count(f'"{name}"') == 1
    (deployment.dags / f"{name}.py").write_text(ended, encoding="utf-8")
    deployment.until(lambda: deployment.ask("GET", f"dags/{name}").is_success, f"DAG {name}")


def backfill(deployment: Deployment, first: str, last: str, conf: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Two days at a time, to the end of all; the runs by the days of their data."""
    window = {"from_date": f"{first}T00:00:00Z", "to_date": f"{last}T00:00:00Z", "max_active_runs": 2}

    def create() -> bool:
        response = deployment.ask("POST", "backfills", {"dag_id": BACKFILLED, "dag_run_conf": conf} | window)
        assert response.is_success or "Database is locked" in response.text, response.text
        return response.is_success  # else another process wrote after Airflow had read; Airflow removes what it has added

    deployment.until(create, "the backfill to be created")
    deployment.unpause(BACKFILLED)  # not before, so that the scheduler does not write the runs at the same time

    def runs() -> Any:
        found = deployment.answer("GET", f"dags/{BACKFILLED}/dagRuns")["dag_runs"]
        return found if found and all(run["state"] in ("success", "failed") for run in found) else None

    return {run["data_interval_start"][:10]: run for run in deployment.until(runs, "the backfill")}


def at(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def test_of_two_days_at_the_same_time_one_wins_and_a_day_without_data_predicts(deployment: Deployment, tmp_path: Path) -> None:
    days, model, output = tmp_path / "days", tmp_path / "m", tmp_path / "out"
    rows = {"2026-01-01": 60, "2026-01-02": 61}  # both models have the best score: the one registered second is refused
    for day, count in rows.items():
        write_day(days, day, count)
    add_ended_dag(deployment, BACKFILLED)
    conf = {"data_path": str(days), "model_path": str(model), "output_path": str(output), "keep_versions": 4}
    runs = backfill(deployment, "2026-01-01", "2026-01-03", conf)

    states = {day: run["state"] for day, run in runs.items()}
    logs = "".join(deployment.logs(BACKFILLED, runs[day]["dag_run_id"]) for day in rows if states[day] != "success")
    assert states == dict.fromkeys(rows, "success") | {"2026-01-03": "failed"}, logs
    assert at(runs["2026-01-02"]["start_date"]) < at(runs["2026-01-01"]["end_date"])  # there were two at a time

    def tasks_of(day: str) -> list[dict[str, Any]]:
        return deployment.tasks(BACKFILLED, runs[day]["dag_run_id"])

    def answers(task: str) -> dict[str, Any]:
        return {day: deployment.xcom(BACKFILLED, runs[day]["dag_run_id"], task) for day in rows}

    trained, registered = answers("train"), answers("register")
    assert {day: (answer["rows"], answer["score"]) for day, answer in trained.items()} == {
        day: (count, 1.0) for day, count in rows.items()
    }
    numbers = {day: answer["version"] for day, answer in trained.items()}
    assert sorted(numbers.values()) == [1, 2]
    assert {day: (each["version"], each["score"]) for day, each in registered.items()} == {
        day: (number, 1.0) for day, number in numbers.items()
    }

    root = Location.of(str(model))
    assert read_states(root) == {1: "complete", 2: "complete"}
    for day, version in numbers.items():
        manifest = read_manifest(root, version)
        assert (manifest.job_id, manifest.data.rows) == (f"{BACKFILLED}.train/{runs[day]['dag_run_id']}/0", rows[day])

    made, refused = read_history(root, "jack").history
    assert {made.version, refused.version} == {1, 2}
    assert (made.happened, made.reason, made.current) == ("registered", "jack was not registered before", True)
    refusal = f"version {refused.version}, group 0 has score 1.0; expected better than 1.0 of the current version {made.version}"
    assert (refused.happened, refused.reason, refused.current) == ("refused", refusal, False)
    assert made.by == refused.by == USER  # who created the backfill
    assert read_function(root, "jack").version == made.version
    by_version = {each["version"]: (each["registered"], each["reason"]) for each in registered.values()}
    assert by_version == {made.version: (True, made.reason), refused.version: (False, refusal)}
    decided = {numbers[day]: next(t for t in tasks_of(day) if t["task_id"] == "decision")["state"] for day in rows}
    assert decided == {made.version: "success", refused.version: "skipped"}
    (winner,) = [runs[day]["dag_run_id"] for day in rows if numbers[day] == made.version]
    assert deployment.xcom(BACKFILLED, winner, "decision") == f"jack is version {made.version} now: {made.reason}"
    broken = {task["task_id"]: task["state"] for task in tasks_of("2026-01-03")}
    upstream = dict.fromkeys(("register", "decision"), "upstream_failed")
    assert broken == {"begin": "success", "train": "failed", **upstream, "predict": "success"}
    expected = expected_events([{"train": trained[day], "register": registered[day]} for day in rows])
    events = {
        name: sorted(events, key=lambda event: event["version"]) for name, events in asset_events(deployment, BACKFILLED).items()
    }
    assert events == {name: sorted(events, key=lambda event: event["version"]) for name, events in expected.items()}
    tasks = [task for run in runs.values() for task in deployment.tasks(BACKFILLED, run["dag_run_id"])]
    first, second = sorted(
        (at(t["start_date"]), at(t["end_date"]))
        for t in tasks
        if t["task_id"] == "register" and t["state"] in ("success", "skipped")
    )
    assert first[1] <= second[0]  # one registration after the other

    predicted = {folder.name: pq.read_table(folder).num_rows for folder in output.iterdir()}
    assert predicted == {f"day={day}": 100 for day in runs}
    for run in runs.values():
        used = deployment.xcom(BACKFILLED, run["dag_run_id"], "predict")["functions"]["jack"]
        assert used["version"] == made.version


def test_before_the_first_day_with_data_a_run_does_nothing(deployment: Deployment, tmp_path: Path) -> None:
    name = "retraining_without_data"
    add_ended_dag(deployment, name)
    deployment.unpause(name)
    conf = {"data_path": str(tmp_path / "days"), "model_path": str(tmp_path / "m")}
    run = deployment.answer("POST", f"dags/{name}/dagRuns", {"logical_date": "2026-01-03T00:00:00Z", "conf": conf})["dag_run_id"]
    deployment.ended(name, run)
    states = {task["task_id"]: task["state"] for task in deployment.tasks(name, run)}
    assert states == dict.fromkeys(("train", "register", "predict", "decision"), "skipped") | {"begin": "success"}


def test_a_manual_run_is_of_the_day_before() -> None:
    """As ``airflow dags test mlsql_scheduled_retraining 2026-02-01`` makes it, which the example names."""
    dag = runpy.run_path(str(EXAMPLE_DAGS / f"{DAG}.py"))["train"].dag
    midnight = datetime(2026, 2, 1, tzinfo=timezone.utc)
    interval = dag.timetable.infer_manual_data_interval(run_after=midnight)
    assert (interval.start, interval.end) == (midnight - timedelta(days=1), midnight)
