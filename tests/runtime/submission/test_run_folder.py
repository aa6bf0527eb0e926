"""Projects on their way to a cluster."""

from __future__ import annotations

import stat
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from mlsql_runtime import codec
from mlsql_runtime.plan import (
    ACCESS_PROPERTY,
    Plan,
    Preflight,
    Secrets,
    StorageAccess,
    StorageConnection,
    Train,
    load_plan,
)
from mlsql_runtime.script.bundle import read_bundle
from mlsql_runtime.submission.run_folder import RunFolder
from mlsql_runtime.submission.spark_submit import write_properties

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


def test_copies_of_two_attempts_do_not_disturb_each_other(tmp_path: Path) -> None:
    script, copies = tmp_path / "train.py", []
    for number, source in enumerate(("first = 1", "second = 2", "first = 1")):
        script.write_text(source)
        run = RunFolder.at(str(tmp_path / f"job/run-{number}"))
        statement = Train(table="t", model_path="s3://models/m", script_path=str(script))
        run.write_for_cluster(Plan(job_id="j", statements=(statement,)), Secrets(), {})
        copies.append(load_plan((run.location / "plan.json").read()).script_copies[0])
    assert [Path(str(copy)).read_text() for copy in copies] == ["first = 1", "second = 2", "first = 1"]
    assert copies[0] == copies[2]


def test_access_to_storage_is_not_written_into_the_storage(tmp_path: Path) -> None:
    access = StorageAccess((StorageConnection(name="minio", prefix="s3://", options='{"secret": "hush\\\\n\\"1\\""}'),))
    secrets = Secrets(
        spark={"spark.hadoop.fs.s3a.secret.key": "hush\\2"}, kafka={"kafka": {"password": "of-kafka"}}, storage=access
    )
    run = RunFolder.at(str(tmp_path / "job/run"), access)
    run.write_for_cluster(Plan(job_id="j", statements=(Preflight(),)), secrets, {"spark.my.secret": "of-conf"})
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"hush" not in written
    assert b"of-kafka" in written
    assert b"of-conf" in written
    assert run.cluster_arguments[-1] == "--with-access"
    path = write_properties(secrets, tmp_path)
    assert path is not None
    assert stat.S_IMODE(Path(path).stat().st_mode) == 0o600
    properties = dict(line.split("=", 1) for line in Path(path).read_text().splitlines())
    assert properties.keys() == {"spark.hadoop.fs.s3a.secret.key", ACCESS_PROPERTY}
    assert properties["spark.hadoop.fs.s3a.secret.key"] == "hush\\\\2"  # Java's notation of a backslash
    assert codec.loads(StorageAccess, properties[ACCESS_PROPERTY].replace("\\\\", "\\"), "x") == access


def test_a_job_without_access_has_no_file_of_properties(tmp_path: Path) -> None:
    assert write_properties(Secrets(spark={"spark.my.secret": "x"}), tmp_path) is None
    assert "--with-access" not in RunFolder.at(str(tmp_path)).cluster_arguments
