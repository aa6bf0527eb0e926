"""Register and predict with what a version keeps of its training: project, interpreter, flags, environment variables."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.workbench import RunPlan

from mlsql_runtime.plan import FileFeed, Predict, PythonEnv, Register, Save, Train
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store import layout
from mlsql_runtime.store.versions import read_manifest

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

PROJECT = {
    "train.py": "import mlsql_model; mlsql_model.sk_save_model({})",
    "facts.py": """
import json, os, sys
import mlsql
from pathlib import Path

def find():
    names = ("OMP_X", "STAGE", "OTHER")
    given = json.loads(Path(os.environ["MLSQL_SCRIPT_INPUT"]).read_text())
    resources = mlsql.internal_system_param["resource"]
    return {
        "envs": {name: os.environ[name] for name in names if name in os.environ},
        "optimize": sys.flags.optimize,
        "params": dict(mlsql.fit_param),
        "options": given["options"],
        "train": given["train_options"],
        "words": Path(resources["words"]).read_text() if "words" in resources else None,
    }
""",
    "batch_predict.py": """
import json
import facts, mlsql
places = mlsql.internal_system_param
with open(places["tempDataLocalPath"]) as rows, open(places["tempOutputLocalPath"], "w") as output:
    for row in rows:
        output.write(json.dumps({"facts": json.dumps(facts.find())}) + "\\n")
""",
    "predict.py": """
import json
import facts, mlsql, python_fun
with open(mlsql.fit_param["out"], "w") as output:
    json.dump(facts.find(), output)
python_fun.batch_udf(lambda X, model: X[:, 0])
""",
}
PYTHON = PythonEnv(flags=("-O",), envs={"OMP_X": "1", "STAGE": "prod"})


@pytest.fixture
def train(tmp_path: Path) -> Train:
    for name, source in PROJECT.items():
        (tmp_path / "project").mkdir(exist_ok=True)
        (tmp_path / "project" / name).write_text(source)
    return Train(
        table="data",
        model_path=str(tmp_path / "m"),
        script_path=str(tmp_path / "project"),
        fit_params=({"a": "1"},),
        feed=FileFeed(format="json", options={"password": "hush"}),
        python=PYTHON,
        description="daily",
    )


def predicted(spark: SparkSession, train: Train) -> Any:
    row = spark.read.json(f"{train.model_path}-predicted").first()
    assert row is not None
    return json.loads(row.facts)


def predict(train: Train, **fields: Any) -> tuple[Predict, Save]:
    made = Predict(table="data", model_path=train.model_path, result="predicted", **fields)
    return made, Save(table="predicted", format="json", path=f"{train.model_path}-predicted")


def register(train: Train, out: Path, **fields: Any) -> Register:
    params: Mapping[str, str] = {"out": str(out), **fields.pop("params", {})}
    return Register(model_path=train.model_path, function="jack", params=params, **fields)


def test_statements_of_the_training_s_job_have_all_of_it(
    run_plan: RunPlan, spark: SparkSession, tmp_path: Path, train: Train
) -> None:
    run_plan(train, *predict(train), register(train, tmp_path / "out.json")).raise_for_error()
    for found in (predicted(spark, train), json.loads((tmp_path / "out.json").read_text())):
        assert found["envs"] == {"OMP_X": "1", "STAGE": "prod"}
        assert found["optimize"] == 1


def test_later_jobs_have_what_is_kept_and_say_what_is_not(
    run_plan: RunPlan, spark: SparkSession, tmp_path: Path, train: Train, capfd: pytest.CaptureFixture[str]
) -> None:
    run_plan(train).raise_for_error()
    shutil.rmtree(train.script_path)
    manifest = (tmp_path / "m/_model_1/manifest.json").read_text()
    assert "STAGE" in manifest
    assert "prod" not in manifest
    assert "hush" not in manifest
    capfd.readouterr()
    run_plan(*predict(train), register(train, tmp_path / "out.json")).raise_for_error()
    for found in (predicted(spark, train), json.loads((tmp_path / "out.json").read_text())):
        assert (found["envs"], found["optimize"]) == ({"OMP_X": "1"}, 1)
        assert found["train"] == {
            "pythonScriptPath": train.script_path,
            "description": "daily",
            "dataLocalFormat": "json",
            "dataLocal.option.password": "***",
            "fitParam.0.a": "1",
            "systemParam.pythonParam": "-O",
            "systemParam.envs": "OMP_X,STAGE",
        }
    log = capfd.readouterr().out
    for word in ("predict", "register"):
        assert f"{word}: version 1 was trained with STAGE in its environment; values that may be secret are not kept" in log


def test_a_statement_s_own_settings_replace_those_of_the_training(
    run_plan: RunPlan, spark: SparkSession, tmp_path: Path, train: Train, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "words.txt").write_text("a b c")
    own = {"params": {"resource.words": str(tmp_path / "words.txt"), "n": "2"}, "others": {"threshold": "0.5"}}
    envs = {"OTHER": "x"}
    run_plan(
        train,
        *predict(train, python=PythonEnv(flags=("-OO",), envs=envs), **own),
        register(train, tmp_path / "out.json", envs=envs, **own),
    ).raise_for_error()
    batch, function = predicted(spark, train), json.loads((tmp_path / "out.json").read_text())
    assert [found["envs"] for found in (batch, function)] == [envs, envs]
    assert [found["optimize"] for found in (batch, function)] == [2, 1]
    assert [found["words"] for found in (batch, function)] == ["a b c", "a b c"]
    assert (batch["params"], function["params"]) == ({"n": "2"}, {"n": "2", "out": str(tmp_path / "out.json")})
    for found in (batch, function):
        assert found["options"].items() >= {"threshold": "0.5", "fitParam.0.n": "2"}.items()
    assert "not kept" not in capfd.readouterr().out


def test_resources_of_the_training_are_brought_along_while_they_exist(
    run_plan: RunPlan, spark: SparkSession, tmp_path: Path, train: Train, capfd: pytest.CaptureFixture[str]
) -> None:
    words = tmp_path / "words.txt"
    words.write_text("a b c")
    train = replace(train, fit_params=({"resource.words": str(words)},))
    run_plan(train, *predict(train), register(train, tmp_path / "out.json")).raise_for_error()
    assert predicted(spark, train)["words"] == json.loads((tmp_path / "out.json").read_text())["words"] == "a b c"
    words.unlink()
    shutil.rmtree(f"{train.model_path}-predicted")
    run_plan(*predict(train), register(train, tmp_path / "out.json")).raise_for_error()
    assert predicted(spark, train)["words"] is json.loads((tmp_path / "out.json").read_text())["words"] is None
    log = capfd.readouterr().out
    for word in ("predict", "register jack"):
        assert f"{word}: the resource words of the training is not brought along, because there is nothing at {words}" in log


def test_a_version_may_be_published_without_its_script(run_plan: RunPlan, tmp_path: Path, train: Train) -> None:
    model = str(tmp_path / "n")
    without = Train(table="data", model_path=model, script_path=train.script_path, keep_script=False)
    result = run_plan(without, Predict(table="data", model_path=model, result="predicted"))
    assert result.error is not None
    assert result.error["kind"] == "ScriptNotFound"
    assert "does not contain the project that trained it; name a script as pythonScriptPath" in result.error["message"]
    assert layout.PROJECT not in {entry.path for entry in read_manifest(Location.of(model)).files}
