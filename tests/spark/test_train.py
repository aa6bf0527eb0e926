"""Training on a real SparkSession: what is published, what is recorded, what is left behind."""

from __future__ import annotations

import json
import shutil
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import pytest
from support.stores import latest_version, publish
from support.workbench import EXAMPLES, SEED, WIDTH, RunPlan, Script, processes_with

from mlsql_runtime.feed.files.export import export
from mlsql_runtime.plan import FileFeed, Load, PythonEnv, Register, Select, Train
from mlsql_runtime.result import RunResult, TrainResult, to_xcom
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store.verification import verify_files
from mlsql_runtime.store.versions import read_manifest, read_record, read_states

BAYES = str(EXAMPLES / "train_bayes.py")
if TYPE_CHECKING:
    from pyspark.sql import SparkSession

SAVE = "import mlsql, mlsql_model; mlsql_model.sk_save_model({'a': 1});"


def train_result(result: RunResult) -> TrainResult:
    result.raise_for_error()
    step = result.steps[-1]
    assert isinstance(step, TrainResult)
    return step


def trained(model: Path | str, **options: object) -> Train:
    return Train(**{"table": "data", "model_path": str(model), "script_path": BAYES, **options})  # type: ignore[arg-type]


def test_two_groups_are_trained_validated_and_published(run_plan: RunPlan, tmp_path: Path) -> None:
    groups = ({"batchSize": "30", "alpha": "0.5"}, {"batchSize": "64"})
    result = train_result(
        run_plan(trained(tmp_path / "m", fit_params=groups, validate_fraction=0.3, description="of all mail"), job_id="me")
    )
    assert result.version == 1
    assert result.score is not None
    assert result.score >= 0.9
    assert [fit.status for fit in result.fits] == ["success", "success"]
    root = Location.of(str(tmp_path / "m"))
    manifest = read_manifest(root)
    assert (manifest.job_id, manifest.description) == ("me", "of all mail")
    assert manifest.data.rows + manifest.data.validate_rows == 100
    assert manifest.data.rows == result.rows
    assert manifest.data.feature_width == WIDTH
    assert manifest.data.columns == {"label": "double", "features": "vector"}
    assert "scikit-learn" in manifest.environment
    verify_files(root / "_model_1", manifest.files)
    names = {entry.path for entry in manifest.files}
    assert {"model/0/model.pickle", "model/1/model.pickle", "logs/0.log", "logs/1.log", "meta/samples.parquet"} <= names
    meta = pq.read_table(tmp_path / "m/_model_1/meta/0").to_pylist()
    assert [(row["algIndex"], row["status"], dict(row["trainParams"])) for row in meta] == [
        (0, "success", groups[0]),
        (1, "success", groups[1]),
    ]
    assert not list((tmp_path / "m/_staging").iterdir())


def test_the_seeds_training_script_runs_unchanged(run_plan: RunPlan, tmp_path: Path) -> None:
    train = trained(tmp_path / "m", script_path=str(SEED / "train.py"), validate_table="data", fit_params=({"labelSize": "2"},))
    assert train_result(run_plan(train)).score == pytest.approx(1.0, abs=0.02)


BEHAVIOURS = {
    "good": (SAVE + "print('mlsql_validation_score:0.5')", "success", 0.5, None),
    "raises": ("raise ValueError('no luck')", "failed", None, "exit code 1: ValueError: no luck"),
    "exits": ("import sys; sys.exit(3)", "failed", None, "exit code 3"),
    "no score": (SAVE, "success", None, "printed no mlsql_validation_score"),
    "NaN": (SAVE + "print('mlsql_validation_score:nan')", "success", None, "nan, which counts as no score"),
    "no model": ("print('mlsql_validation_score:1')", "failed", None, "wrote no model"),
    "hangs": ("import time; print('mlsql_validation_score:1', flush=True); time.sleep(600)", "timeout", None, "timeout of 5 s"),
    "leaves a child": (
        SAVE
        + "import subprocess as s; s.Popen(['sleep', '765432.1'], start_new_session=True); print('mlsql_validation_score:0.4')",
        "success",
        0.4,
        "left 1 process running",
    ),
}


def test_each_group_is_told_exactly_what_happened_and_the_others_finish(
    run_plan: RunPlan, tmp_path: Path, script: Script
) -> None:
    source = f"import mlsql\nexec({ {name: case[0] for name, case in BEHAVIOURS.items()}!r}[mlsql.fit_param['behaviour']])"
    train = trained(
        tmp_path / "m",
        script_path=script(source),
        fit_params=tuple({"behaviour": name} for name in BEHAVIOURS),
        python=PythonEnv(timeout=5),
    )
    result = train_result(run_plan(train))
    manifest = read_manifest(Location.of(str(tmp_path / "m")))
    for fit, (name, (_, status, score, message)) in zip(manifest.fits, BEHAVIOURS.items(), strict=True):
        assert (fit.status, fit.score) == (status, score), name
        assert message is None or message in str(fit.message), name
    assert manifest.fits[0].message is None
    assert result.best.alg_index == 0
    assert processes_with("765432.1") == []
    json.dumps(to_xcom(result), allow_nan=False)


