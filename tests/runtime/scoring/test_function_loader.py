"""Functions are loaded only if their files and their Python are those of their registration."""

from __future__ import annotations

import json
import os
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.predict_scripts import PREDICT, error_of, registered, sklearn_predictions
from support.stores import publish
from support.workbench import RunPlan, Script

from mlsql_runtime.errors import IntegrityError
from mlsql_runtime.plan import FunctionRef, Register, Save, Select
from mlsql_runtime.scoring.function_loader import UNUSED_SECONDS, local_model
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store import layout
from mlsql_runtime.store.functions import read_function
from mlsql_runtime.store.versions import read_manifest

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


def copy_model(root: Location, alg_index: int = 0) -> Path:
    """Return the folder of this machine with the model of a group of version 1."""
    return local_model(layout.version_dir(root, 1), alg_index, read_manifest(root, 1).files_below(layout.model_dir(alg_index)))


@pytest.fixture
def remote_root(s3_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Location:
    """A model path that is not on this machine's disk, and an empty folder for copies of its models."""
    monkeypatch.setenv("MLSQL_SCRATCH", str(tmp_path))
    return Location.of(f"{s3_server}/{uuid.uuid4().hex}/m")


def test_a_copy_of_a_model_that_has_changed_is_replaced(remote_root: Location, tmp_path: Path) -> None:
    """Programs that clear temporary folders remove single files by their age."""
    publish(remote_root)
    model = copy_model(remote_root)
    (model / "model.pickle").unlink()
    assert copy_model(remote_root) == model
    (model / "model.pickle").write_bytes(b"other")
    assert (copy_model(remote_root) / "model.pickle").read_bytes() == b"model"

    (layout.version_dir(remote_root, 1) / "model/0/model.pickle").replace(b"other")
    (model / "model.pickle").unlink()
    for _ in range(2):
        with pytest.raises(IntegrityError, match=r"model\.pickle"):
            copy_model(remote_root)
    (cache,) = tmp_path.iterdir()
    assert len(list(cache.iterdir())) == 1


def test_copies_that_nobody_has_used_for_long_are_removed(remote_root: Location, tmp_path: Path) -> None:
    publish(remote_root, 0.1, 0.2, 0.3)
    long_ago = time.time() - UNUSED_SECONDS - 60
    old, used = copy_model(remote_root, 0), copy_model(remote_root, 1)
    for model in (old, used):
        os.utime(model.parents[1], (long_ago, long_ago))
    copy_model(remote_root, 1)
    new = copy_model(remote_root, 2)
    assert [model.exists() for model in (old, used, new)] == [False, True, True]
