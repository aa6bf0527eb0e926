from __future__ import annotations

import platform
import sys
from importlib import metadata
from pathlib import Path

import pytest

from mlsql_runtime.errors import InterpreterError
from mlsql_runtime.plan import PythonEnv
from mlsql_runtime.script.interpreter import inspect_interpreter, interpreter_path

MAJOR_MINOR = f"{sys.version_info[0]}.{sys.version_info[1]}"


@pytest.mark.parametrize("path", [None, "", "python"])
def test_the_default_is_the_job_s_own_interpreter(path: str | None) -> None:
    assert interpreter_path(PythonEnv(path=path)) == sys.executable


def test_another_interpreter_is_taken_as_it_is_named() -> None:
    assert interpreter_path(PythonEnv(path="/opt/python3")) == "/opt/python3"


@pytest.mark.parametrize("version", [None, "3", MAJOR_MINOR, platform.python_version()])
def test_an_interpreter_reports_its_version_and_packages(version: str | None) -> None:
    found = inspect_interpreter(PythonEnv(version=version, flags=("-B",)), "node-1")
    assert found.versions["python"] == platform.python_version()
    assert found.versions["numpy"] == metadata.version("numpy")
    assert "torch" not in found.versions or found.versions["torch"] == metadata.version("torch")
    assert found.missing == ()


def test_an_interpreter_reports_missing_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "beside.py").write_text("")
    monkeypatch.chdir(tmp_path)
    found = inspect_interpreter(PythonEnv(), "node-1", ("json", "no_such_module_4711", "pyarrow", "beside"))
    assert found.missing == ("no_such_module_4711", "beside")  # nothing counts that lies in the working directory


def test_modules_are_looked_for_where_the_script_will_look(tmp_path: Path) -> None:
    (tmp_path / "only_here.py").write_text("raise SystemExit('it is not imported')")
    (tmp_path / "sitecustomize.py").write_text("print('a word from the environment')")
    assert inspect_interpreter(PythonEnv(), "node-1", ("only_here",)).missing == ("only_here",)
    python = PythonEnv(envs={"PYTHONPATH": str(tmp_path)})
    assert inspect_interpreter(python, "node-1", ("only_here",)).missing == ()
    assert inspect_interpreter(PythonEnv(envs=python.envs, flags=("-I",)), "node-1", ("only_here",)).missing == ("only_here",)


def test_a_broken_link_is_named(tmp_path: Path) -> None:
    (tmp_path / "python").symlink_to("/opt/gone/python3")
    with pytest.raises(InterpreterError, match="it is a link to /opt/gone/python3, which does not exist"):
        inspect_interpreter(PythonEnv(path=str(tmp_path / "python")), "node-1")


def test_this_interpreter_answers_for_itself_what_it_answers_when_it_is_started() -> None:
    assert inspect_interpreter(PythonEnv(), "node-1") == inspect_interpreter(PythonEnv(path=sys.executable), "node-1")


@pytest.mark.parametrize("version", ["3.1", "3.99", "4", f"{MAJOR_MINOR}.99"])
def test_another_version_than_asked_for_names_both(version: str) -> None:
    with pytest.raises(InterpreterError) as caught:
        inspect_interpreter(PythonEnv(version=version), "node-1")
    assert caught.value.facts == {"expected": version, "found": platform.python_version()}
    assert version in caught.value.message
    assert platform.python_version() in caught.value.message


@pytest.mark.parametrize("path", ["/nonexistent/python3", "no-such-python-4711", "/tmp"])
def test_an_interpreter_that_is_missing_is_named_with_its_host(path: str) -> None:
    with pytest.raises(InterpreterError) as caught:
        inspect_interpreter(PythonEnv(path=path), "node-1")
    assert caught.value.facts == {"path": path, "host": "node-1"}
    assert path in caught.value.message
    assert "node-1" in caught.value.message


@pytest.mark.parametrize(
    "content",
    [
        "#!/bin/sh\necho no python here >&2\nexit 3\n",
        "#!/bin/sh\n",
        "words\n",
        "#!/nonexistent/shell\n",
        "#!/bin/sh\necho 7\n",
        '#!/bin/sh\necho \'{"found": {"python": "2"}, "missing": [1]}\'\n',
    ],
    ids=["fails", "says nothing", "no program", "no shell", "other JSON", "other types"],
)
def test_a_program_other_than_python_is_refused_by_name(tmp_path: Path, content: str) -> None:
    program = tmp_path / "program"
    program.write_text(content)
    program.chmod(0o755)
    with pytest.raises(InterpreterError) as caught:
        inspect_interpreter(PythonEnv(path=str(program)), "node-1")
    assert caught.value.facts == {"path": str(program), "host": "node-1"}
