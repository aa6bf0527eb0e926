"""Functions are loaded only if their files and their Python are those of their registration."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from support.predict_scripts import PREDICT, error_of, registered, sklearn_predictions
from support.workbench import RunPlan, Script

from mlsql_runtime.plan import FunctionRef, Register, Save, Select
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store.functions import read_function

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def test_a_load_function_runs_once_in_each_worker(
    run_plan: RunPlan, spark: SparkSession, model_path: str, script: Script, tmp_path: Path
) -> None:
    source = f"""
import os, pickle, uuid
import python_fun

def load(directory):
    open({str(tmp_path)!r} + f"/{{os.getpid()}}-{{uuid.uuid4()}}.load", "w").close()
    with open(os.path.join(directory, "model.pickle"), "rb") as file:
        return pickle.load(file)

def predict(X, model):
    return model.predict(X)

python_fun.batch_udf(predict, load=load)
"""
    registered(run_plan(Register(model_path=model_path, function="jack", script_path=script(source))))
    for _ in range(2):
        rows = spark.sql("select label, jack(features) as p from data").collect()
        assert [(row.label, row.p[0]) for row in rows] == sklearn_predictions(model_path, 1)
    processes = [file.name.partition("-")[0] for file in tmp_path.glob("*.load")]
    assert processes
    assert len(set(processes)) == len(processes)


def flip_a_byte(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def test_one_flipped_byte_in_the_model_stops_register_and_predict(run_plan: RunPlan, model_path: str, tmp_path: Path) -> None:
    registered(run_plan(Register(model_path=model_path, function="jack", script_path=PREDICT)))
    file = Path(model_path) / "_model_1/model/1/model.pickle"
    expected = read_function(Location.of(model_path), "jack").model_files[0].sha256
    flip_a_byte(file)
    ref = FunctionRef(name="jack", model_path=model_path, function="jack")
    select = Select(table="out", sql="select jack(features) as p from data", functions=(ref,))
    save = Save(table="out", format="parquet", path=str(tmp_path / "out"))
    for result in (run_plan(Register(model_path=model_path, function="other", script_path=PREDICT)), run_plan(select, save)):
        kind, message = error_of(result)
        assert kind == "IntegrityError"
        assert str(file) in message
        assert f"expected SHA-256 {expected}, found " in message
    assert not (Path(model_path) / "_functions/other").exists()


def test_one_flipped_byte_in_the_function_stops_predict(run_plan: RunPlan, model_path: str) -> None:
    registered(run_plan(Register(model_path=model_path, function="jack", script_path=PREDICT)))
    flip_a_byte(Path(model_path) / "_functions/jack/1/function.pickle")
    ref = FunctionRef(name="jack", model_path=model_path, function="jack")
    kind, message = error_of(run_plan(Select(table="out", sql="select jack(features) as p from data", functions=(ref,))))
    assert kind == "IntegrityError"
    assert "function.pickle" in message


def test_a_function_of_another_python_minor_version_is_refused(run_plan: RunPlan, model_path: str, tmp_path: Path) -> None:
    registered(run_plan(Register(model_path=model_path, function="jack", script_path=PREDICT)))
    record = Path(model_path) / "_functions/jack/1/function.json"
    document = json.loads(record.read_text())
    here, document["python"] = document["python"], "3.9"
    document["pickle"]["sha256"] = "0" * 64  # would be an error too, but the Python version is looked at first
    record.write_text(json.dumps(document))
    ref = FunctionRef(name="jack", model_path=model_path, function="jack")
    select = Select(table="out", sql="select jack(features) as p from data", functions=(ref,))
    kind, message = error_of(run_plan(select, Save(table="out", format="parquet", path=str(tmp_path / "out"))))
    assert kind == "InterpreterError"
    assert "registered under Python 3.9" in message
    assert f"under Python {here}" in message
