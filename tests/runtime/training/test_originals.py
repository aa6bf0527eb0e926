"""Training from the files of a stored table: scripts get the rows that Spark would have copied for them, or Spark copies them."""

from __future__ import annotations

import datetime
import json
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.training import train_result, trained
from support.workbench import EXAMPLES, RunPlan, Script

from mlsql_runtime.feed.files.export import ExportFeed
from mlsql_runtime.feed.interface import LocalTable
from mlsql_runtime.feed.reader import read_arrow
from mlsql_runtime.feed.table_facts import ColumnRoles, decode_schema
from mlsql_runtime.plan import Attempt, FileFeed, FunctionRef, Load, Plan, Register, Save, Select, Train
from mlsql_runtime.run_context import RunContext
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store.versions import read_manifest, read_states
from mlsql_runtime.training.file_facts import SMALL
from mlsql_runtime.training.originals import SETTING, OriginalsFeed

if TYPE_CHECKING:
    from hadoop import Hdfs
    from pyspark.sql import DataFrame, SparkSession

ROWS = 1000
START = datetime.datetime(2024, 1, 1, tzinfo=datetime.timezone.utc)


def make_table() -> pa.Table:
    """Return a table of every type, with nulls."""
    null = np.random.default_rng(1).random(ROWS) < 0.1

    def column(make: Callable[[int], Any], kind: pa.DataType) -> pa.Array:
        return pa.array([None if null[number] else make(number) for number in range(ROWS)], kind)

    return pa.table(
        {
            "id": pa.array(range(ROWS), pa.int64()),
            "label": pa.array([number % 3 for number in range(ROWS)], pa.int32()),
            "x": column(lambda n: float("nan") if n % 50 == 0 else n / 7, pa.float64()),
            "f": column(lambda n: n / 7, pa.float32()),
            "tiny": column(lambda n: n % 100 - 50, pa.int8()),
            "flag": column(lambda n: n % 2 == 0, pa.bool_()),
            "name": column(lambda n: f"n{n % 7} é", pa.string()),
            "kind": column(lambda n: f"k{n % 3}", pa.string()).dictionary_encode(),
            "raw": column(lambda n: bytes([n % 250]), pa.binary()),
            "day": column(lambda n: START.date() + datetime.timedelta(n), pa.date32()),
            "at": column(lambda n: START + datetime.timedelta(seconds=n), pa.timestamp("us", "UTC")),
            "plain": column(lambda n: START.replace(tzinfo=None) + datetime.timedelta(seconds=n), pa.timestamp("ms")),
            "price": column(lambda n: Decimal(n) / 100, pa.decimal128(10, 2)),
            "list": column(lambda n: [float(n), None], pa.list_(pa.float64())),
            "nested": column(lambda n: {"a": n, "b": f"b{n}"}, pa.struct({"a": pa.int32(), "b": pa.string()})),
            "named": column(lambda n: [("k", float(n))], pa.map_(pa.string(), pa.float64())),
        }
    )


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The table in two files of several row groups, and a file without rows."""
    folder = tmp_path_factory.mktemp("originals") / "rows of the table"
    folder.mkdir()
    table = make_table()
    pq.write_table(table.slice(0, 700), folder / "one.parquet", row_group_size=300)
    pq.write_table(table.slice(700), folder / "two.parquet", row_group_size=100)
    pq.write_table(table.slice(0, 0), folder / "empty.parquet")
    return str(folder)


class Both:
    """A table as scripts read it in both ways."""

    def __init__(self, spark: SparkSession, folder: Path, cleanup: ExitStack) -> None:
        self.spark, self._folder, self._count = spark, folder, 0
        self.context = RunContext(Plan(job_id="job", statements=()), spark, cleanup)

    def feed(self, feed: FileFeed | None = None, **options: Any) -> OriginalsFeed:
        self._count += 1
        place = Location.of(str(self._folder / f"stage-{self._count}" / "data"))
        given = feed or FileFeed()
        return OriginalsFeed(ExportFeed(given, place), trained("/m", feed=given, **options), self.context, has_json=True)

    def open(self, prepared: Any) -> LocalTable:
        self._count += 1
        folder = self._folder / f"group-{self._count}"
        folder.mkdir()
        opened: LocalTable = prepared.open(folder / "data", False, folder, 0)
        return opened

    def compare(self, table: DataFrame, roles: ColumnRoles) -> LocalTable:
        """Check that facts, types, rows and JSON files are those of Spark's copy, and return the table."""
        feed = self.feed()
        prepared, copy = feed.prepare(table, roles), feed.export.prepare(table, roles)
        assert prepared.identity.part is not None, "Spark has copied the rows"
        assert prepared.facts == copy.facts
        found, expected = self.open(prepared), self.open(copy)
        assert rows_of(found) == rows_of(expected)
        assert json_of(found) == json_of(expected)
        return found


