"""The README's DAG, scripts and commands, as they stand there, on a small table."""

from __future__ import annotations

import re
import runpy
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.workbench import DATA, TESTS

from mlsql_runtime import engine
from mlsql_runtime.cli.main import main
from mlsql_runtime.language import compile_script
from mlsql_runtime.plan import Plan, Select
from mlsql_runtime.result import RegisterResult, SaveResult, TrainResult, to_xcom

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

README = (TESTS.parent / "README.md").read_text()
DAG, TRAIN, PREDICT = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
(SCRIPT,) = re.findall(r"```sql\n(.*?)```", README, re.DOTALL)
COMMANDS = re.findall(r"^mlsql (.*)$", README, re.MULTILINE)


@pytest.fixture
def here(spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with the table of orders and the scripts in it."""
    orders = spark.read.format(DATA.format).options(**DATA.options).load(DATA.path)
    orders.selectExpr("monotonically_increasing_id() as id", "features", "label", "'2026-01-02' as day").write.parquet(
        str(tmp_path / "data/orders")
    )
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts/train.py").write_text(TRAIN)
    (tmp_path / "scripts/predict.py").write_text(PREDICT)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def moved(text: str, here: Path) -> str:
    return text.replace("/data/", f"{here}/data/").replace("/models/", f"{here}/models/")


def test_the_readmes_script_and_commands(spark: SparkSession, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "job.mlsql").write_text(moved(SCRIPT, here))
    (here / "data/orders").rename(here / "orders.parquet")
    (here / "data/orders").symlink_to(here / "orders.parquet")
    fit, models, rollback, check, _run = (shlex.split(moved(command, here), comments=True) for command in COMMANDS)
    assert main([*check, "--inputs"]) == 0
    compiled = compile_script((here / "job.mlsql").read_text(), folder=here)
    for _ in range(2):
        engine.run(Plan(job_id="readme", statements=compiled.statements), spark).raise_for_error()
    assert spark.read.parquet(str(here / "data/predictions")).columns == ["id", "prediction"]
    capsys.readouterr()
    assert [main(command) for command in (fit, models, rollback)] == [0, 0, 0]
    shown = capsys.readouterr().out
    assert "and 22 to validate with" in shown
    assert "jack (current)" in shown
    assert "jack moved from function version 2" in shown


def test_the_readmes_dag_does_what_it_says(spark: SparkSession, here: Path) -> None:
    def run(statements: tuple) -> list:  # type: ignore[type-arg]
        rendered = [
            Select(table=s.table, sql=s.sql.replace("{{ macros.ds_add(ds, -7) }}", "2026-01-01"), functions=s.functions)
            if isinstance(s, Select)
            else s
            for s in statements
        ]
        result = engine.run(Plan(job_id="readme", statements=tuple(rendered)), spark)
        result.raise_for_error()
        return list(result.steps)

    (here / "dag.py").write_text(moved(DAG, here))
    tasks = runpy.run_path(str(here / "dag.py"))
    train, register, predict = tasks["train"], tasks["register"], tasks["predict"]
    assert register.downstream_task_ids == {"predict"}

    (trained,) = run(train.build_job().statements)
    assert isinstance(trained, TrainResult)
    assert trained.score is not None
    assert trained.score >= 0.9
    tasks["wait"].min_version = trained.version
    assert tasks["wait"].poke({}).xcom_value == to_xcom(trained)
    (registered,) = run(register.build_job().statements)
    assert isinstance(registered, RegisterResult)
    assert registered.registered
    predict.functions = to_xcom(registered)
    saved = run(predict.build_job().statements)[-1]
    assert isinstance(saved, SaveResult)
    assert saved.rows == 100
    assert spark.read.parquet(str(here / "data/predictions")).columns == ["id", "prediction"]
