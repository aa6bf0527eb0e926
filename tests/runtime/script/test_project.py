"""Projects: an MLproject, or scripts by their names, in a folder or a zip."""

from __future__ import annotations

import stat
import tracemalloc
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from mlsql_runtime.errors import InputError, ScriptNotFound
from mlsql_runtime.script.bundle import MAX_BYTES, read_bundle
from mlsql_runtime.script.project import read_project
from mlsql_runtime.storage.zip_files import read_zip

MLPROJECT = """
name: tutorial
conda_env: conda.yaml
entry_points:
  main:
    train:
      parameters:
        alpha: {type: float, default: 0.5}
        rounds: int
      command: "python train.py {alpha} --rounds={rounds} '{alpha} {rounds}'"
    batch_predict:
      command: "python batchPredict.py"
    api_predict:
      command: "python src/serve.py"
"""
# Each line refers to the one before several times, as a value and as what a mapping takes over.
BOMB = "\n".join(
    [
        "a0: &a0 [x, x]\nm0: &m0 {x: 1}",
        *(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}, *a{n - 1}]\nm{n}: &m{n} {{<<: [*m{n - 1}, *m{n - 1}]}}" for n in range(1, 30)),
        "z: *a29",
    ]
)
PROJECT = {
    "MLproject": MLPROJECT,
    "conda.yaml": "name: tutorial\n",
    "train.py": "import sys, words; print(sys.argv[1:], words.read())",
    "words.py": "import os\ndef read(): return open(os.path.join(os.path.dirname(__file__), 'words.csv')).read()",
    "words.csv": "a,b",
    "batchPredict.py": "print('batch')",
    "src/serve.py": "print('serve')",
    "__pycache__/train.pyc": "compiled",
    ".git/config": "[core]",
}
Write = Callable[[Mapping[str, str]], str]


@pytest.fixture(params=["folder", "zip", "zip of a folder"])
def write(request: pytest.FixtureRequest, tmp_path: Path) -> Write:
    """Make a project of these files; its path."""

    def make(files: Mapping[str, str]) -> str:
        if request.param == "folder":
            for name, text in files.items():
                (tmp_path / "p" / name).parent.mkdir(parents=True, exist_ok=True)
                (tmp_path / "p" / name).write_text(text)
            return str(tmp_path / "p")
        top = "" if request.param == "zip" else "p/"
        with zipfile.ZipFile(tmp_path / "p.zip", "w") as archive:
            if top:
                archive.mkdir("p")
            for name, text in files.items():
                archive.writestr(top + name, text)
        return str(tmp_path / "p.zip")

    return make


def test_an_mlproject_names_the_script_of_each_statement(write: Write) -> None:
    path = write(PROJECT)
    bundles = {statement: read_bundle(path, statement) for statement in ("train", "register", "predict")}
    assert {statement: bundle.entry for statement, bundle in bundles.items()} == {
        "train": "train.py",
        "register": "src/serve.py",
        "predict": "batchPredict.py",
    }
    assert all(set(bundle.files) == set(PROJECT) - {"__pycache__/train.pyc", ".git/config"} for bundle in bundles.values())
    assert len({bundle.facts.sha256 for bundle in bundles.values()}) == 1  # of the whole project
    assert len(bundles["train"].notes) == 1
    assert "conda_env" in bundles["train"].notes[0]


def test_a_project_runs_with_its_parameters_and_files(write: Write, run: Callable[..., Any]) -> None:
    bundle = read_bundle(write(PROJECT), "train")
    assert bundle.fill({"rounds": "3", "C": "1"}, "fitParam.0") == {"alpha": "0.5", "rounds": "3", "C": "1"}
    ran = run(bundle, fit_param=bundle.fill({"rounds": "3"}, "fitParam.0"))
    assert ran.lines == ["['0.5', '--rounds=3', '0.5 3'] a,b"]


def test_parameters_are_asked_for_and_of_their_type(write: Write) -> None:
    bundle = read_bundle(write(PROJECT), "train")
    with pytest.raises(InputError, match=r"fitParam\.1\.rounds is missing.* type int"):
        bundle.fill({"alpha": "1"}, "fitParam.1")
    with pytest.raises(InputError, match=r"fitParam\.1\.rounds is 'many'.* type int"):
        bundle.fill({"rounds": "many"}, "fitParam.1")


def test_without_an_mlproject_scripts_are_found_by_their_names(write: Write) -> None:
    path = write({"train.py": "pass", "predict.py": "pass", "data.csv": "1"})
    assert read_bundle(path, "train").entry == "train.py"
    assert read_bundle(path, "register").entry == "predict.py"
    with pytest.raises(ScriptNotFound, match=r"no batch_predict\.py.*its scripts are predict\.py, train\.py"):
        read_bundle(path, "predict")


def test_an_mlproject_may_leave_out_what_is_called_as_always(write: Write) -> None:
    plain = "name: p\nentry_points:\n  train: {command: python learn.py}\n"
    path = write({"MLproject": plain, "learn.py": "pass", "predict.py": "pass"})
    assert read_bundle(path, "train").entry == "learn.py"
    assert read_bundle(path, "register").entry == "predict.py"
    with pytest.raises(ScriptNotFound, match=r"its scripts are learn\.py, predict\.py, and MLproject has the entry points train"):
        read_bundle(path, "predict")


