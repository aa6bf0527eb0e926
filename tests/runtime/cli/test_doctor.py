"""mlsql doctor."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mlsql_runtime.cli.main import main

MLSQL = str(Path(sys.executable).with_name("mlsql"))
Doctor = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def doctor(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Doctor:
    """Run ``mlsql doctor`` in this process; keywords are environment variables."""

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        code = main(["doctor", *arguments])
        return subprocess.CompletedProcess(arguments, code, *capsys.readouterr())

    return run


@pytest.mark.usefixtures("starts_jvm")
def test_this_machine_is_well(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("import numpy, mlsql\nmlsql.all_data()")
    arguments = ["--script", str(tmp_path / "train.py"), "--model-path", str(tmp_path / "m"), "--path", str(tmp_path), "--json"]
    done = subprocess.run([MLSQL, "doctor", *arguments], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["ok"] is True
    assert (found["here"]["problems"], found["silent"], found["error"]) == ([], [], None)
    [host] = found["hosts"]
    assert host["interpreter"] == sys.executable
    assert host["versions"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert host["problems"] == []
    assert not (tmp_path / "m").exists()


@pytest.mark.usefixtures("starts_jvm")
def test_what_is_wrong_is_listed_with_how_to_mend_it(tmp_path: Path, doctor: Doctor) -> None:
    (tmp_path / "train.py").write_text("import no_such_module_4711")
    done = doctor("--script", str(tmp_path / "train.py"), "--python-ver", "3", "--path", str(tmp_path / "gone"))
    assert done.returncode == 2
    assert f"wrong: {sys.executable} on " in done.stdout
    assert "lacks no_such_module_4711, which train.py imports; install no_such_module_4711 there" in done.stdout
    assert f"wrong: {tmp_path}/gone is not visible on " in done.stdout
    assert done.stdout.endswith("2 problems to solve\n")


def test_without_java_nothing_is_started(tmp_path: Path, doctor: Doctor) -> None:
    done = doctor("--json", JAVA_HOME=str(tmp_path))
    assert done.returncode == 2
    found = json.loads(done.stdout)
    assert found["ok"] is False
    assert found["hosts"] == []
    assert "JAVA_HOME has none" in found["here"]["problems"][0]


def test_another_java_than_spark_needs_is_named(tmp_path: Path, doctor: Doctor) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/java").write_text("#!/bin/sh\necho 'openjdk version \"1.8.0_392\"' >&2\n")
    (tmp_path / "bin/java").chmod(0o755)
    done = doctor(JAVA_HOME=str(tmp_path))
    assert done.returncode == 2
    assert f"wrong: Spark needs Java 17 or newer, and {tmp_path}/bin/java is 1.8.0_392; install it" in done.stdout
    assert "1 problem to solve" in done.stdout


def test_a_java_before_its_release_is_named_with_its_version(tmp_path: Path, doctor: Doctor) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/java").write_text("#!/bin/sh\necho 'openjdk version \"16-ea\"' >&2\n")
    (tmp_path / "bin/java").chmod(0o755)
    assert "bin/java is 16-ea; install it" in doctor(JAVA_HOME=str(tmp_path)).stdout


def test_a_master_that_spark_does_not_know_is_refused(doctor: Doctor) -> None:
    done = doctor("--master", "sparc://h")
    assert done.returncode == 2
    assert "expected local[*], spark://host:7077" in done.stderr


def test_requirements_and_archives_are_checked_as_a_statement_s(tmp_path: Path, doctor: Doctor) -> None:
    done = doctor("--requirements", str(tmp_path / "gone.txt"))
    assert (done.returncode, "does not exist; check requirements" in done.stderr) == (2, True)
    done = doctor("--archive", "/env#env")
    assert (done.returncode, "with a path that ends in .tar.gz" in done.stderr) == (2, True)