def test_when_all_groups_fail_nothing_is_published_but_the_reason(run_plan: RunPlan, tmp_path: Path, script: Script) -> None:
    publish(str(tmp_path / "m"))
    bad = script("print('about to fail'); raise KeyError('features')", "bad.py")
    result = run_plan(trained(tmp_path / "m", script_path=bad, fit_params=({}, {})), job_id="bad")
    assert result.error is not None
    assert result.error["kind"] == "TrainingFailed"
    assert "2 of 2 fit groups failed" in result.error["message"]
    assert "about to fail" in result.error["facts"]["tails"]["0"]
    root = Location.of(str(tmp_path / "m"))
    assert latest_version(root) == 1
    failure = read_record(root, 2)
    assert failure is not None
    assert (failure.job_id, failure.message) == ("bad", result.error["message"])
    assert "KeyError" in (tmp_path / "m/_model_2/logs/0.log").read_text()
    assert train_result(run_plan(trained(tmp_path / "m", script_path=script(SAVE)))).version == 3


def test_fail_on_any_fails_for_one_bad_group(run_plan: RunPlan, tmp_path: Path, script: Script) -> None:
    source = SAVE + "assert mlsql.fit_param['ok'] == 'yes'"
    result = run_plan(
        trained(tmp_path / "m", script_path=script(source), fit_params=({"ok": "yes"}, {"ok": "no"}), fail_on="any")
    )
    assert result.error is not None
    assert "1 of 2 fit groups failed: group 1 (failed)" in result.error["message"]


def test_two_trainings_at_once_get_two_versions(run_plan: RunPlan, tmp_path: Path, script: Script) -> None:
    results: list[TrainResult] = []
    train = trained(tmp_path / "m", script_path=script(SAVE), validate_table="data")
    threads = [threading.Thread(target=lambda: results.append(train_result(run_plan(train)))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(result.version for result in results) == [1, 2]
    for version in (1, 2):
        root = Location.of(str(tmp_path / "m"))
        verify_files(root / f"_model_{version}", read_manifest(root, version).files)


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
    exported = export(table, Location.of(str(tmp_path / "exported")), FileFeed(), None)
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


def test_resources_and_parameters_reach_the_script(run_plan: RunPlan, tmp_path: Path, script: Script) -> None:
    (tmp_path / "words.txt").write_text("a b c")
    source = """
import mlsql, mlsql_model, os, sys

def same(found, expected):
    if found != expected:
        raise SystemExit(f"found {found!r}, expected {expected!r}")

same(open(mlsql.internal_system_param["resource"]["words"]).read(), "a b c")
same(mlsql.fit_param, {"depth": "3"})
same(os.environ["MY_SETTING"], "on")
same(sys.flags.optimize, 1)
same(mlsql.params()["systemParam"]["envs"], "MY_SETTING")
print("mlsql_validation_score:7")
mlsql_model.sk_save_model(1)
"""
    python = PythonEnv(envs={"MY_SETTING": "on"}, flags=("-O",))
    groups = ({"depth": "3", "resource.words": str(tmp_path / "words.txt")},)
    assert (
        train_result(run_plan(trained(tmp_path / "m", script_path=script(source), fit_params=groups, python=python))).score == 7
    )
    manifest = (tmp_path / "m/_model_1/manifest.json").read_text()
    assert "MY_SETTING" in manifest
    assert '"on"' not in manifest


def test_a_project_folder_brings_its_modules_and_files(run_plan: RunPlan, tmp_path: Path, script: Script) -> None:
    script("def score():\n    return float(open('score.txt').read())", "project/helper.py")
    script("0.75", "project/score.txt")
    script(
        "import helper, mlsql_model\nprint(f'mlsql_validation_score:{helper.score()}')\nmlsql_model.sk_save_model(1)",
        "project/train.py",
    )
    assert train_result(run_plan(trained(tmp_path / "m", script_path=str(tmp_path / "project")))).score == 0.75


def test_the_lower_score_is_best_when_asked(run_plan: RunPlan, tmp_path: Path, script: Script) -> None:
    source = SAVE + "print('mlsql_validation_score:' + mlsql.fit_param['loss'])"
    groups = ({"loss": "3"}, {"loss": "1"}, {"loss": "2"})
    result = train_result(
        run_plan(trained(tmp_path / "m", script_path=script(source), fit_params=groups, greater_is_better=False))
    )
    assert (result.best.alg_index, result.score) == (1, 1.0)


def test_old_versions_are_pruned(run_plan: RunPlan, tmp_path: Path, script: Script) -> None:
    for _ in range(2):
        publish(str(tmp_path / "m"))
    train_result(run_plan(trained(tmp_path / "m", script_path=script(SAVE), keep_versions=2)))
    assert list(read_states(Location.of(str(tmp_path / "m")))) == [3, 2]


def test_local_directories_are_kept_when_asked(run_plan: RunPlan, tmp_path: Path, script: Script) -> None:
    train_result(run_plan(trained(tmp_path / "m", script_path=script(SAVE), keep_local_directory=True)))
    message = str(read_manifest(Location.of(str(tmp_path / "m"))).fits[0].message)
    folder = Path(message.rpartition(":")[2])
    assert (folder / "work/script.py").is_file()
    assert (folder / "model/model.pickle").is_file()
    assert list((folder / "data.parquet").glob("*.parquet"))
    shutil.rmtree(folder)


def test_null_features_and_odd_column_names_do_not_disturb_registering(run_plan: RunPlan, tmp_path: Path) -> None:
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
