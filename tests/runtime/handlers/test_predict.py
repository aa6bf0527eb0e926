"""Batch-predict scripts: once per partition, JSON lines in and out, rows accounted for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.workbench import RunPlan, Script

from mlsql_runtime.plan import Predict, Save, Select, Train

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

PREDICT = """
import json
import mlsql
import mlsql_model

places = mlsql.internal_system_param
offset = mlsql_model.load(places["tempModelLocalPath"])["offset"] + float(mlsql.fit_param.get("more", 0))
with open(places["tempDataLocalPath"]) as rows, open(places["tempOutputLocalPath"], "w") as output:
    for row in map(json.loads, rows):
        output.write(json.dumps({"id": row["id"], "answer": row["label"] + offset, "partition": places["partition"]}) + "\\n")
"""
IDS = Select(table="rows", sql="select monotonically_increasing_id() as id, label, features from data")


@pytest.fixture(scope="module")
def model(run_plan: RunPlan, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The path of a trained model that all tests use."""
    folder = tmp_path_factory.mktemp("models")
    (folder / "train.py").write_text("import mlsql_model; mlsql_model.sk_save_model({'offset': 10})")
    run_plan(Train(table="data", model_path=str(folder / "m"), script_path=str(folder / "train.py"))).raise_for_error()
    return folder / "m"


Statements = Callable[..., tuple[Predict, Save]]


@pytest.fixture
def predict(model: Path, tmp_path: Path, script: Script) -> Statements:
    """Make the statements that predict with a script, and save the result as ``out``."""

    def statements(source: str, **options: object) -> tuple[Predict, Save]:
        path = script(source, "predict.py")
        fields = {"table": "rows", "model_path": str(model), "script_path": path, "result": "out", **options}
        return Predict(**fields), Save(table="out", format="json", path=str(tmp_path / "out"))  # type: ignore[arg-type]

    return statements


def test_every_row_is_answered_once(
    run_plan: RunPlan, spark: SparkSession, tmp_path: Path, model: Path, predict: Statements
) -> None:
    spread = Select(table="rows", sql="select /*+ REPARTITION(4) */ id, label, features from rows")
    run_plan(IDS, spread, *predict(PREDICT, params={"more": "0.5"})).raise_for_error()
    rows = spark.read.json(str(tmp_path / "out")).collect()
    assert sorted(row.id for row in rows) == list(range(100))
    assert {row.answer for row in rows} == {10.5, 11.5}
    assert len({row.partition for row in rows}) == 4
    assert not list((model / "_staging").iterdir())


@pytest.mark.parametrize(
    ("source", "kind", "part"),
    [
        (
            "raise RuntimeError('broken')",
            "ScriptFailed",
            "failed on partition 0: it ended with exit code 1: RuntimeError: broken",
        ),
        ("print('nothing')", "ScriptFailed", "wrote no tempOutputLocalPath on partition 0"),
        (PREDICT.replace("output.write(", "output.write('oops' + "), "DataError", "MALFORMED"),
        (
            PREDICT.replace("in map(json.loads, rows)", "in map(json.loads, list(rows)[:7])"),
            "DataError",
            "got 100 rows on partition 0 and wrote 7",
        ),
    ],
)
def test_a_failing_partition_fails_the_job(
    run_plan: RunPlan, tmp_path: Path, model: Path, predict: Statements, source: str, kind: str, part: str
) -> None:
    error = run_plan(IDS, *predict(source)).error
    assert error is not None
    assert error["kind"] == kind
    assert part in error["message"]
    assert not (tmp_path / "out").exists()
    assert not list((model / "_staging").iterdir())


def test_partitions_of_a_node_share_one_copy_of_the_resources(
    run_plan: RunPlan, spark: SparkSession, tmp_path: Path, predict: Statements
) -> None:
    (tmp_path / "words").mkdir()
    (tmp_path / "words/a.txt").write_text("a b")
    (tmp_path / "one.txt").write_text("c")
    source = """
import json, os
import mlsql
places = mlsql.internal_system_param
words, one = places["resource"]["words"], places["resource"]["one"]
with open(places["tempDataLocalPath"]) as rows, open(places["tempOutputLocalPath"], "w") as output:
    for row in rows:
        facts = {"text": open(words + "/a.txt").read() + open(one).read(), "file": os.stat(one).st_ino, "path": one}
        output.write(json.dumps(facts) + "\\n")
"""
    params = {"resource.words": str(tmp_path / "words"), "resource.one": str(tmp_path / "one.txt")}
    spread = Select(table="rows", sql="select /*+ REPARTITION(4) */ id, label, features from rows")
    run_plan(IDS, spread, *predict(source, params=params)).raise_for_error()
    found = spark.read.json(str(tmp_path / "out")).distinct().collect()
    assert [row.text for row in found] == ["a bc"]
    assert found[0].path != str(tmp_path / "one.txt")


def test_the_number_of_rows_may_change_when_told(
    run_plan: RunPlan, spark: SparkSession, tmp_path: Path, predict: Statements
) -> None:
    source = PREDICT.replace("in map(json.loads, rows)", "in map(json.loads, list(rows)[:7])")
    run_plan(IDS, *predict(source, same_rows=False)).raise_for_error()
    assert spark.read.json(str(tmp_path / "out")).count() == 7