def test_the_script_of_a_command_has_to_be_there(write: Write) -> None:
    with pytest.raises(ScriptNotFound, match=r"command of train runs train\.py"):
        read_bundle(write({"MLproject": MLPROJECT, "learn.py": "pass"}), "train")


@pytest.mark.parametrize(
    ("text", "fragment"),
    [
        ("", "expected names and values, got nothing"),
        ("a: [1", r"not YAML.*line 1"),
        ("- a", "got list"),
        ("name: p", "entry_points: expected"),
        ("entry_points: {train: python train.py}", "train: expected names"),
        ("entry_point: {}", "did you mean 'entry_points'"),
        ("entry_points: {train: {command: bash train.sh}}", "expected one such as 'python train.py"),
        ('entry_points: {train: {command: "python \'train.py"}}', "expected one such as"),
        ("entry_points: {train: {command: python -m train}}", "expected one such as"),
        ("entry_points: {train: {command: 'python train.py {alpha}', parameters: {alfa: float}}}", "did you mean 'alfa'"),
        ("entry_points: {train: {command: python train.py, parameters: [alpha]}}", "train: parameters: expected names.*got list"),
        ("entry_points: {train: {command: python train.py, parameters: {alpha: number}}}", "type is 'number'"),
        ("entry_points: {train: {command: python train.py, parameters: {a: {type: float, default: x}}}}", "'x' is not a float"),
        ("entry_points: {train: {command: python train.py, parameters: {a: {default: [1]}}}}", "the default is a list"),
        ("name: 2001-99-99", "not YAML: month must be in 1..12"),
        ("{" * 499, "not YAML: "),
        ("{" * 2000, "is not YAML: brackets are nested deeper than 100 levels"),
        ("name: &a [*a]", "not YAML: a value contains itself"),
        ("name: " + "x" * 40_000, "is too large"),
        (BOMB, "its references make more than 10000 values"),
        (BOMB.replace("z: *a29", "entry_points: {train: {<<: *m29}}"), "its references make more than 10000 values"),
    ],
)
def test_a_wrong_mlproject_is_refused_with_its_place(text: str, fragment: str) -> None:
    with pytest.raises(InputError, match=fragment) as caught:
        read_project(text.encode(), "/p/MLproject")
    assert caught.value.message.startswith("/p/MLproject")


def zipped(tmp_path: Path, *entries: tuple[str, int]) -> bytes:
    """A zip with an entry of each name and type."""
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, kind in (("train.py", stat.S_IFREG), *entries):
            info = zipfile.ZipInfo("x")
            info.filename = name
            info.external_attr = (kind | 0o644) << 16
            archive.writestr(info, "/etc/passwd")
    return path.read_bytes()


@pytest.mark.parametrize("name", ["../out.py", "a/../../out.py", "/etc/cron.d/x", "a//b", "C:/x.py", "..\\out.py", "."])
def test_paths_that_lead_out_of_a_zip_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="leads out of the project") as caught:
        read_zip(zipped(tmp_path, (name, stat.S_IFREG)), "p.zip", MAX_BYTES)
    assert repr(name) in caught.value.message


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO])
def test_links_in_a_zip_are_refused(tmp_path: Path, kind: int) -> None:
    with pytest.raises(InputError, match="'data', which is a link"):
        read_zip(zipped(tmp_path, ("data", kind)), "p.zip", MAX_BYTES)


def test_a_path_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate name"), pytest.raises(InputError, match="two entries for one path"):
        read_zip(zipped(tmp_path, ("train.py", stat.S_IFREG)), "p.zip", MAX_BYTES)
    with pytest.raises(InputError, match="two entries for one path"):
        read_zip(zipped(tmp_path, ("a", stat.S_IFREG), ("a/b", stat.S_IFREG)), "p.zip", MAX_BYTES)


def test_a_zip_that_grows_too_large_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "p.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("train.py", b"0" * (MAX_BYTES + 1))
    assert (tmp_path / "p.zip").stat().st_size < 1 << 20
    with pytest.raises(InputError, match=r"64 MiB when it is unpacked.*resource"):
        read_bundle(str(tmp_path / "p.zip"), "train")


@pytest.mark.parametrize("cut", [slice(0, 40), slice(10, None), slice(0, 0)])
def test_a_damaged_zip_is_refused_by_name(tmp_path: Path, cut: slice) -> None:
    (tmp_path / "p.zip").write_bytes(zipped(tmp_path)[cut])
    with pytest.raises(InputError, match=r"p\.zip"):
        read_bundle(str(tmp_path / "p.zip"), "train")


@pytest.mark.timeout(30)
def test_a_zip_whose_sizes_are_too_small_is_not_unpacked_further(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("train.py", b"\0" * (256 << 20))
    content = path.read_bytes().replace((256 << 20).to_bytes(4, "little"), (10).to_bytes(4, "little"))
    tracemalloc.start()
    with pytest.raises(InputError, match="Bad CRC-32"):
        read_zip(content, "p.zip", MAX_BYTES)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 32 << 20


def test_an_entry_without_a_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a plain path"):
        read_zip(zipped(tmp_path, ("", stat.S_IFREG)), "p.zip", MAX_BYTES)