def rows_of(table: LocalTable, columns: list[str] | None = None) -> list[str]:
    """Return the rows of a table with their types, in a fixed order."""
    return sorted(
        repr([(name, str(batch.schema.field(name).type), value) for name, value in row.items()])
        for batch in read_arrow(table, columns)
        for row in batch.to_pylist()
    )


def json_of(table: LocalTable) -> list[Any]:
    """Return the rows that a script finds in the JSON files for which it asks."""
    assert table.file_writer is not None
    assert table.local_path is not None
    table.file_writer(lambda: False)
    lines = [line for file in Path(table.local_path).glob("*.json") for line in file.read_text().splitlines()]
    return sorted(lines)


@pytest.fixture
def both(spark: SparkSession, tmp_path: Path) -> Iterator[Both]:
    with ExitStack() as cleanup:
        yield Both(spark, tmp_path, cleanup)


def test_scripts_read_the_rows_that_spark_would_copy(both: Both, spark: SparkSession, path: str) -> None:
    table = spark.read.parquet(path)
    assert table.count() == ROWS
    found = both.compare(table, ColumnRoles(features=("x", "f"), label="label"))
    assert (found.rows, rows_of(found, ["kind", "id"])[0][:8]) == (ROWS, "[('kind'")
    both.compare(table.selectExpr("name as label", "x as b", "id", "x as a"), ColumnRoles(features=("b",), label="label"))


def test_columns_in_folders_and_in_some_files_only(both: Both, spark: SparkSession, path: str, tmp_path: Path) -> None:
    rows = spark.read.parquet(path).selectExpr("id", "x", "if(id % 5 = 0, null, concat('a b/', id % 3)) as part", "day")
    rows.where("id < 100").write.partitionBy("part", "day").parquet(str(tmp_path / "parts"))
    table = spark.read.parquet(str(tmp_path / "parts"))
    both.compare(table, ColumnRoles(features=("x",), label="part"))
    both.compare(table.select("part", "day"), ColumnRoles(label="day"))
    pq.write_table(pa.table({"ID": pa.array([1], pa.int32()), "y": ["new"]}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"id": pa.array([2], pa.int64()), "x": pa.array([0.5], pa.float32())}), tmp_path / "b.parquet")
    table = spark.read.schema("id bigint, x double, y string").parquet(*map(str, tmp_path.glob("*.parquet")))
    both.compare(table, ColumnRoles(features=("x",), label="y"))


@pytest.mark.parametrize("small", [SMALL, 0], ids=["by the driver", "by tasks"])
def test_vectors_and_labels_are_measured(
    both: Both, spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small: int
) -> None:
    from pyspark.ml.linalg import Vectors, VectorUDT
    from pyspark.sql.types import DoubleType, StructType

    monkeypatch.setattr("mlsql_runtime.training.file_facts.SMALL", small)
    vectors = [Vectors.dense([1.0, 2.0]), Vectors.sparse(2, [1], [3.0]), None]
    schema = StructType().add("label", DoubleType()).add("features", VectorUDT())
    rows = [(float(number % 2), vectors[number % 3]) for number in range(30)] + [(None, vectors[0])]
    spark.createDataFrame(rows, schema).repartition(3).write.parquet(str(tmp_path / "vectors"))
    table = spark.read.parquet(str(tmp_path / "vectors"))
    facts = both.feed().prepare(table, ColumnRoles(features=("features",), label="label")).facts
    assert (facts.width, facts.label_nulls, facts.classes) == (2, 1, (0.0, 1.0))
    both.compare(table, ColumnRoles(features=("features",), label="label"))


@pytest.mark.parametrize("stratify", [False, True], ids=["of all", "of each class"])
def test_held_out_rows_of_parquet_files_are_the_same_each_time_and_in_no_other_part(
    both: Both, spark: SparkSession, path: str, stratify: bool
) -> None:
    table = spark.read.parquet(path)
    parts = []
    for _ in range(2):
        feed = both.feed(stratify=stratify, validate_fraction=0.2)
        stored = feed.find_stored(table)
        assert stored is not None
        training, held = feed.prepare_parts(stored, ColumnRoles(features=("x",), label="label"), 0.2)
        assert held is not None
        assert held.facts.classes == training.facts.classes == (0, 1, 2)
        opened = both.open(training), both.open(held)
        assert opened[1].file_writer is None  # scripts ask for the training table only
        parts.append([[batch["id"].to_pylist() for batch in read_arrow(each)] for each in opened])
        assert len(json_of(opened[0])) == training.facts.rows
    assert parts[0] == parts[1]
    training_ids, held_ids = ([number for batch in part for number in batch] for part in parts[0])
    assert sorted(training_ids + held_ids) == list(range(ROWS))
    if stratify:
        assert Counter(number % 3 for number in held_ids) == {0: 67, 1: 67, 2: 67}
    assert 150 < len(held_ids) < 250


