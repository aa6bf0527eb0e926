"""A warning when a model is loaded with another library version than the one that trained it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.estimators import BUILTIN, train_groups
from support.workbench import RunPlan

from mlsql_runtime.plan import FunctionRef, Register, Select

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def test_another_version_than_that_of_the_training_is_warned_of_once(
    run_plan: RunPlan, model_path: str, capfd: pytest.CaptureFixture[str]
) -> None:
    capfd.readouterr()
    run_plan(Register(model_path=model_path, function="jack", script_path=BUILTIN)).raise_for_error()
    assert "warning" not in capfd.readouterr().out
    place = Path(model_path) / "_functions/jack/1/function.json"
    record = json.loads(place.read_text())
    trained_with = record["packages"]["scikit-learn"]
    record["packages"]["scikit-learn"] = "1.0.2"
    place.write_text(json.dumps(record))
    ref = FunctionRef(name="jack", model_path=model_path, function="jack")
    run_plan(Select(table="p", sql="select jack(features) as p from data", functions=(ref,))).raise_for_error()
    lines = [line for line in capfd.readouterr().out.splitlines() if "warning" in line]
    told = f"function jack: its model was trained with scikit-learn 1.0.2, but is loaded with {trained_with}"
    assert len(lines) == 1
    assert told in lines[0]


OLD = """
import mlsql, mlsql_model
import sklearn.base
from sklearn.tree import DecisionTreeClassifier

X, y = mlsql.all_data()
model = DecisionTreeClassifier().fit(X, y)
sklearn.base.__version__ = "1.0.2"  # as an older scikit-learn would save it
mlsql_model.sk_save_model(model)
"""


def test_workers_do_not_repeat_the_warning(
    run_plan: RunPlan, spark: SparkSession, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "old.py").write_text(OLD)
    path = tmp_path / "m"
    run_plan(
        train_groups(path, str(tmp_path / "old.py"), {}), Register(model_path=str(path), function="old", script_path=BUILTIN)
    ).raise_for_error()
    assert spark.sql("select old(features) as p from data").count() == 100
    assert spark.sql("select old(features) as p from data").collect()[0].p[0] in (0.0, 1.0)
    captured = capfd.readouterr()
    assert "InconsistentVersionWarning" not in captured.out + captured.err
