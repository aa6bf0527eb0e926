"""The example DAGs in a real Airflow on SQLite, and the provider as Airflow sees it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from support.airflow import Airflow
from support.openlineage import check_event, find_task_events, normalize
from support.operators import build_example
from support.workbench import SAMPLE

from mlsql_runtime.plan import Load, Register, Train
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store.function_history import HistoryEntry, read_history

MAIN = "mlsql_train_register_predict"
EVENTS = Path(__file__).with_name("main_example_events.json")


def test_airflow_knows_the_provider_and_imports_every_example(airflow: Airflow) -> None:
    provider = airflow.program("providers", "get", "airflow-provider-mlsql", "--output", "json")
    assert json.loads(provider.stdout)[0]["Provider"] == "airflow-provider-mlsql"
    assert "error" not in provider.stderr.lower()
    errors = airflow("dags", "list-import-errors", "--output", "json")
    assert json.loads(errors.stdout.strip().splitlines()[-1]) == []


@dataclass(frozen=True)
class MainJob:
    """A run of the main example."""

    folder: Path
    log: str
    xcoms: dict[str, Any]
    history: tuple[HistoryEntry, ...]
    events: list[dict[str, Any]]

    @property
    def model_path(self) -> str:
        return str(self.folder / "m")


@pytest.fixture(scope="module")
def main_job(airflow: Airflow, tmp_path_factory: pytest.TempPathFactory) -> MainJob:
    """Run the main example as users do, by the path of the program."""
    folder = tmp_path_factory.mktemp("main")
    conf = {"model_path": str(folder / "m"), "output_path": str(folder / "out")}
    log, events = airflow.report(MAIN, conf, folder / "events.jsonl")
    return MainJob(folder, log, airflow.xcoms(MAIN), read_history(Location.of(str(folder / "m")), "jack").history, events)


def test_the_main_job_end_to_end(main_job: MainJob) -> None:
    values = main_job.xcoms
    train = values["train"]
    assert set(train) == {"model_path", "version", "score", "best", "fits", "rows"}
    assert (train["model_path"], train["version"]) == (main_job.model_path, 1)
    assert train["score"] >= 0.9
    assert [set(fit) for fit in train["fits"]] == [{"alg_index", "status", "score", "metrics", "seconds"}] * 2
    assert values["wait_for_model"] == train
    register = values["register"]
    assert set(register) == {
        "function",
        "registered",
        "reason",
        "model_path",
        "version",
        "alg_index",
        "score",
        "function_version",
    }
    assert (register["function"], register["registered"], register["alg_index"]) == ("jack", True, train["best"]["alg_index"])
    [made] = main_job.history
    assert (made.happened, made.version, made.by, made.current) == ("registered", 1, "dag_test", True)
    assert made.reason == f"score {train['score']} is at least 0.9"
    predict = values["predict"]
    assert (predict["rows"], predict["output"]) == (100, str(main_job.folder / "out"))
    assert predict["functions"]["jack"]["version"] == 1
    predictions = pq.read_table(main_job.folder / "out")
    assert predictions.num_rows == 100
    assert "Spark runs on local[*], inside this worker" in main_job.log
    assert "[mlsql] starting Spark, which usually takes" in main_job.log
    assert "[fit 0] mlsql_validation_score:" in main_job.log
    assert "INFO SparkContext" not in main_job.log


def test_the_main_job_tells_openlineage_what_it_reads_and_writes(main_job: MainJob) -> None:
    for event in main_job.events:
        check_event(event)
    assert {event["job"]["name"] for event in main_job.events} >= {MAIN, f"{MAIN}.train"}
    names = {str(main_job.folder): "<folder>", SAMPLE: "<sample>"}
    found = [normalize(event, names) for event in find_task_events(main_job.events)]
    assert found == json.loads(EVENTS.read_text())


def test_the_params_of_the_main_example_reach_its_operators() -> None:
    params = {"model_path": "/m", "min_score": 2, "fit_params": [{"alpha": 1}], "validate_fraction": 0.2, "data_path": "/d"}
    xcoms = {"train": {"version": 7}, "wait_for_model": {"version": 7}, "register": {"function": "jack", "model_path": "/m"}}
    statements = build_example(MAIN, params, xcoms)
    (load, train), [register], (other, *_) = (statements[task] for task in ("train", "register", "predict"))
    assert isinstance(train, Train)
    assert isinstance(register, Register)
    assert (train.model_path, train.fit_params, train.validate_fraction) == ("/m", ({"alpha": "1"},), 0.2)
    assert (register.model_path, register.model_version, register.min_score) == ("/m", 7, 2.0)
    assert load == other == Load(table="data", format="libsvm", path="/d", options={"numFeatures": "692"})


def test_the_example_of_assets_registers_the_newest_version_in_a_manual_run(airflow: Airflow, main_job: MainJob) -> None:
    airflow.succeed("mlsql_asset_triggered", MLSQL_MODEL_PATH=main_job.model_path)
    register = airflow.xcoms("mlsql_asset_triggered")["register"]
    assert (register["registered"], register["version"], register["function_version"]) == (True, 1, 2)
