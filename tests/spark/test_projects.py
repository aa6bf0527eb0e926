"""A project with an MLproject, from training to prediction; scripts in an interpreter with few packages."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.environments import ARRAYS, make_venv
from support.workbench import RunPlan, Script

from mlsql_runtime.plan import Predict, PythonEnv, Register, Select, Show, Train
from mlsql_runtime.result import RegisterResult, ShowResult, TrainResult
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store.versions import read_manifest

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

PROJECT = {
    "MLproject": """
name: tutorial
entry_points:
  main:
    train:
      parameters: {alpha: {type: float, default: 0.25}}
      command: "python train.py {alpha}"
    api_predict: {command: "python serve.py"}
    batch_predict: {command: "python batchPredict.py"}
""",
    "words.csv": "a,b,c",
    "common.py": """
import csv, os
def words():
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "words.csv")) as file:
        return next(csv.reader(file))
""",
    "train.py": """
import sys, mlsql, mlsql_model
from common import words
assert open("words.csv").read() == ",".join(words())
print("mlsql_validation_score:" + sys.argv[1])
assert mlsql.fit_param["alpha"] == sys.argv[1]
mlsql_model.sk_save_model(words())
""",
    "serve.py": """
import pickle, python_fun
from common import words
from pyspark.ml.linalg import Vectors, VectorUDT
WORDS = len(words())
def predict(index, s):
    vector, model = list(s)[:2]
    return [VectorUDT().serialize(Vectors.dense([WORDS]))]
python_fun.udf(predict)
""",
    "batchPredict.py": """
import json, mlsql
from common import words
given = mlsql.internal_system_param
with open(given["tempDataLocalPath"]) as rows, open(given["tempOutputLocalPath"], "w") as out:
    for row in rows:
        out.write(json.dumps({"label": json.loads(row)["label"], "words": len(words())}) + "\\n")
""",
}


@pytest.fixture
def project(tmp_path: Path) -> tuple[str, str]:
    """The project as a folder, and as a zip."""
    folder = tmp_path / "project"
    folder.mkdir()
    for name, text in PROJECT.items():
        (folder / name).write_text(text)
    with zipfile.ZipFile(tmp_path / "project.zip", "w") as archive:
        for name in PROJECT:
            archive.write(folder / name, f"project/{name}")
    return str(folder), str(tmp_path / "project.zip")


def test_each_statement_runs_its_entry_point_with_the_project_s_files(
    run_plan: RunPlan, spark: SparkSession, tmp_path: Path, project: tuple[str, str]
) -> None:
    model, (folder, archive) = str(tmp_path / "m"), project
    result = run_plan(
        Train(table="data", model_path=model, script_path=archive, fit_params=({}, {"alpha": "0.75"})),
        Register(model_path=model, function="count_words", script_path=folder),
        Register(model_path=model, function="count_zipped_words", script_path=archive),
        Select(table="answers", sql="select count_words(features) as n, count_zipped_words(features) as z from data limit 3"),
        Predict(table="data", model_path=model, script_path=folder, result="predicted"),
        Predict(table="data", model_path=model, script_path=archive, result="predicted_by_zip"),
        Select(table="all_words", sql="select words from predicted union all select words from predicted_by_zip"),
        Select(table="sums", sql="select words, count(*) as rows from all_words group by words"),
        Show(table="sums"),
    )
    result.raise_for_error()
    train, *registers = result.steps[:3]
    assert isinstance(train, TrainResult)
    assert [fit.score for fit in train.fits] == [0.25, 0.75]
    for register in registers:
        assert isinstance(register, RegisterResult)
        assert register.registered
    manifest = read_manifest(Location.of(model), 1)
    assert manifest.script.name == "train.py"
    assert [dict(fit.params) for fit in manifest.fits] == [{"alpha": "0.25"}, {"alpha": "0.75"}]
    assert [(row.n[0], row.z[0]) for row in spark.table("answers").collect()] == [(3.0, 3.0)] * 3
    sums = result.steps[-1]
    assert isinstance(sums, ShowResult)
    assert sums.rows == ((3, 200),)


ARRAY_SCRIPT = """
import mlsql, mlsql_model
X, y = mlsql.all_data()
batches = [part.shape for part, _ in mlsql.read_batches(64)]
mlsql.report(rows=X.shape[0], width=X.shape[1], batches=len(batches))
open(mlsql_model.model_dir() + "/model", "w").write("x")
"""


def test_arrays_need_no_pyspark_and_vectors_say_what_is_missing(run_plan: RunPlan, tmp_path: Path, script: Script) -> None:
    python = make_venv(tmp_path / "env", *ARRAYS)
    alone = PythonEnv(path=str(python), envs={"PYTHONPATH": ""})
    arrays = Train(table="data", model_path=str(tmp_path / "m"), script_path=script(ARRAY_SCRIPT), python=alone)
    result = run_plan(arrays)
    result.raise_for_error()
    assert isinstance(result.steps[-1], TrainResult)
    assert dict(result.steps[-1].fits[0].metrics) == {"rows": 100.0, "width": 692.0, "batches": 2.0}
    assert "pyspark" not in read_manifest(Location.of(str(tmp_path / "m")), 1).environment
    rows = "import mlsql\nfor rows in mlsql.read_data()(64): pass"
    vectors = Train(table="data", model_path=str(tmp_path / "v"), script_path=script(rows, "vectors.py"), python=alone)
    error = run_plan(vectors).error
    assert error is not None
    assert error["kind"] == "PreflightFailed"
    assert "lacks pyspark, which mlsql.read_data needs for vectors (mlsql.read_batches" in error["message"]
    assert not (tmp_path / "v").exists()
