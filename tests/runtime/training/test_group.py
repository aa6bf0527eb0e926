"""Fit groups: what their scripts find, and what is recorded of each end."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from support.training import SAVE, train_result, trained
from support.workbench import RunPlan, Script, processes_with

from mlsql_runtime.plan import PythonEnv
from mlsql_runtime.result import to_xcom
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store.versions import read_manifest

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


def test_the_record_of_each_group_says_what_happened_and_the_others_finish(
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


def test_local_directories_are_kept_on_request(run_plan: RunPlan, tmp_path: Path, script: Script) -> None:
    train_result(run_plan(trained(tmp_path / "m", script_path=script(SAVE), keep_local_directory=True)))
    message = str(read_manifest(Location.of(str(tmp_path / "m"))).fits[0].message)
    folder = Path(message.rpartition(":")[2])
    assert (folder / "work/script.py").is_file()
    assert (folder / "model/model.pickle").is_file()
    assert list((folder / "data.parquet").glob("*.parquet"))
    shutil.rmtree(folder)
