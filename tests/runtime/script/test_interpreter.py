from __future__ import annotations

import platform
import sys
from importlib import metadata
from pathlib import Path

import pytest

from mlsql_runtime.errors import InterpreterError
from mlsql_runtime.plan import PythonEnv
from mlsql_runtime.script.interpreter import executable, inspect_interpreter

MAJOR_MINOR = f"{sys.version_info[0]}.{sys.version_info[1]}"


@pytest.mark.parametrize("path", [None, "", "python"])
def test_the_default_is_the_job_s_own_interpreter(path: str | None) -> None:
    assert executable(PythonEnv(path=path)) == sys.executable


def test_another_interpreter_is_taken_as_it_is_named() -> None:
    assert executable(PythonEnv(path="/opt/python3")) == "/opt/python3"


@pytest.mark.parametrize("version", [None, "3", MAJOR_MINOR, platform.python_version()])
def test_an_interpreter_tells_its_version_and_packages(version: str | None) -> None:
    found = inspect_interpreter(PythonEnv(version=version, flags=("-B",)), "node-1")
    assert found["python"] == platform.python_version()
    assert found["numpy"] == metadata.version("numpy")
    assert "torch" not in found or found["torch"] == metadata.version("torch")


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
    ["#!/bin/sh\necho no python here >&2\nexit 3\n", "#!/bin/sh\n", "words\n", "#!/nonexistent/shell\n", "#!/bin/sh\necho 7\n"],
    ids=["fails", "says nothing", "no program", "no shell", "other JSON"],
)
def test_a_program_that_is_no_python_is_refused_by_name(tmp_path: Path, content: str) -> None:
    program = tmp_path / "program"
    program.write_text(content)
    program.chmod(0o755)
    with pytest.raises(InterpreterError) as caught:
        inspect_interpreter(PythonEnv(path=str(program)), "node-1")
    assert caught.value.facts == {"path": str(program), "host": "node-1"}
