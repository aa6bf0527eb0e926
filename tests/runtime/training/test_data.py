"""The table on its way to the script: formats, odd columns, and tables that are refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.training import SAVE, train_result, trained
from support.workbench import WIDTH, RunPlan, Script

from mlsql_runtime.feed.files.export import ExportFeed
from mlsql_runtime.feed.table_facts import ColumnRoles
from mlsql_runtime.plan import FileFeed, Load, Register, Select
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store.versions import read_manifest

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


READ = """
import mlsql, mlsql_model, os
p = mlsql.internal_system_param['tempDataLocalPath']
rows = [len(rows) for rows in mlsql.read_data()(max_records=32)]
X, y = mlsql.all_data()
files = len([f for f in os.listdir(p) if f[0] not in '._'])
mlsql.report(files=files, rows=sum(rows), first=rows[0], last=rows[-1], total=X.sum(), labels=y.sum())
mlsql_model.sk_save_model(1)
"""


@pytest.mark.parametrize("feed", [FileFeed(), FileFeed(format="parquet", file_num=3), FileFeed(options={"compression": "gzip"})])
def test_scripts_read_the_same_rows_in_every_format(run_plan: RunPlan, tmp_path: Path, script: Script, feed: FileFeed) -> None:
    result = train_result(run_plan(trained(tmp_path / "m", script_path=script(READ), feed=feed)))
    metrics = dict(result.fits[0].metrics)
    assert metrics.pop("files") == (feed.file_num or 1)
    assert metrics == {"rows": 100.0, "first": 32.0, "last": 4.0, "total": 2434190.0, "labels": 57.0}


LAZY = """
import glob, json, mlsql, mlsql_model, os
X, y = mlsql.all_data()
folder = os.path.dirname(mlsql.internal_system_param["tempModelLocalPath"])
assert not glob.glob(folder + "/data/*") and glob.glob(folder + "/data.parquet/*.parquet")
files = sorted(glob.glob(mlsql.internal_system_param["tempDataLocalPath"] + "/*"))
rows = [json.loads(line) for file in files for line in open(file)]
assert files == [f"{folder}/data/part-0000{number}.json" for number in range(3)]
assert {row["a b,c"][-6:] for row in rows} == {"+05:30"}
values = [value for row in rows for value in row["my.fea`tures"]["values"]]
mlsql.report(rows=len(rows), total=sum(values), labels=sum(row["my"] for row in rows), same=sum(values) == X.sum())
mlsql_model.sk_save_model(1)
"""
ODD = "select label, features as `my.fea``tures`, label as `my`, current_timestamp() as `a b,c` from data"


def test_without_a_format_scripts_get_json_when_they_ask_for_files(
    spark: SparkSession, run_plan: RunPlan, tmp_path: Path, script: Script
) -> None:
    before = spark.conf.get("spark.sql.session.timeZone")
    spark.conf.set("spark.sql.session.timeZone", "Asia/Kolkata")
    try:
        odd = Select(table="odd", sql=ODD)
        group = {"inputCol": "my.fea`tures"}
        feed = FileFeed(file_num=3)
        train = trained(tmp_path / "m", table="odd", script_path=script(LAZY), fit_params=(group,), feed=feed)
        metrics = train_result(run_plan(odd, train)).fits[0].metrics
    finally:
        spark.conf.set("spark.sql.session.timeZone", before)
    assert metrics == {"rows": 100.0, "total": 2434190.0, "labels": 57.0, "same": 1.0}


@pytest.mark.parametrize("column", ["interval '1' day", "null", "map(1.5D, 2)", "parse_json('{\"a\": 1}')"])
def test_columns_that_parquet_cannot_give_back_are_written_as_json_at_once(
    spark: SparkSession, tmp_path: Path, column: str
) -> None:
    table = spark.sql(f"select double(id % 2) as label, {column} as x from range(0, 10, 1, 1)")
    exported = ExportFeed(FileFeed(), Location.of(str(tmp_path / "exported"))).prepare(table, ColumnRoles())
    files = exported.open(tmp_path / "data", is_kept=False)
    assert (files.format, files.json_path, files.rows) == ("json", None, 10)
    (file,) = (tmp_path / "data").glob("*.json")
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert [row["label"] for row in rows] == [0.0, 1.0] * 5


def test_scripts_read_files_that_are_json_at_once(
    run_plan: RunPlan, tmp_path: Path, script: Script, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = Select(table="odd", sql="select label, map(1.5D, 2) as x from data")
    source = """