def test_the_setting_and_other_reasons_to_copy_the_rows(
    both: Both, spark: SparkSession, path: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    table = spark.read.parquet(path)
    times = pa.table({"at": pa.array([START.replace(tzinfo=None)], pa.timestamp("ns"))})
    pq.write_table(times, tmp_path / "int96.parquet", use_deprecated_int96_timestamps=True)
    reasons: dict[str, tuple[DataFrame, dict[str, Any]]] = {
        "it has conditions": (table.where("x > 0"), {}),
        "two of its columns have the same name": (table.selectExpr("x", "f as X"), {}),
        "it computes Add": (table.selectExpr("x + 1 as x"), {}),
        "it computes columns": (table.selectExpr("cast(f as double) as x"), {}),
        "Join": (table.crossJoin(table.select("x")), {}),
        "the statement says how its data files are to be written": (table, {"feed": FileFeed(format="parquet")}),
        "kept with the local directory": (table, {"keep_local_directory": True}),
        "column at is timestamp[ns]": (spark.read.parquet(str(tmp_path / "int96.parquet")), {}),
    }
    for reason, (each, options) in reasons.items():
        capfd.readouterr()
        assert both.feed(**options).find_stored(each) is None
        log = capfd.readouterr().out
        assert "train: Spark copies the rows for the scripts: " in log
        assert reason in log
    spark.conf.set(SETTING, "false")
    try:
        assert both.feed().find_stored(table) is None
        assert f"{SETTING} is not true" in capfd.readouterr().out
    finally:
        spark.conf.unset(SETTING)


READ = """
import mlsql, mlsql_model, os
rows = [row.id for rows in mlsql.read_data()(max_records=300) for row in rows]
held = mlsql.get_validate_frame()["id"].tolist()
assert not set(rows) & set(held)
mlsql.report(rows=len(rows), held=len(held), total=sum(rows) + sum(held))
if "change" in mlsql.fit_param and mlsql.internal_system_param["algIndex"] == "1":
    file = mlsql.fit_param["change"]
    with open(file, "rb") as stream:
        content = stream.read()
    with open(file, "wb") as stream:
        stream.write(content)
mlsql_model.sk_save_model(1)
"""


VALIDATE = """
import mlsql, mlsql_model
assert len(mlsql.get_validate_frame()) == 1000
mlsql_model.sk_save_model(1)
"""


def training(folder: Path, source: str, **options: Any) -> Train:
    statement: Train = trained(folder / "m", table="stored", script_path=source, validate_fraction=0.2, **options)
    return statement


def test_a_training_reads_the_files_and_its_manifest_counts_their_rows(
    run_plan: RunPlan, tmp_path: Path, script: Script, path: str, capfd: pytest.CaptureFixture[str]
) -> None:
    load = Load(table="stored", format="parquet", path=path)
    validate = Select(table="others", sql="select id, label from stored")
    result = train_result(run_plan(load, training(tmp_path, script(READ))))
    metrics = result.fits[0].metrics
    assert (metrics["rows"] + metrics["held"], metrics["total"]) == (ROWS, sum(range(ROWS)))
    data = read_manifest(Location.of(str(tmp_path / "m"))).data
    assert (data.rows, data.validate_rows) == (metrics["rows"], metrics["held"])
    log = capfd.readouterr().out
    assert f"train: {data.rows} rows as parquet files, read where they are, {data.validate_rows} to validate with" in log
    again = replace(training(tmp_path, script(VALIDATE)), validate_fraction=None, validate_table="others")
    assert train_result(run_plan(load, validate, again)).rows == ROWS


def test_a_file_that_changes_during_the_training_fails_it_by_its_name(run_plan: RunPlan, tmp_path: Path, script: Script) -> None:
    (tmp_path / "stored").mkdir()
    for name, start in (("a", 0), ("b", 500)):
        rows = make_table().select(["id", "label", "x"]).slice(start, 500)
        pq.write_table(rows, tmp_path / "stored" / f"{name}.parquet")
    groups: tuple[dict[str, str], ...] = ({}, {"change": str(tmp_path / "stored" / "b.parquet")})
    result = run_plan(
        Load(table="stored", format="parquet", path=str(tmp_path / "stored")),
        training(tmp_path, script(READ), fit_params=groups),
    )
    assert result.error is not None
    assert result.error["kind"] == "IntegrityError"
    assert "b.parquet was changed while it was trained from" in result.error["message"]
    assert not (tmp_path / "m").exists()


# Each group notes what it saw. Group 1 loses its Spark worker, once, when group 0 is finished.
LOST = """
import glob, json, os, time
import psutil
import mlsql, mlsql_model

index, notes = mlsql.internal_system_param["algIndex"], mlsql.fit_param["notes"]
rows = [row.id for rows in mlsql.read_data()(max_records=300) for row in rows]
held = mlsql.get_validate_frame()["id"].tolist()
with open(notes + "/ran", "a") as file:
    file.write(json.dumps([index, rows, held]) + "\\n")
if index == "1" and not os.path.exists(notes + "/lost"):
    while not glob.glob(mlsql.fit_param["model"] + "/_staging/*/fit-0-*/finished.json"):
        time.sleep(0.05)
    open(notes + "/lost", "w").close()
    psutil.Process().parents()[1].kill()
    time.sleep(600)
mlsql_model.sk_save_model(1)
"""


@pytest.mark.parametrize("is_changed", [False, True], ids=["same", "changed"])
def test_a_retry_reads_the_same_rows_or_trains_all_groups_again(
    run_plan: RunPlan, tmp_path: Path, script: Script, capfd: pytest.CaptureFixture[str], is_changed: bool
) -> None:
    stored, notes = tmp_path / "stored", {"notes": str(tmp_path), "model": str(tmp_path / "m")}
    stored.mkdir()
    rows = make_table().select(["id", "label", "x"])
    pq.write_table(rows.slice(0, 500), stored / "a.parquet")
    train = training(tmp_path, script(LOST), fit_params=(notes, notes))
    statements = Load(table="stored", format="parquet", path=str(stored)), train
    first = run_plan(*statements, attempt=Attempt(is_last=False))
    assert first.error is not None
    assert read_states(Location.of(str(tmp_path / "m"))) == {}
    pq.write_table(rows.slice(500), stored / ("a.parquet" if is_changed else "b.parquet"))  # which the retry must not read
    capfd.readouterr()
    train_result(run_plan(*statements, attempt=Attempt(earlier_since=datetime.datetime.now(datetime.timezone.utc))))
    log = capfd.readouterr().out
    ran = [json.loads(line) for line in (tmp_path / "ran").read_text().splitlines()]
    if is_changed:
        assert sorted(each[0] for each in ran) == ["0", "0", "1", "1"]
        assert "a.parquet was changed while it was trained from" in log
        assert "the table has changed since the earlier attempt; all groups are trained again" in log
        assert ran[-1][1] + ran[-1][2] != ran[0][1] + ran[0][2]
    else:
        assert sorted(each[0] for each in ran) == ["0", "1", "1"]
        assert len({json.dumps(each[1:]) for each in ran}) == 1
        assert "of the earlier attempt" in log


def test_types_are_those_of_the_table(both: Both, spark: SparkSession, path: str) -> None:
    """A session in another time zone reads the same instants."""
    before = str(spark.conf.get("spark.sql.session.timeZone"))
    spark.conf.set("spark.sql.session.timeZone", "Asia/Kolkata")
    try:
        found = both.compare(spark.read.parquet(path), ColumnRoles(features=("x",), label="kind"))
    finally:
        spark.conf.set("spark.sql.session.timeZone", before)
    assert decode_schema(found.schema).field("at").type == pa.timestamp("us", "Asia/Kolkata")


def test_parquet_files_on_hdfs_are_trained_from_and_scored(
    run_plan: RunPlan, hdfs: Hdfs, tmp_path: Path, script: Script, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = f"{hdfs.uri}/{uuid.uuid4().hex}"
    rows = Select(table="rows", sql="select *, cast(rand(1) * 1000 as int) as id from data")
    save = Save(table="rows", format="parquet", path=f"{folder}/stored", file_num=2)
    load = Load(table="stored", format="parquet", path=f"{folder}/stored")
    train = trained(f"{folder}/m", table="stored", validate_fraction=0.2)
    register = Register(model_path=f"{folder}/m", function="jack", script_path=str(EXAMPLES / "predict_bayes.py"))
    jack = FunctionRef(name="jack", model_path=f"{folder}/m", function="jack")
    select = Select(table="out", sql="select id, jack(features) as p from stored where id >= 0", functions=(jack,))
    result = run_plan(rows, save, load, train, register, select, Save(table="out", format="parquet", path=f"{folder}/out"))
    assert train_result(result).rows + 20 > 90
    log = capfd.readouterr().out
    assert "rows as parquet files, read where they are" in log
    assert "Parquet files themselves: 2 row groups" in log
    assert "save: 100 rows of out" in log
