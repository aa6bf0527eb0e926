"""The example DAG without a script, in a real Airflow: estimators are compared, the best answers in SQL."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
from support.airflow import Airflow

from mlsql_runtime.storage.location import Location
from mlsql_runtime.store.versions import read_manifest


def test_estimators_are_compared_and_the_best_answers(airflow: Airflow, tmp_path: Path) -> None:
    estimators = [
        {"moduleName": "sklearn.linear_model", "className": "LogisticRegression", "C": 0.1, "max_iter": 1000},
        {"moduleName": "sklearn.naive_bayes", "className": "MultinomialNB", "batchSize": 30},
    ]
    given = {"model_path": str(tmp_path / "m"), "output_path": str(tmp_path / "out"), "estimators": estimators}
    log = airflow.succeed("mlsql_builtin", given)
    values = airflow.xcoms("mlsql_builtin")
    assert [fit["status"] for fit in values["train"]["fits"]] == ["success"] * 2
    assert values["train"]["score"] >= 0.9
    assert "sklearn.naive_bayes.MultinomialNB learns batch by batch" in log
    manifest = read_manifest(Location.of(str(tmp_path / "m")))
    assert (manifest.script.name, manifest.parameters["seed"]) == ("builtin:sklearn", "7")
    for task in ("register", "register_chances"):
        assert values[task]["registered"]
    rows = pq.read_table(tmp_path / "out").to_pylist()
    assert len(rows) == 100
    assert sum(row["label"] == row["prediction"] for row in rows) > 90
    assert all(abs(sum(row["chances"]) - 1) < 1e-9 for row in rows)
