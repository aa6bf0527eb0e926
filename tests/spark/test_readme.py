"""The DAGs, scripts and commands of the README and of two pages, as they stand there, on a small table."""

from __future__ import annotations

import re
import runpy
import shlex
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.workbench import DATA, TESTS

from mlsql_runtime import engine
from mlsql_runtime.cli.main import main
from mlsql_runtime.language import compile_script
from mlsql_runtime.plan import Plan, Select
from mlsql_runtime.result import RegisterResult, RunResult, SaveResult, TrainResult, to_xcom

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from airflow_provider_mlsql.operators.base import MLSQLOperator

HOW_TO = TESTS.parent / "docs" / "how-to"
README = (TESTS.parent / "README.md").read_text()
SHELL = (HOW_TO / "from-a-shell.md").read_text()
COLUMNS_PAGE = (HOW_TO / "columns.md").read_text()
DAG, TRAIN, PREDICT = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
COLUMNS = re.findall(r"```python\n(.*?)```", COLUMNS_PAGE, re.DOTALL)[-1]
(SCRIPT,) = re.findall(r"```sql\n(.*?)```", SHELL, re.DOTALL)
COMMANDS = re.findall(r"^mlsql (.*)$", SHELL, re.MULTILINE)


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


def test_the_readme_is_short_and_its_links_lead_somewhere() -> None:
    assert len(README.splitlines()) < 120
    assert TRAIN in (HOW_TO / "training.md").read_text()
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", README):
        assert (TESTS.parent / target).exists(), target


def moved(text: str, here: Path) -> str:
    return text.replace("/data/", f"{here}/data/").replace("/models/", f"{here}/models/")


def test_the_script_and_the_commands_of_the_page_about_the_shell(
    spark: SparkSession, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
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


@pytest.fixture
def customers(spark: SparkSession, here: Path) -> DataFrame:
    """The table of customers, in the working directory too."""
    table = spark.sql("""
        select id, id % 50 as months, if(id % 10 = 0, null, id % 7) as calls, id * 1.5d as income,
               if(id % 3 = 0, 'basic', 'family') as plan, if(id % 50 < 20, 'yes', 'no') as churned
        from range(0, 200, 1, 1)
    """)
    table.write.parquet(str(here / "data/customers"))
    return table


def test_the_tasks_of_the_page_about_columns_do_what_they_say(spark: SparkSession, here: Path, customers: DataFrame) -> None:
    def run(task: MLSQLOperator) -> RunResult:
        result = engine.run(Plan(job_id="readme", statements=task.build_job().statements), spark)
        result.raise_for_error()
        return result

    imports = "".join(re.findall(r"^from .*\n", DAG, re.MULTILINE))
    body = textwrap.indent(moved(COLUMNS, here), "    ")
    (here / "columns.py").write_text(f'{imports}\nwith DAG("columns"):\n{body}')
    tasks = runpy.run_path(str(here / "columns.py"))
    (trained,) = run(tasks["train"]).steps
    assert isinstance(trained, TrainResult)
    assert trained.score is not None
    assert trained.score >= 0.9
    (registered,) = run(tasks["register"]).steps
    tasks["predict"].functions = to_xcom(registered)
    run(tasks["predict"])
    leaving = {row.id for row in customers.filter("churned = 'yes'").collect()}
    found = spark.read.parquet(str(here / "data/leaving"))
    assert found.columns == ["id", "chance"]
    assert len({row.id for row in found.collect()} ^ leaving) <= 10
    queries, _script = re.findall(r"```sql\n(.*?)```", COLUMNS_PAGE, re.DOTALL)
    for query in re.findall(r"^select .*?(?=;)", queries, re.MULTILINE):
        assert 0 < spark.sql(query).count() <= 200


def test_the_mlsql_of_the_page_about_columns(spark: SparkSession, here: Path, customers: DataFrame) -> None:
    _queries, script = re.findall(r"```sql\n(.*?)```", COLUMNS_PAGE, re.DOTALL)
    compiled = compile_script(script, variables={"data": str(here / "data/customers"), "model": str(here / "models/churn")})
    engine.run(Plan(job_id="docs", statements=compiled.statements), spark).raise_for_error()
    predicted = spark.table("predicted")
    assert predicted.filter("label = churned and probability > 0.5").count() > 190
