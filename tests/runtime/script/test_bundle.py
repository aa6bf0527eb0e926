from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mlsql_runtime.errors import InputError, ScriptNotFound
from mlsql_runtime.script.bundle import MAX_BYTES, ScriptBundle, read_bundle
from mlsql_runtime.script.source_code import check_syntax
from mlsql_runtime.storage.location import Location
from mlsql_runtime.submission.runtime_zip import write_runtime


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    (folder / "lib" / "__pycache__").mkdir(parents=True)
    (folder / "train.py").write_bytes(b"print(1)")
    (folder / "lib" / "words.bin").write_bytes(bytes(range(256)))
    (folder / "lib" / "__pycache__" / "x.pyc").write_bytes(b"compiled")
    return folder


def test_a_script_is_bundled_alone(project: Path) -> None:
    assert read_bundle(str(project / "train.py"), "train") == ScriptBundle("train.py", {"train.py": b"print(1)"})


def test_a_folder_is_bundled_with_its_files(project: Path, tmp_path: Path) -> None:
    bundle = read_bundle(f"file:{project}", "train")
    assert set(bundle.files) == {"train.py", "lib/words.bin"}
    entry = bundle.write_to(tmp_path / "copy")
    assert entry == tmp_path / "copy" / "train.py"
    assert {
        path.relative_to(tmp_path / "copy").as_posix(): path.read_bytes()
        for path in (tmp_path / "copy").rglob("*")
        if path.is_file()
    } == {"train.py": b"print(1)", "lib/words.bin": bytes(range(256))}


def test_copies_of_the_modules_that_jobs_bring_along_are_left_out(project: Path) -> None:
    """MLSQL's projects carried them, for completion; the script's own folder comes first when it imports."""
    (project / "mlsql.py").write_text("raise SystemExit('stale')")
    (project / "lib" / "mlsql.py").write_text("")
    assert sorted(read_bundle(str(project), "train").files) == ["lib/mlsql.py", "lib/words.bin", "train.py"]


def test_a_script_in_remote_storage_is_bundled(root: Location) -> None:
    (root / "train.py").write(b"print(1)")
    (root / "lib" / "a.py").write(b"A = 1")
    assert read_bundle(root.uri, "train").files == {"train.py": b"print(1)", "lib/a.py": b"A = 1"}
    assert read_bundle((root / "train.py").uri, "train").files == {"train.py": b"print(1)"}


@pytest.mark.parametrize(("statement", "entry"), [("train", "train.py"), ("register", "predict.py")])
def test_a_built_in_algorithm_is_a_folder_of_this_package(statement: str, entry: str) -> None:
    bundle = read_bundle("builtin:sklearn", statement)
    assert (bundle.entry, bundle.facts.name) == (entry, "builtin:sklearn")
    assert {"train.py", "predict.py", "check.py", "columns.py", "estimators.py", "scores.py"} == set(bundle.files)
    check_syntax(bundle, "builtin:sklearn")


def test_a_built_in_algorithm_is_found_in_what_jobs_ship(tmp_path: Path) -> None:
    archive, _ = write_runtime(tmp_path)
    source = "from mlsql_runtime.script.bundle import read_bundle; print(read_bundle('builtin:sklearn', 'train').facts.sha256)"
    environment = {**os.environ, "PYTHONPATH": str(archive)}
    command = [sys.executable, "-c", f"import mlsql_runtime; print(mlsql_runtime.__file__); {source}"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, cwd=tmp_path)
    place, digest = done.stdout.splitlines()
    assert place.startswith(str(archive))
    assert digest == read_bundle("builtin:sklearn", "train").facts.sha256


@pytest.mark.parametrize(("name", "statement"), [("sklearn", "predict"), ("nothing", "train")])
def test_a_built_in_algorithm_without_such_a_script(name: str, statement: str) -> None:
    with pytest.raises(ScriptNotFound, match=f"the built-in algorithm '{name}' has no "):
        read_bundle(f"builtin:{name}", statement)


@pytest.mark.parametrize("name", ["nothing.py", "nothing"])
def test_a_script_that_is_not_there(tmp_path: Path, name: str) -> None:
    with pytest.raises(ScriptNotFound) as caught:
        read_bundle(str(tmp_path / name), "train")
    assert caught.value.facts == {"path": str(tmp_path / name)}


def test_a_folder_without_the_entry_names_it(project: Path) -> None:
    with pytest.raises(ScriptNotFound, match=r"predict\.py"):
        read_bundle(str(project), "register")


def test_a_file_other_than_a_python_script_is_refused(tmp_path: Path) -> None:
    (tmp_path / "train.sh").write_text("echo")
    with pytest.raises(InputError, match=r"train\.sh"):
        read_bundle(str(tmp_path / "train.sh"), "train")


def test_a_folder_that_is_too_large_is_refused(project: Path) -> None:
    with (project / "data.bin").open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(InputError, match="resource"):
        read_bundle(str(project), "train")


def test_facts_change_with_every_name_and_byte() -> None:
    files = {"a": b"1", "b": b"2"}
    others = [
        {"a": b"1", "b": b"3"},
        {"a": b"1", "c": b"2"},
        {"a": b"12", "b": b""},
        {"a": b"1"},
        {"a": b"1", "b": b"2", "c": b""},
    ]
    digests = {ScriptBundle("a", found).facts.sha256 for found in [files, *others]}
    assert len(digests) == 6
    assert ScriptBundle("a", dict(reversed(files.items()))).facts == ScriptBundle("a", files).facts
    assert ScriptBundle("a", files).facts.name == "a"
