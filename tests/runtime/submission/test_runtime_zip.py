"""The zip that travels with a job: what is imported from it, by which Python."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import mlsql_runtime
from mlsql_runtime import HELPERS
from mlsql_runtime.submission.runtime_zip import write_runtime


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_runtime(tmp_path_factory.mktemp("bundle"))[0]


def imported(archive: Path, *flags: str) -> list[str]:
    """The files that a new interpreter takes some modules from, which has nothing else of ours."""
    code = "import sys; sys.path.insert(0, sys.argv[1]); import mlsql_runtime.script.supervisor as s, mlsql, python_fun\n"
    code += "print(s.__file__, mlsql.__file__, python_fun.__file__)"
    done = subprocess.run(
        [sys.executable, "-I", *flags, "-c", code, str(archive)], capture_output=True, text=True, check=True, cwd="/"
    )
    return [Path(file).relative_to(archive).as_posix() for file in done.stdout.split()]


def test_every_module_has_its_bytecode(archive: Path) -> None:
    names = zipfile.ZipFile(archive).namelist()
    modules = {name for name in names if name.endswith(".py")}
    assert {f"{name}c" for name in modules} == {name for name in names if name.endswith(".pyc")}
    assert {f"{name}/__init__.py" for name in (*HELPERS, "mlsql_runtime")} <= modules
    assert "mlsql_runtime/language/mlsql.lark" in names


@pytest.mark.parametrize("check", ["default", "always", "never"])
def test_modules_are_imported_from_bytecode(archive: Path, check: str) -> None:
    expected = ["mlsql_runtime/script/supervisor.pyc", "mlsql/__init__.pyc", "python_fun/__init__.pyc"]
    assert imported(archive, "--check-hash-based-pycs", check) == expected


def test_a_python_of_another_version_takes_the_source(archive: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.zip"
    with zipfile.ZipFile(archive) as source, zipfile.ZipFile(other, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            if name.endswith(".pyc"):
                assert content.startswith(importlib.util.MAGIC_NUMBER)
                content = b"\x00\x00\r\n" + content[4:]
            target.writestr(name, content)
    assert imported(other) == ["mlsql_runtime/script/supervisor.py", "mlsql/__init__.py", "python_fun/__init__.py"]


def test_the_bytecode_is_of_the_source_beside_it(archive: Path) -> None:
    root = Path(mlsql_runtime.__file__).parents[1]
    with zipfile.ZipFile(archive) as zipped:
        for name in ("mlsql_runtime/errors.py", "mlsql/__init__.py"):
            assert zipped.read(name) == (root / name).read_bytes()
            assert zipped.read(f"{name}c")[8:16] == importlib.util.source_hash(zipped.read(name))
