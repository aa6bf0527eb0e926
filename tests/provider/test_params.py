"""The trigger form: what a field does not allow starts nothing, and what it allows reaches the operators."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest
from support.airflow import EXAMPLE_DAGS
from support.deployment import Deployment
from support.operators import build_example
from support.workbench import EXAMPLES, SAMPLE

from mlsql_runtime.plan import FunctionRef, Load, PythonEnv, Register, Save, Select, Statement, Train

DAG = "mlsql_trigger_with_params"


def test_every_field_of_the_form_has_a_title_and_a_section(deployment: Deployment) -> None:
    deployment.unpause(DAG)
    fields: dict[str, Any] = deployment.answer("GET", f"dags/{DAG}/details")["params"]
    assert [name for name, field in fields.items() if not field["schema"].get("title")] == []
    sections = dict.fromkeys(field["schema"]["section"] for field in fields.values())
    assert list(sections) == ["Data", "Model", "Training", "Gate", "Prediction"]


@pytest.mark.parametrize("example", sorted(EXAMPLE_DAGS.glob("*.py")), ids=lambda path: path.stem)
def test_no_number_of_a_form_has_bounds_of_its_own(example: Path) -> None:
    """The form changes a number beyond such a bound to the bound, and starts the run. It does not know those in ``allOf``."""
    calls = [node for node in ast.walk(ast.parse(example.read_text())) if isinstance(node, ast.Call)]
    params = [call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "Param"]
    assert {each.arg for param in params for each in param.keywords} & {"minimum", "maximum"} == set()


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
    runs = deployment.answer("GET", f"dags/{DAG}/dagRuns")["dag_runs"]  # other tests start some, too
    assert [run for run in runs if (run["conf"] or {}).get(field) == value] == []


def build(**fields: object) -> dict[str, tuple[Statement, ...]]:
    """Return the statements of each task for these values of the form."""
    registered = {"function": "jack", "model_path": "/m", "function_version": 4}
    return build_example(DAG, fields, {"train": {"version": 3}, "register": registered})


def test_the_defaults_reach_the_operators() -> None:
    tasks = build()
    load = Load(table="data", format="libsvm", path=SAMPLE, options={"numFeatures": "692"})
    assert tasks["train"] == (
        load,
        Train(
            table="data",
            model_path="/tmp/mlsql/form_model",
            script_path=str(EXAMPLES / "train_bayes.py"),
            fit_params=({"alpha": "1.0", "batchSize": "30"}, {"alpha": "0.01", "batchSize": "30"}),
            validate_fraction=0.3,
            python=PythonEnv(timeout=600.0),
            keep_versions=5,
        ),
    )
    assert tasks["register"] == (
        Register(
            model_path="/tmp/mlsql/form_model",
            function="jack",
            script_path=str(EXAMPLES / "predict_bayes.py"),
            model_version=3,
            min_score=0.9,
        ),
    )
    jack = FunctionRef(name="jack", model_path="/m", function="jack", function_version=4)
    assert tasks["predict"] == (
        load,
        Select(table="selected", sql="select label, jack(features) as prediction from data", functions=(jack,)),
        Save(table="selected", format="parquet", path="/tmp/mlsql/form_predictions", mode="overwrite"),
    )


def test_empty_fields_mean_not_set_and_values_keep_their_types() -> None:
    query = "select label, features from data\nwhere label = 1 or vec_size(features) > 0"
    tasks = build(
        width=None,
        query=query,
        keep_versions=None,
        fit_params=[{"alpha": 0.5, "fit_prior": False}],
        min_score=None,
        only_if_better=1,
        timeout_minutes=2,
    )
    load, select, train = tasks["train"]
    assert load == Load(table="data", format="libsvm", path=SAMPLE)
    assert select == Select(table="selected", sql=query)
    assert isinstance(train, Train)
    assert (train.table, train.keep_versions, train.python.timeout) == ("selected", None, 120.0)
    assert train.fit_params == ({"alpha": "0.5", "fit_prior": "false"},)
    (register,) = tasks["register"]
    assert isinstance(register, Register)
    assert (register.min_score, register.only_if_better) == (None, 1.0)
