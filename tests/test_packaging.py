"""The wheel, installed into an environment of its own, has all that a job needs."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest
from support.workbench import SAMPLE, TESTS, Script

ROOT = TESTS.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    (built,) = folder.glob("airflow_provider_mlsql-*.whl")
    return built


def test_the_wheel_holds_every_source_file_and_nothing_else(wheel: Path) -> None:
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    sources = {
        path.relative_to(ROOT).as_posix()
        for package in ("airflow_provider_mlsql", "mlsql_runtime")
        for path in (ROOT / package).rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    assert packed == sources
    assert "mlsql_runtime/script/helpers/mlsql.py" in packed


def test_constraints_name_packages_and_no_address() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    assert len(lines) > 100
    assert not [line for line in lines if "://" in line or " @ " in line or line.startswith("-")]
    pins = dict(line.split(" ;")[0].split("==") for line in lines if line.startswith("pyspark"))
    assert pins["pyspark"] == pins["pyspark-client"]


def test_a_job_runs_from_the_installed_wheel(wheel: Path, tmp_path: Path, script: Script) -> None:
    environment = tmp_path / "env"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    (packages,) = environment.glob("lib/python*/site-packages")
    zipfile.ZipFile(wheel).extractall(packages)
    # The dependencies come from this environment, as a plain folder, so that this checkout is not on the path.
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    source = script("import mlsql, mlsql_model\nmlsql.report(rows=len(mlsql.all_data()[1]))\nmlsql_model.sk_save_model(1)")
    job = f"""
import mlsql_runtime
assert {str(packages)!r} in mlsql_runtime.__file__, mlsql_runtime.__file__
from airflow_provider_mlsql.hooks.mlsql import MLSQLHook
from mlsql_runtime.plan import Load, Plan, Train
load = Load(table="data", format="libsvm", path={SAMPLE!r})
train = Train(table="data", model_path={str(tmp_path / "m")!r}, script_path={source!r})
step, = MLSQLHook().run(Plan(job_id="wheel", statements=(load, train))).steps
print("metrics", dict(step.fits[0].metrics))
"""
    done = subprocess.run([environment / "bin/python", "-c", job], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert "metrics {'rows': 100.0}" in done.stdout, done.stdout + done.stderr
