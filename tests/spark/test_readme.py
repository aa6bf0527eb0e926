"""The README's DAG and scripts, as they stand there, on a small table."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from typing import TYPE_CHECKING

from support.workbench import DATA, TESTS

from mlsql_runtime import engine
from mlsql_runtime.plan import Plan, Select
from mlsql_runtime.result import RegisterResult, SaveResult, TrainResult, as_xcom

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

DAG, TRAIN, PREDICT = re.findall(r"```python\n(.*?)```", (TESTS.parent / "README.md").read_text(), re.DOTALL)


def test_the_readmes_dag_does_what_it_says(spark: SparkSession, tmp_path: Path) -> None:
    def run(statements: tuple) -> list:  # type: ignore[type-arg]
        rendered = [
            Select(table=s.table, sql=s.sql.replace("{{ ds }}", "2026-01-01"), functions=s.functions)
            if isinstance(s, Select)
            else s
            for s in statements
        ]
        result = engine.run(Plan(job_id="readme", statements=tuple(rendered)), spark)
        result.raise_for_error()
        return list(result.steps)

    orders = spark.read.format(DATA.format).options(**DATA.options).load(DATA.path)
    orders.selectExpr("monotonically_increasing_id() as id", "features", "label", "'2026-01-02' as day").write.parquet(
        str(tmp_path / "data/orders")
    )
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts/train.py").write_text(TRAIN)
    (tmp_path / "scripts/predict.py").write_text(PREDICT)
    (tmp_path / "dag.py").write_text(DAG.replace("/data/", f"{tmp_path}/data/").replace("/models/", f"{tmp_path}/models/"))
    tasks = runpy.run_path(str(tmp_path / "dag.py"))
    train, register, predict = tasks["train"], tasks["register"], tasks["predict"]
    assert register.downstream_task_ids == {"predict"}

    (trained,) = run(train.statements())
    assert isinstance(trained, TrainResult)
    assert trained.score is not None
    assert trained.score >= 0.9
    tasks["wait"].min_version = trained.version
    assert tasks["wait"].poke({}).xcom_value == as_xcom(trained)
    (registered,) = run(register.statements())
    assert isinstance(registered, RegisterResult)
    assert registered.registered
    predict.functions = as_xcom(registered)
    saved = run(predict.statements())[-1]
    assert isinstance(saved, SaveResult)
    assert saved.rows == 100
    assert spark.read.parquet(str(tmp_path / "data/predictions")).columns == ["id", "prediction"]
