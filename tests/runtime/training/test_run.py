"""Training runs on a real SparkSession: what is published, what is recorded, what is left behind."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from support.stores import latest_version, publish
from support.training import SAVE, train_result, trained
from support.workbench import SEED, WIDTH, RunPlan, Script

from mlsql_runtime.result import TrainResult
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store.curve_files import read_curves
from mlsql_runtime.store.curves import Curve
from mlsql_runtime.store.verification import verify_files
from mlsql_runtime.store.versions import read_manifest, read_record, read_states


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


def test_the_training_script_of_mlsqls_manual_runs_unchanged(run_plan: RunPlan, tmp_path: Path) -> None:
    train = trained(tmp_path / "m", script_path=str(SEED / "train.py"), validate_table="data", fit_params=({"labelSize": "2"},))
    assert train_result(run_plan(train)).score == pytest.approx(1.0, abs=0.02)


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


def test_every_report_of_every_group_is_kept_also_of_those_that_fail(run_plan: RunPlan, tmp_path: Path, script: Script) -> None:
    source = (
        SAVE + "import mlsql_model\nfor step in range(3): mlsql.report(step, loss=1 / (step + 1))\n"
        "assert mlsql.fit_param['ok'] == 'yes'"
    )
    groups = ({"ok": "yes"}, {"ok": "no"})
    train = trained(tmp_path / "m", script_path=script(source), fit_params=groups)
    train_result(run_plan(train))
    run_plan(replace(train, fit_params=groups[1:]))
    root = Location.of(str(tmp_path / "m"))
    curve = Curve(steps=(0, 1, 2), values=(1.0, 0.5, 1 / 3), reports=3)
    assert read_curves(root / "_model_1") == {0: {"loss": curve}, 1: {"loss": curve}}
    assert "curves.json" in {entry.path for entry in read_manifest(root, 1).files}
    assert read_curves(root / "_model_2") == {0: {"loss": curve}}


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


def test_the_lower_score_is_best_if_greater_is_not_better(run_plan: RunPlan, tmp_path: Path, script: Script) -> None:
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
