"""What a version says that it was trained from."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import datetime, timezone
from os import utime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.workbench import RunPlan, Script

from mlsql_runtime.plan import Load, Predict, Select, Statement, Train
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store.sources import Source, SourceFiles
from mlsql_runtime.store.versions import read_manifest

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

TIMES = [datetime(2026, 1, day, tzinfo=timezone.utc) for day in (1, 3, 2)]
Sources = list[Source]


class Trainer:
    """Train a script that only counts rows, and return the sources that the version names."""

    def __init__(self, run_plan: RunPlan, folder: Path, script: str) -> None:
        self._run, self._model, self._script = run_plan, str(folder / "m"), script

    def __call__(self, *statements: Statement, **fields: Any) -> Sources:
        train = Train(**{"model_path": self._model, "script_path": self._script, **fields})
        self._run(*statements, train).raise_for_error()
        return list(read_manifest(Location.of(self._model)).sources)


@pytest.fixture
def train(run_plan: RunPlan, tmp_path: Path, script: Script) -> Trainer:
    source = "import mlsql, mlsql_model; mlsql_model.sk_save_model(sum(len(rows) for rows in mlsql.read_data()()))"
    return Trainer(run_plan, tmp_path, script(source))


@pytest.fixture
def files(tmp_path: Path) -> Load:
    """Three CSV files of four rows; the second is the newest."""
    for name, time in zip("abc", TIMES, strict=True):
        file = tmp_path / "d" / f"{name}.csv"
        file.parent.mkdir(exist_ok=True)
        file.write_text("x,label\n1,0\n2,1\n3,0\n4,1\n")
        utime(file, (time.timestamp(), time.timestamp()))
    return Load(table="t", format="csv", path=str(tmp_path / "d"), options={"header": "true", "password": "hush"})


@pytest.fixture
def database(spark: SparkSession) -> Iterator[str]:
    name = f"shop_{uuid.uuid4().hex[:8]}"
    spark.sql(f"create database {name}")
    yield name
    spark.sql(f"drop database {name} cascade")


def test_files_and_the_query_over_them(train: Trainer, files: Load) -> None:
    query = "select label, x from T where x > 1"
    loaded, selected = train(files, Select(table="u", sql=query), table="u")
    assert loaded == Source(
        table="t",
        kind="load",
        format="csv",
        path=files.path,
        options={"header": "true", "password": "***"},
        files=SourceFiles(count=3, size=3 * 24, newest=TIMES[1]),
    )
    assert selected == Source(table="u", kind="select", sql=query)


def test_only_what_the_tables_depend_on_is_named(train: Trainer, files: Load) -> None:
    sources = train(
        files,
        Select(table="unused", sql="select * from data"),
        Select(table="t", sql="select * from t where x < 4"),
        Select(table="held", sql="select * from t where x in (select max(x) from t)"),
        Select(table="t", sql="with a as (select * from t) select a.* from a join (select distinct x from t) b on a.x = b.x"),
        table="t",
        validate_table="held",
    )
    both = ("training", "validation")
    assert [(each.table, each.kind, each.used_for) for each in sources] == [
        ("t", "load", both),
        ("t", "select", both),
        ("t", "select", ("training",)),
        ("held", "select", ("validation",)),
    ]


def test_tables_and_views_of_a_catalog(train: Trainer, spark: SparkSession, database: str, tmp_path: Path) -> None:
    spark.sql(f"create table {database}.orders using parquet as select id as x, id % 2 as label from range(20)")
    spark.sql(f"create view {database}.recent as select * from {database}.orders where x > 5")
    spark.range(3).write.orc(str(tmp_path / "ids"))
    query = f"select r.* from {database}.recent r where x not in (select id from orc.`{tmp_path}/ids`)"
    sources = {(each.kind, each.table): each for each in train(Select(table="t", sql=query), table="t")}
    assert list(sources)[-1] == ("select", "t")
    assert set(sources) == {
        ("view", f"{database}.recent"),
        ("table", f"{database}.orders"),
        ("table", f"orc.`file:{tmp_path}/ids`"),
        ("select", "t"),
    }
    orders = sources["table", f"{database}.orders"]
    assert orders.format == "parquet"
    assert orders.path is not None
    assert orders.path.endswith("/orders")
    assert orders.files is not None
    assert orders.files.count >= 1
    view = sources["view", f"{database}.recent"]
    assert (view.sql, view.format) == (f"select * from {database}.orders where x > 5", None)


def test_a_table_that_is_loaded_by_its_name(train: Trainer, spark: SparkSession, database: str) -> None:
    spark.sql(f"create table {database}.orders using csv as select id as x, id % 2 as label from range(20)")
    (source,) = train(Load(table="t", format="table", path=f"{database}.orders"), table="t")
    assert (source.table, source.kind, source.format, source.path) == ("t", "load", "table", f"{database}.orders")
    assert source.files is not None


def test_data_of_the_statement_itself(train: Trainer) -> None:
    first, second = '{"x": 1, "label": 0}', '{"x": 2, "label": 0}'
    sources = [train(Load(table="t", format="json", text=text), table="t") for text in (first, second, first)]
    digests = [source.content for (source,) in sources]
    assert digests[0] == digests[2] != digests[1]


def test_predictions_of_another_model(train: Trainer, files: Load, run_plan: RunPlan, tmp_path: Path, script: Script) -> None:
    train(files, table="t")
    paths = "mlsql.internal_system_param['tempDataLocalPath'], mlsql.internal_system_param['tempOutputLocalPath']"
    copy = f"import mlsql, shutil; shutil.copyfile({paths})"
    model = str(tmp_path / "m")
    predict = Predict(table="t", model_path=model, script_path=script(copy, "predict.py"), result="scored")
    sources = train(files, predict, table="scored")
    assert [(each.table, each.kind, each.path) for each in sources] == [("t", "load", files.path), ("scored", "predict", model)]
