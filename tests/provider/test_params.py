"""The trigger form: what a field does not allow starts nothing, and what it allows reaches the operators."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from support.airflow import Airflow
from support.deployment import Deployment
from support.events import task_states

from mlsql_runtime.storage.location import Location
from mlsql_runtime.store.functions import read_function

DAG = "mlsql_trigger_with_params"


def test_every_field_of_the_form_has_a_title_and_a_section(deployment: Deployment) -> None:
    deployment.unpause(DAG)
    fields: dict[str, Any] = deployment.answer("GET", f"dags/{DAG}/details")["params"]
    assert [name for name, field in fields.items() if not field["schema"].get("title")] == []
    sections = dict.fromkeys(field["schema"]["section"] for field in fields.values())
    assert list(sections) == ["Data", "Model", "Training", "Gate", "Prediction"]


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("data_format", "excel", "'excel' is not one of ['libsvm', 'parquet', 'orc']"),
        ("data_path", "", "'' does not match '/'"),
        ("width", 0, "0 is less than the minimum of 1"),
        ("function_name", "drop table", "'drop table' does not match '^(?!(None|True|False)$)[A-Za-z_]"),
        ("keep_versions", 2.5, "2.5 is not of type 'integer', 'null'"),
        ("fit_params", [], "[] should be non-empty"),
        ("fit_params", [{"alpha": 1, "alhpa": 2}], "'alhpa' was unexpected"),
        ("fit_params", [{"batchSize": 30}], "'alpha' is a required property"),
        ("fit_params", '[{"alpha": 1}]', "is not of type 'array'"),
        ("validate_fraction", 1, "1 is greater than the maximum of 0.9"),
        ("fail_on", None, "None is not of type 'string'"),
        ("min_score", 90, "90 is greater than the maximum of 1"),
        ("on_refused", "ignore", "'ignore' is not one of ['skip', 'succeed', 'fail']"),
    ],
)
def test_a_value_that_a_field_does_not_allow_starts_no_run(deployment: Deployment, field: str, value: object, said: str) -> None:
    refused = deployment.start(DAG, {field: value})
    assert refused.status_code == 400
    assert said in refused.json()["detail"]
    assert deployment.answer("GET", f"dags/{DAG}/dagRuns")["total_entries"] == 0


def test_the_defaults_run_at_once_and_empty_fields_mean_not_set(airflow: Airflow, tmp_path: Path) -> None:
    paths = {"model_path": str(tmp_path / "m"), "output_path": str(tmp_path / "out")}
    airflow.succeed(DAG, paths)
    first = airflow.xcoms(DAG)
    assert (first["train"]["version"], len(first["train"]["fits"]), first["register"]["registered"]) == (1, 2, True)
    assert pq.read_table(tmp_path / "out").num_rows == first["predict"]["rows"] == 100

    changed = {
        "width": None,
        "query": "select label, features from data\nwhere label = 1 or vec_size(features) > 0",
        "keep_versions": None,
        "fit_params": [{"alpha": 0.5, "fit_prior": False}],
        "min_score": None,
        "only_if_better": 1,
    }
    airflow.succeed(DAG, paths | changed)
    second = airflow.xcoms(DAG)
    assert (second["train"]["version"], len(second["train"]["fits"])) == (2, 1)
    assert "expected better by at least 1.0 than 1.0" in second["register"]["reason"]
    assert task_states(airflow, DAG) == {"train": "success", "register": "skipped", "predict": "skipped"}
    assert read_function(Location.of(str(tmp_path / "m")), "jack").version == 1