import json, mlsql, mlsql_model, os
folder = mlsql.internal_system_param["tempDataLocalPath"]
(file,) = [name for name in os.listdir(folder) if name[0] not in "._"]
mlsql.report(labels=sum(json.loads(line)["label"] for line in open(os.path.join(folder, file))))
mlsql_model.sk_save_model(1)
"""
    result = train_result(run_plan(odd, trained(tmp_path / "m", table="odd", script_path=script(source))))
    assert dict(result.fits[0].metrics) == {"labels": 57.0}
    assert "train: 100 rows as json files" in capsys.readouterr().out


def test_csv_holds_plain_columns_and_refuses_vectors(run_plan: RunPlan, tmp_path: Path, script: Script) -> None:
    csv = FileFeed(format="csv", options={"header": "true", "sep": ";"})
    plain = Select(table="plain", sql="select label, label * 2 as features from data")
    assert dict(
        train_result(run_plan(plain, trained(tmp_path / "m", table="plain", script_path=script(READ), feed=csv))).fits[0].metrics
    ) == {
        "files": 1.0,
        "rows": 100.0,
        "first": 32.0,
        "last": 4.0,
        "total": 114.0,
        "labels": 57.0,
    }
    result = run_plan(trained(tmp_path / "n", feed=csv))
    assert result.error is not None
    assert result.error["kind"] == "DataError"
    assert "dataLocalFormat" in result.error["message"]
    assert not (tmp_path / "n").exists()


def test_functions_are_registered_for_null_features_and_odd_column_names(run_plan: RunPlan, tmp_path: Path) -> None:
    source = Select(
        table="odd",
        sql="select `my.fea``tures`, label from (select features as `my.fea``tures`, label from data union all select null, 0.0)",
    )
    script = tmp_path / "train.py"
    script.write_text(SAVE)
    train = trained(tmp_path / "m", table="odd", script_path=str(script), fit_params=({"inputCol": "my.fea`tures"},))
    assert train_result(run_plan(source, train)).rows == 101
    assert read_manifest(Location.of(str(tmp_path / "m"))).data.feature_width == WIDTH
    predict = tmp_path / "predict.py"
    predict.write_text("import python_fun\npython_fun.udf(lambda index, s: [(1, None, None, [1.0])])")
    run_plan(Register(model_path=str(tmp_path / "m"), function="one", script_path=str(predict))).raise_for_error()


EMPTY = Select(table="data", sql="select * from data where label > 5")
RAGGED = Select(table="data", sql="select * from (select features from data limit 1) union all select features from other")


def test_an_empty_table_is_refused_and_leaves_nothing(run_plan: RunPlan, tmp_path: Path) -> None:
    result = run_plan(EMPTY, trained(tmp_path / "m"))
    assert result.error is not None
    assert result.error["kind"] == "DataError"
    assert "'data' is empty" in result.error["message"]
    assert not (tmp_path / "m").exists()


def test_vectors_of_different_widths_are_refused(run_plan: RunPlan, tmp_path: Path) -> None:
    (tmp_path / "other.txt").write_text("0 3:1\n")
    other = Load(table="other", format="libsvm", path=str(tmp_path / "other.txt"), options={"numFeatures": "3"})
    result = run_plan(other, RAGGED, trained(tmp_path / "m"))
    assert result.error is not None
    assert "from 3 to 692" in result.error["message"]
    assert not (tmp_path / "m").exists()


def test_a_type_that_no_script_can_read_is_refused_before_anything_is_written(run_plan: RunPlan, tmp_path: Path) -> None:
    months = Select(table="months", sql="select *, interval '1-2' year to month as gap from data")
    result = run_plan(months, trained(tmp_path / "m", table="months"))
    assert result.error is not None
    assert "column 'gap' is of type interval year to month, which scripts cannot read" in result.error["message"]
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize(
    ("source", "column"),
    [
        ("import mlsql\nmlsql.all_data()", "features"),
        ("from mlsql import read_batches\nlist(read_batches(3))", "features"),
        ("import mlsql\nmlsql.sklearn_batch_data(print)", "target"),
    ],
)
def test_a_missing_column_is_named_before_data_move(
    run_plan: RunPlan, tmp_path: Path, script: Script, source: str, column: str
) -> None:
    table = Select(
        table="data", sql=f"select label as l, features as {'pixels' if column == 'features' else 'features'} from data"
    )
    train = trained(tmp_path / "m", script_path=script(source), fit_params=({"label": "target"} if column == "target" else {},))
    error = run_plan(table, train).error
    assert error is not None
    assert error["kind"] == "DataError"
    assert f"no column '{column}'" in error["message"]
    assert "its columns are l, " in error["message"]
    assert not (tmp_path / "m").exists()
