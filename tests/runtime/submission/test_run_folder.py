"""Projects on their way to a cluster."""

from __future__ import annotations

import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from mlsql_runtime.plan import Plan, Preflight, Secrets, Train, load_plan
from mlsql_runtime.script.bundle import read_bundle
from mlsql_runtime.submission.run_folder import RunFolder

FILES = {
    "MLproject": "entry_points: {train: {command: python src/learn.py}}",
    "src/learn.py": "pass",
    "words.csv": "a",
}


@pytest.mark.parametrize("kind", ["folder", "zip", "script"])
def test_a_project_is_copied_unchanged(tmp_path: Path, kind: str) -> None:
    with zipfile.ZipFile(tmp_path / "project.zip", "w") as archive:
        for name, text in FILES.items():
            (tmp_path / "project" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "project" / name).write_text(text)
            archive.writestr(name, text)
    path = {"folder": "project", "zip": "project.zip", "script": "project/src/learn.py"}[kind]
    train = Train(table="t", model_path="s3://models/m", script_path=str(tmp_path / path))
    run = RunFolder.at(str(tmp_path / "job/run"))
    statements = (train, Preflight(script_path=train.script_path), replace(train, script_path="s3://scripts/train.py"))
    plan = Plan(job_id="j", statements=statements)
    run.write_for_cluster(plan, Secrets(), {})
    carried = load_plan((run.location / "plan.json").read())
    assert replace(carried, script_copies=()) == plan
    assert len(carried.script_copies) == 3
    for copy in carried.script_copies[:2]:
        assert copy is not None
        assert copy.startswith(str(tmp_path / "job/scripts"))
        assert read_bundle(copy, "train") == read_bundle(train.script_path, "train")
    assert carried.script_copies[2] is None
