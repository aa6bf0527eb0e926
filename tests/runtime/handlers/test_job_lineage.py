"""The data sets that a job says it has read and written."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.workbench import SAMPLE, RunPlan, Script

from mlsql_runtime.data_sets import CatalogName, DataSet, JobLineage
from mlsql_runtime.plan import FunctionRef, Load, Predict, Register, Save, Select, Show, Statement, Train
from mlsql_runtime.result import RunResult
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store.functions import read_function

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

TRAIN = """
import mlsql, mlsql_model
mlsql.report(loss=0.5)
print("mlsql_validation_score:0.75")
mlsql_model.sk_save_model(sum(len(rows) for rows in mlsql.read_data()()))
"""
REGISTER = "import numpy, python_fun; python_fun.batch_udf(lambda X, model: numpy.ones(X.shape[0]))"
PREDICT = """
import mlsql, shutil
params = mlsql.internal_system_param
shutil.copy(params["tempDataLocalPath"], params["tempOutputLocalPath"])
"""
COLUMNS = {"label": "double", "features": "vector"}


class Runner:
    """Run statements after loading the sample, and return what the result says about data sets."""

    def __init__(self, run_plan: RunPlan) -> None:
        self._run = run_plan

    def __call__(self, *statements: Statement) -> JobLineage:
        result = self.run(*statements)
        result.raise_for_error()
        assert result.lineage is not None
        return result.lineage

    def run(self, *statements: Statement) -> RunResult:
        return self._run(*statements, collect_lineage=True)


@pytest.fixture(scope="module")
def run(run_plan: RunPlan) -> Runner:
    return Runner(run_plan)


@dataclass(frozen=True)
class Job:
    """A job that saves a table, trains on what it has saved, and registers the model; and what it says about that."""

    folder: Path
    lineage: JobLineage

    @property
    def model_path(self) -> str:
        return str(self.folder / "m")

    def write(self, name: str, source: str) -> str:
        (self.folder / name).write_text(source)
        return str(self.folder / name)


@pytest.fixture(scope="module")
def job(run: Runner, tmp_path_factory: pytest.TempPathFactory) -> Job:
    job = Job(tmp_path_factory.mktemp("job"), JobLineage())
    rows = str(job.folder / "rows")
    lineage = run(
        Save(table="data", format="parquet", path=rows),
        Load(table="rows", format="parquet", path=rows),
        Train(table="rows", model_path=job.model_path, script_path=job.write("train.py", TRAIN)),
        Register(model_path=job.model_path, function="jack", script_path=job.write("register.py", REGISTER)),
    )
    return replace(job, lineage=lineage)


def brief(data_sets: tuple[DataSet, ...]) -> list[tuple[str | None, str | None]]:
    return [(each.uri, each.version) for each in data_sets]


def test_a_training_reads_its_table_and_writes_a_version(job: Job) -> None:
    [table], [rows, model], [train, register] = job.lineage.inputs, job.lineage.outputs, job.lineage.scripts
    assert (table.uri, table.format, table.columns) == (f"file:{SAMPLE}", "libsvm", COLUMNS)
    assert (table.files, table.size) == (1, Path(SAMPLE).stat().st_size)
    assert (rows.uri, rows.format, rows.columns, rows.rows) == (f"file:{job.folder}/rows", "parquet", COLUMNS, 100)
    assert (model.uri, model.version, model.rows) == (job.model_path, "1", 100)
    assert model.columns == {"features": "vector", "label": "double"}
    assert model.model is not None
    assert (model.model.alg_index, model.model.score, model.model.greater_is_better) == (0, 0.75, True)
    assert (model.model.metrics, model.model.functions) == ({"loss": 0.5}, ("jack",))
    provenance = model.model.provenance
    assert provenance is not None
    assert (provenance.job_id, provenance.script, provenance.script_sha256) == ("job", "train.py", train.sha256)
    assert (train.role, train.name) == ("train", "train.py")
    assert (register.role, register.name) == ("register", "register.py")
    assert register.sha256 == read_function(Location.of(job.model_path), "jack").script.sha256


def test_functions_lead_from_a_model_to_what_is_saved(run: Runner, job: Job, tmp_path: Path) -> None:
    function = FunctionRef(name="john", model_path=job.model_path, function="jack")
    predicted = Select(table="p", sql="select label, john(features) as p from data", functions=(function,))
    called = run(predicted, Save(table="p", format="parquet", path=str(tmp_path / "out")))
    assert brief(called.inputs) == [(job.model_path, "1"), (f"file:{SAMPLE}", None)]
    assert called.inputs[0].model is not None
    assert called.inputs[0].model.functions == ("john",)
    [saved] = called.outputs
    assert (saved.uri, saved.format, saved.rows) == (f"file:{tmp_path}/out", "parquet", 100)
    assert list(saved.columns) == ["label", "p"]


def test_a_refused_registration_has_read_its_model(run: Runner, job: Job) -> None:
    script = job.write("register.py", REGISTER)
    lineage = run(Register(model_path=job.model_path, function="jack", script_path=script, min_score=0.9))
    [model] = lineage.inputs
    assert (model.uri, model.version, lineage.outputs, lineage.scripts) == (job.model_path, "1", (), ())
    assert model.model is not None
    assert model.model.functions == ()


def test_a_batch_script_leads_from_a_model_to_what_is_saved(run: Runner, job: Job, tmp_path: Path) -> None:
    ids = Select(table="ids", sql="select label from data")
    batch = Predict(table="ids", model_path=job.model_path, script_path=job.write("batch.py", PREDICT), result="p")
    lineage = run(ids, batch, Save(table="p", format="json", path=str(tmp_path / "out")))
    assert brief(lineage.inputs) == [(job.model_path, "1"), (f"file:{SAMPLE}", None)]
    assert brief(lineage.outputs) == [(f"file:{tmp_path}/out", None)]
    assert [(each.role, each.name) for each in lineage.scripts] == [("predict", "batch.py")]


@pytest.fixture
def database(spark: SparkSession) -> Iterator[str]:
    name = f"shop_{uuid.uuid4().hex[:8]}"
    spark.sql(f"create database {name}")
    yield name
    spark.sql(f"drop database {name} cascade")


def test_tables_of_a_catalog_have_its_name_and_their_place(run: Runner, spark: SparkSession, database: str) -> None:
    warehouse = spark.conf.get("spark.sql.warehouse.dir")
    spark.sql(f"create table {database}.orders using parquet as select 1 as id")
    spark.sql(f"create view {database}.wide as select id, id as twice from {database}.orders")
    query = Select(table="q", sql=f"select * from {database}.wide")
    lineage = run(query, Save(table="q", format="table", path=f"{database}.copies"))
    [read], [written] = lineage.inputs, lineage.outputs
    assert read.table == CatalogName(name=f"{database}.orders", catalog=str(warehouse))
    assert (read.uri, read.columns) == (f"{warehouse}/{database}.db/orders", {"id": "int"})
    assert written.table == CatalogName(name=f"{database}.copies", catalog=str(warehouse))
    assert (written.uri, written.rows, list(written.columns)) == (f"{warehouse}/{database}.db/copies", 1, ["id", "twice"])


def test_many_folders_are_one_data_set(run: Runner, tmp_path: Path) -> None:
    for number in range(21):
        (tmp_path / "days" / f"day{number}").mkdir(parents=True)
        (tmp_path / "days" / f"day{number}" / "rows.json").write_text(f'{{"x": {number}}}\n')
    [one] = run(Load(table="t", format="json", path=f"{tmp_path}/days/*"), Show(table="t")).inputs
    assert (one.uri, one.files) == (f"file:{tmp_path}/days", 21)
    [several] = run(Load(table="t", format="json", path=f"{tmp_path}/days/*/*.json"), Show(table="t")).inputs
    assert several.uri == f"file:{tmp_path}/days"
    few = run(Load(table="t", format="json", path=f"{tmp_path}/days/day1*"), Show(table="t")).inputs
    assert len(few) == 11


def test_a_failed_job_says_what_it_has_read(run: Runner, script: Script, tmp_path: Path) -> None:
    failed = run.run(Train(table="data", model_path=str(tmp_path), script_path=script("raise SystemExit('no')")))
    assert failed.lineage is not None
    assert brief(failed.lineage.inputs) == [(f"file:{SAMPLE}", None)]
    assert failed.lineage.outputs == ()
    with pytest.raises(Exception, match="no") as raised:
        failed.raise_for_error()
    assert getattr(raised.value, "lineage", None) == failed.lineage


def test_nothing_is_collected_unless_the_plan_asks_for_it(run_plan: RunPlan) -> None:
    result: Any = run_plan(Show(table="data"))
    assert result.is_successful
    assert result.lineage is None


def test_a_table_of_which_nothing_is_known_fails_nothing(
    run: Runner, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("mlsql_runtime.handlers.job_lineage.MAX_PATHS", None)
    result = run.run(Show(table="data"))
    assert result.is_successful
    assert result.lineage == JobLineage()
    assert "lineage: show data is not recorded in full: TypeError" in capsys.readouterr().out
