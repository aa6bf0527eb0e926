"""A project of the kind that MLSQL's documents show first: its own CSV file, an MLproject, no script in register and predict."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.airflow import Airflow
from support.workbench import TESTS

from airflow_provider_mlsql.operators.script import MLSQLScriptOperator
from mlsql_runtime import engine
from mlsql_runtime.cli.main import main
from mlsql_runtime.plan import Plan
from mlsql_runtime.result import script_to_xcom
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store import layout
from mlsql_runtime.store.versions import read_manifest

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

WINE = TESTS / "spark/wine"
DAG = """
from airflow.sdk import DAG
from airflow_provider_mlsql.operators.script import MLSQLScriptOperator

with DAG("wine", schedule=None, template_searchpath="{here}"):
    MLSQLScriptOperator(task_id="job", script="wine.mlsql", variables={{"modelPath": "{here}/m", "project": "project"}})
"""


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A folder with the script and a copy of its project."""
    shutil.copytree(WINE, tmp_path / "project")
    shutil.move(tmp_path / "project/wine.mlsql", tmp_path)
    return tmp_path


def check_result(done: dict[str, Any], model: Path) -> None:
    (trained,), (registered,) = done["train"], done["register"]
    assert trained["score"] > 0.5
    assert registered["registered"] is True
    table = done["table"]
    assert (table["table"], table["columns"]) == ("predicted", ["predict", "stage"])
    assert [stage for _, stage in table["rows"]] == ["trained"] * 3
    assert [[round(value) for value in values] for values, _ in table["rows"]] == [[3], [5], [5]]
    manifest = read_manifest(Location.of(str(model)))
    assert manifest.script.name == "train.py"
    assert layout.PROJECT in {entry.path for entry in manifest.files}


def test_the_shell_finds_its_project(here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Checked as `mlsql run` checks it, before it does what the task of Airflow does."""
    monkeypatch.chdir(here)
    given = ["wine.mlsql", "--inputs", "--json", "--var", f"modelPath={here}/m", "--var"]
    assert main(["check", *given, "project=project"]) == 0
    assert main(["check", *given, "project=projects"]) == 2
    assert f"there is no script at {here}/projects" in capsys.readouterr().out


def test_it_runs_as_a_task_of_airflow(airflow: Airflow, here: Path) -> None:
    (here / "dags").mkdir()
    (here / "dags/wine.py").write_text(DAG.format(here=here))
    log = airflow.succeed("wine", dags=here / "dags")
    assert "conda_env of MLproject is not used" in log
    check_result(airflow.xcoms("wine")["job"], here / "m")


def test_a_later_job_uses_the_kept_project(spark: SparkSession, here: Path) -> None:
    variables = {"modelPath": str(here / "m"), "project": str(here / "project")}

    def run(text: str) -> dict[str, Any]:
        statements = MLSQLScriptOperator(task_id="job", script=text, variables=variables).build_job().statements
        result = engine.run(Plan(job_id="wine", statements=statements), spark)
        result.raise_for_error()
        return script_to_xcom(result)

    text = (here / "wine.mlsql").read_text()
    load, rest = text.split("train wine", 1)
    training, rest = rest.split("register", 1)
    trained = run(f"{load}train wine{training}")
    shutil.rmtree(here / "project")
    (row,) = spark.table("trained").collect()
    assert row.modelPath == str(here / "m/_model_1/model/0")
    done = run(f"{load}register{rest}")
    check_result({**done, "train": trained["train"]}, here / "m")
    by_function = spark.table("predicted_by_function").collect()
    assert [round(row.features[0]) for row in by_function] == [3, 5, 5]
