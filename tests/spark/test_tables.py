"""load, select and save, and Spark's own errors in our words."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.workbench import Run

from mlsql_runtime.plan import Load, Save, Select, Statement
from mlsql_runtime.result import SaveResult

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def test_any_format_in_and_out(run: Run, spark: SparkSession, tmp_path: Path) -> None:
    path = str(tmp_path / "csv")
    result = run(
        Select(table="labels", sql="select label, 'x;y' as text from data"),
        Save(table="labels", format="csv", path=path, options={"header": "true", "sep": "|"}, partition_by=("label",)),
        Load(table="back", format="csv", path=path, options={"header": "true", "sep": "|", "inferSchema": "true"}),
        Select(table="counts", sql="select label, count(*) as n from back where text = 'x;y' group by label"),
        Save(table="counts", format="parquet", path=str(tmp_path / "counts")),
    )
    result.raise_for_error()
    assert [step.rows for step in result.steps if isinstance(step, SaveResult)] == [100, 2]
    assert {(row.label, row.n) for row in spark.read.parquet(str(tmp_path / "counts")).collect()} == {(0.0, 43), (1.0, 57)}
    assert sorted(child.name for child in (tmp_path / "csv").glob("label=*")) == ["label=0.0", "label=1.0"]


def test_save_modes(run: Run, tmp_path: Path) -> None:
    def save(mode: str) -> Save:
        return Save(table="labels", format="json", path=str(tmp_path / "out"), mode=mode)  # type: ignore[arg-type]

    labels = Select(table="labels", sql="select label from data")
    result = run(labels, *(save(mode) for mode in ("errorIfExists", "append", "ignore", "overwrite")))
    result.raise_for_error()
    assert [step.rows for step in result.steps if isinstance(step, SaveResult)] == [100, 100, None, 100]
    error = run(labels, save("errorIfExists")).error
    assert error is not None
    assert error["kind"] == "InputError"
    assert "already exists" in error["message"]


@pytest.mark.parametrize(
    ("statement", "part"),
    [
        (Load(table="t", format="nope", path="/x"), "Failed to find the data source: nope"),
        (Load(table="t", format="json", path="/no/such/path"), "Path does not exist: file:/no/such/path"),
        (Select(table="t", sql="select nofunc(label) from data"), "Cannot resolve routine `nofunc`"),
        (Select(table="t", sql="select wrong from data"), "`wrong`"),
        (Select(table="t", sql="select label from nowhere"), "`nowhere`"),
        (Select(table="t", sql="select (1 from data"), "Syntax error"),
        (Save(table="missing", format="json", path="/tmp/x"), "there is no table 'missing'"),
        (Save(table="data", format="csv", path="/tmp/never-written"), "CSV datasource"),
    ],
)
def test_what_spark_refuses_is_the_callers_mistake_in_one_sentence(run: Run, statement: Statement, part: str) -> None:
    error = run(statement).error
    assert error is not None
    assert error["kind"] == "InputError"
    assert part in error["message"]
    assert "\n" not in error["message"]
