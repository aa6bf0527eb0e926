"""Environments that are built from requirements: with a real uv and a real pip, from an index that is a folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from support.packages import index_settings, write_wheel

from mlsql_runtime.errors import InputError, InterpreterError
from mlsql_runtime.plan import PythonEnv, parse_requirements
from mlsql_runtime.script import environments
from mlsql_runtime.script.environments import VARIABLE, provided_interpreter


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A node whose own configuration of pip and uv names a folder as the only index; the folder of its environments."""
    for version in ("1.0", "2.0"):
        write_wheel(tmp_path / "index", "mlsqlwords", version)
    for name in [name for name in os.environ if name.startswith(("PIP_", "UV_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    for name, value in index_settings(tmp_path / "index").items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv(VARIABLE, str(tmp_path / "environments"))
    return tmp_path / f"environments/mlsql-environments-{os.getuid()}"


def built(requirements: str, lines: list[str] | None = None) -> str:
    """Build, or take, an environment; what its package says its version is."""
    with provided_interpreter(PythonEnv(requirements=requirements), (lines if lines is not None else []).append) as python:
        return subprocess.run(
            [python, "-c", "import mlsqlwords; print(mlsqlwords.VERSION)"], capture_output=True, text=True, check=True
        ).stdout.strip()


def test_without_requirements_the_interpreter_is_the_one_named() -> None:
    with provided_interpreter(PythonEnv(), print) as python:
        assert python == sys.executable


def test_an_environment_is_built_once_and_each_content_has_its_own(node: Path) -> None:
    first, again, other = list[str](), list[str](), list[str]()
    assert built("mlsqlwords==1.0  # pinned\n\n", first) == "1.0"
    assert built("mlsqlwords==1.0\n", again) == "1.0"
    assert built("mlsqlwords==2.0", other) == "2.0"
    assert "building an environment of 1 requirements on " in first[0]
    assert " with uv" in first[0]
    assert first[-1].startswith("the environment is built on ")
    assert again == []
    assert other
    places = [path for path in node.iterdir() if path.is_dir()]
    assert len(places) == 2
    for place in places:  # its programs work: it was built where it stays
        said = subprocess.run([place / "bin/mlsqlwords"], capture_output=True, text=True, check=True).stdout
        assert said.strip() in ("1.0", "2.0")


def test_without_uv_pip_builds_it(node: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    which = shutil.which
    monkeypatch.setattr(environments.shutil, "which", lambda name, path=None: None if name == "uv" else which(name, path=path))
    lines: list[str] = []
    assert built("mlsqlwords", lines) == "2.0"
    assert " with pip" in lines[0]


def test_what_cannot_be_built_says_what_the_tool_said_and_leaves_nothing(node: Path) -> None:
    for _ in range(2):  # not even a memory of it: the index may have it by then
        with (
            pytest.raises(InterpreterError) as caught,
            provided_interpreter(PythonEnv(requirements="no-such-package-4711"), print),
        ):
            pass
        assert "cannot be built on " in caught.value.message
        assert "uv ended with 1" in caught.value.message
        assert "no-such-package-4711" in caught.value.message
        assert "correct requirements, let the node reach a package index" in caught.value.message
    assert not [path for path in node.iterdir() if path.is_dir()]


def test_tasks_that_want_the_same_build_it_once(node: Path) -> None:
    lines: list[list[str]] = [[] for _ in range(4)]
    versions: list[Any] = []
    threads = [threading.Thread(target=lambda own=own: versions.append(built("mlsqlwords==1.0", own))) for own in lines]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert versions == ["1.0"] * 4
    assert sum(any("building" in line for line in own) for own in lines) == 1


def test_one_that_is_not_complete_is_built_again(node: Path) -> None:
    built("mlsqlwords==1.0")
    [place] = [path for path in node.iterdir() if path.is_dir()]
    (place / "complete.json").unlink()  # begun by a task that was killed
    shutil.rmtree(place / "bin")
    assert built("mlsqlwords==1.0") == "1.0"
    [module] = node.rglob("mlsqlwords.py")
    module.unlink()  # as where files of the temporary folder are removed by their age
    lines: list[str] = []
    assert built("mlsqlwords==1.0", lines) == "1.0"
    assert "building" in lines[0]
    assert built("mlsqlwords==1.0", after := []) == "1.0"
    assert after == []
    [lock] = node.glob("*.lock")
    lock.unlink()
    lock.mkdir()
    with pytest.raises(InterpreterError, match=r"cannot be built on .*Is a directory.*set MLSQL_ENVIRONMENTS there"):
        built("mlsqlwords==1.0")


def test_what_was_used_longest_ago_goes_first_and_what_is_in_use_stays(node: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environments, "KEPT", 2)
    texts = ["mlsqlwords==1.0", "mlsqlwords>=1.0", "mlsqlwords>=1.1", "mlsqlwords>=1.2"]
    with provided_interpreter(PythonEnv(requirements=texts[0]), print) as used:
        for text in texts[1:]:
            built(text)
        assert os.path.exists(used)
        complete = {path.parent.name for path in node.glob("*/complete.json")}
        assert len(complete) == 3  # two, and the one that is in use
    built("mlsqlwords>=1.3")
    assert len(list(node.glob("*/complete.json"))) == 2
    assert not os.path.exists(used)


def test_a_node_may_forbid_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "off")
    with (
        pytest.raises(InterpreterError, match="MLSQL_ENVIRONMENTS is off there; bring the environment as an archive"),
        provided_interpreter(PythonEnv(requirements="numpy"), print),
    ):
        pass


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(VARIABLE, str(tmp_path / "file/environments"))
    with (
        pytest.raises(InterpreterError, match="set MLSQL_ENVIRONMENTS there to a folder that can be written"),
        provided_interpreter(PythonEnv(requirements="numpy"), print),
    ):
        pass


def test_a_folder_that_others_could_change_is_not_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / f"mlsql-environments-{os.getuid()}").symlink_to(tmp_path / "elsewhere")
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    with (
        pytest.raises(InterpreterError, match="is not a folder of this user"),
        provided_interpreter(PythonEnv(requirements="numpy"), print),
    ):
        pass


def test_the_interpreter_to_build_with_has_to_be_there(node: Path) -> None:
    with (
        pytest.raises(InterpreterError, match=r"no Python interpreter /no/python on .* to build an environment with"),
        provided_interpreter(PythonEnv(path="/no/python", requirements="numpy"), print),
    ):
        pass


def test_passwords_of_an_index_are_not_shown(node: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []
    url = "mlsqlwords @ http://user:hush@127.0.0.1:9/mlsqlwords-1.0-py3-none-any.whl"
    with pytest.raises(InterpreterError) as caught, provided_interpreter(PythonEnv(requirements=url), lines.append):
        pass
    assert "hush" not in caught.value.message + "".join(lines)


@pytest.mark.parametrize(
    "line", ["-r base.txt", "--index-url https://x", "-e .", "./package", "../package", "file:///x.whl", "-c c.txt", "."]
)
def test_lines_that_only_mean_something_elsewhere_are_refused(line: str) -> None:
    with pytest.raises(InputError) as caught:
        PythonEnv(requirements=f"numpy\n{line}\n")
    assert repr(line) in caught.value.message


def test_packages_are_read_without_comments() -> None:
    text = "# all\nnumpy==2.0 \\\n  --hash=sha256:abc\n\nscipy>=1 # why\npip @ https://x/y#egg=z\n"
    assert parse_requirements(text) == ("numpy==2.0    --hash=sha256:abc", "scipy>=1", "pip @ https://x/y#egg=z")
    with pytest.raises(InputError, match="names no package"):
        parse_requirements("# none\n")
