"""The wheel, installed into an environment of its own, has all that a job and an editor need."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from support.workbench import SAMPLE, TESTS, Script

from mlsql_runtime import HELPERS

ROOT = TESTS.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that MLSQL_WHEEL names, which scripts/release_check.py sets; a new one without it."""
    if given := os.environ.get("MLSQL_WHEEL"):
        return Path(given)
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    (built,) = folder.glob("airflow_provider_mlsql-*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site-packages of an environment that the wheel is installed in."""
    environment = tmp_path_factory.mktemp("env")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    (packages,) = environment.glob("lib/python*/site-packages")
    zipfile.ZipFile(wheel).extractall(packages)
    # The dependencies come from this environment, as a plain folder, so that this checkout is not on the path.
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return packages


def python_of(packages: Path) -> Path:
    return packages.parents[2] / "bin" / "python"


def test_the_wheel_holds_every_source_file_and_nothing_else(wheel: Path) -> None:
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    sources = {
        path.relative_to(ROOT).as_posix()
        for package in ("airflow_provider_mlsql", "mlsql_runtime", *HELPERS)
        for path in (ROOT / package).rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    assert packed == sources
    assert {f"{name}/{file}" for name in HELPERS for file in ("__init__.py", "py.typed")} <= packed


def test_constraints_name_packages_and_no_address() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    assert len(lines) > 100
    assert not [line for line in lines if "://" in line or " @ " in line or line.startswith("-")]
    pins = dict(line.split(" ;")[0].split("==") for line in lines if line.startswith("pyspark"))
    assert pins["pyspark"] == pins["pyspark-client"]


def test_the_oldest_s3fs_creates_files_exclusively() -> None:
    """s3fs#973: before 2025.7, two writers of a small file could both succeed, so that two trainings had one version number."""
    (declared,) = re.findall(r'^s3 = \["(.*)"\]', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    allowed = Requirement(declared).specifier
    assert not any(allowed.contains(version) for version in ("2025.2.0", "2025.3.2", "2025.5.1"))
    assert allowed.contains("2025.7.0")


USER_SCRIPT = """
import mlsql
import mlsql_model
import numpy as np
import python_fun

reveal_type(mlsql.all_data(sparse=False)[0])
reveal_type(mlsql.sklearn_all_data()[1])
reveal_type(mlsql.get_validate_data()[1])
reveal_type(mlsql.fit_param)
reveal_type(mlsql.get_param(mlsql.fit_param, "batchSize", 1000))
reveal_type(mlsql_model.sk_save_model({}))
for rows in mlsql.read_data()(max_records=30):
    reveal_type(rows)
    print(rows[0].label, rows[0]["label"], rows[0].asDict())
for X, y in mlsql.read_batches(64, sparse=False):
    mlsql.report(step=np.int64(1), loss=np.float32(0.5), rows=len(y), mean=float(X.mean()))
mlsql.progress(1, 2.0)


def predict(index: int, s: object) -> list[float]:
    return [1.0]


python_fun.udf(predict)


def predict_batch(X: np.ndarray[tuple[int, int], np.dtype[np.float64]], model: float) -> list[float]:
    return [model] * len(X)


python_fun.batch_udf(predict_batch, load=lambda directory: float(directory), sparse=False)
"""
REVEALED = (
    *("numpy.ndarray[tuple[Any, ...], numpy.dtype[numpy.float64]]", "numpy.ndarray[tuple[Any, ...], numpy.dtype[Any]] | Any"),
    *("numpy.ndarray[tuple[Any, ...], numpy.dtype[Any]]", "dict[str, str]", "str | int", "str"),
    "list[mlsql_runtime.feed.decoding.rows.Row]",
)
MISTAKES = (
    ("mlsql.all_dta()", "all_dta"),
    ("mlsql.read_batches(batch_size=3)", "batch_size"),
    ("int(mlsql.fit_param)", "int"),
    ("mlsql_model.load()", "directory"),
    ("python_fun.udf(lambda s: [])", "lambda"),
    ("python_fun.batch_udf(lambda X: X)", "lambda"),
)


@pytest.fixture(scope="module")
def type_errors(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """What mypy says about two users' scripts, each line beginning with its number."""
    folder = tmp_path_factory.mktemp("scripts")
    mistakes = ["import mlsql, mlsql_model, python_fun", *(source for source, _ in MISTAKES)]
    sources = {"train": USER_SCRIPT, "mistakes": "\n".join(mistakes)}
    for name, source in sources.items():
        (folder / f"{name}.py").write_text(source)
    mypy = [sys.executable, "-m", "mypy", "--strict", "--python-executable", str(python_of(installed))]
    command = [*mypy, *(f"{name}.py" for name in sources)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert not done.stderr
    lines = done.stdout.splitlines()
    return {name: [line.removeprefix(f"{name}.py:") for line in lines if line.startswith(f"{name}.py:")] for name in sources}


def test_an_editor_knows_what_scripts_import(type_errors: dict[str, list[str]]) -> None:
    found = type_errors["train"]
    assert all(" note: Revealed type is " in line for line in found), found
    assert [line.split('"')[1].replace("builtins.", "") for line in found] == list(REVEALED)


def test_an_editor_sees_mistakes_in_what_scripts_import(type_errors: dict[str, list[str]]) -> None:
    found = type_errors["mistakes"]
    for number, (source, what) in enumerate(MISTAKES, 2):
        assert any(line.startswith(f"{number}: error: ") and what in line for line in found), (source, found)


def test_what_scripts_import_is_where_the_wheel_put_it(installed: Path, tmp_path: Path) -> None:
    """In the wheel's folder alone, with no site-packages: a script's interpreter may have none of the dependencies."""
    source = f"import sys; sys.path.append({str(installed)!r}); import {', '.join(HELPERS)}; print(mlsql.__file__)"
    done = subprocess.run([sys.executable, "-ISc", source], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == (f"{installed}/mlsql/__init__.py\n", "")


@pytest.mark.usefixtures("starts_jvm")
def test_a_job_runs_from_the_installed_wheel(installed: Path, tmp_path: Path, script: Script) -> None:
    source = script("import mlsql, mlsql_model\nmlsql.report(rows=len(mlsql.all_data()[1]))\nmlsql_model.sk_save_model(1)")
    job = f"""
import mlsql_runtime
assert {str(installed)!r} in mlsql_runtime.__file__, mlsql_runtime.__file__
from airflow_provider_mlsql.hooks.mlsql import MLSQLHook
from mlsql_runtime.plan import Load, Plan, Train
load = Load(table="data", format="libsvm", path={SAMPLE!r})
train = Train(table="data", model_path={str(tmp_path / "m")!r}, script_path={source!r})
step, = MLSQLHook().run(Plan(job_id="wheel", statements=(load, train))).steps
print("metrics", dict(step.fits[0].metrics))
"""
    done = subprocess.run([python_of(installed), "-c", job], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert "metrics {'rows': 100.0}" in done.stdout, done.stdout + done.stderr
