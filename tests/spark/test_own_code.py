"""Code of a project where the project is not: in functions of other projects on executors, and in batch scripts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from support.workbench import RunPlan

from mlsql_runtime.plan import Predict, Register, Save, Select, Train

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

TRAINED = {
    "train.py": """
import mlsql, mlsql_model
from features import Clip
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
X, y = mlsql.all_data(sparse=False)
model = make_pipeline(FunctionTransformer(lambda X: X / 255), Clip(), LogisticRegression()).fit(X, y)
print("mlsql_validation_score:%f" % model.score(X, y))
mlsql_model.sk_save_model(model)
""",
    "features.py": """
from sklearn.base import BaseEstimator, TransformerMixin
class Clip(TransformerMixin, BaseEstimator):
    def fit(self, X, y=None):
        return self
    def transform(self, X):
        from helpers import most
        return X.clip(0, most())
""",
    "helpers.py": "def most():\n    return 0.75",
}
PREDICT = """
import python_fun
def predict(X, model):
    from helpers import scale
    return scale(model.predict(X))
python_fun.batch_udf(predict, sparse=False)
"""
BATCH = """
import json, mlsql, mlsql_model
import numpy as np
from helpers import scale
given = mlsql.internal_system_param
model = mlsql_model.load(given["tempModelLocalPath"])
with open(given["tempDataLocalPath"]) as rows, open(given["tempOutputLocalPath"], "w") as out:
    for row in map(json.loads, rows):
        X = np.zeros((1, 692))
        X[0, row["features"]["indices"]] = row["features"]["values"]
        out.write(json.dumps({"p": float(scale(model.predict(X))[0])}) + "\\n")
"""


def _write_project(folder: Path, files: dict[str, str]) -> str:
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(text)
    return str(folder)


def test_models_and_functions_bring_the_modules_of_their_projects(run_plan: RunPlan, spark: SparkSession, tmp_path: Path) -> None:
    model = str(tmp_path / "m")
    trained = _write_project(tmp_path / "trained", TRAINED)
    twice, thrice = (
        _write_project(
            tmp_path / f"project-{factor}",
            {"predict.py": PREDICT, "batch_predict.py": BATCH, "helpers.py": f"def scale(y):\n    return {factor} * y"},
        )
        for factor in (2, 3)
    )
    result = run_plan(
        Train(table="data", model_path=model, script_path=trained),
        Register(model_path=model, function="twice", script_path=twice),
        Register(model_path=model, function="thrice", script_path=thrice),
        Select(
            table="answers", sql="select label, vec_array(twice(features))[0] as a, vec_array(thrice(features))[0] as b from data"
        ),
        Predict(table="data", model_path=model, script_path=twice, result="predicted"),
        Save(table="predicted", format="parquet", path=str(tmp_path / "predicted")),
    )
    result.raise_for_error()
    rows = spark.table("answers").collect()
    assert [(row.a, row.b) for row in rows] == [(2 * row.label, 3 * row.label) for row in rows]
    assert sorted(row.p for row in spark.read.parquet(str(tmp_path / "predicted")).collect()) == sorted(row.a for row in rows)
