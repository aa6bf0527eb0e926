"""What a script finds in its process: its folder, variables, module path, flags."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlsql_runtime.plan import PythonEnv
from mlsql_runtime.script import thread_limits

Run = Callable[..., Any]


@pytest.mark.parametrize("name", ["signal.py", "select.py", "json.py"])
def test_a_script_may_be_called_like_a_module_of_the_standard_library(run: Run, name: str) -> None:
    ran = run("print('trained once')", entry=name)
    assert ran.outcome.problem is None
    assert ran.lines == ["trained once"]


def test_a_script_reads_its_neighbours_from_its_own_copy_of_the_folder(run: Run) -> None:
    source = "import os, pathlib, part\npathlib.Path('made').write_text('x')\nprint(part.NAME, os.path.exists('deep/words.txt'))"
    ran = run(source, files={"part.py": "NAME = 'neighbour'", "deep/words.txt": "a b"})
    assert ran.lines == ["neighbour True"]
    assert (ran.folder / "work" / "made").read_text() == "x"


ENVIRONMENT = "import json, os; print(json.dumps(dict(os.environ)))"


def environment_of(run: Run, **options: Any) -> dict[str, str]:
    ran = run(ENVIRONMENT, **options)
    assert ran.outcome.problem is None
    found: dict[str, str] = json.loads("".join(ran.lines))
    return found


def test_variables_reach_the_script_and_override_what_is_inherited(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INHERITED", "a")
    monkeypatch.setenv("OVERRIDDEN", "a")
    found = environment_of(run, python=PythonEnv(envs={"OVERRIDDEN": "b", "OWN": "größer"}))
    assert (found["INHERITED"], found["OVERRIDDEN"], found["OWN"]) == ("a", "b", "größer")


def test_private_variables_of_spark_and_airflow_do_not_reach_the_script(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    private = [
        "PYTHON_WORKER_FACTORY_SECRET",
        "PYTHON_WORKER_FACTORY_PORT",
        "MLSQL_EVENTS",
        "PYSPARK_GATEWAY_SECRET",
        "PYSPARK_GATEWAY_PORT",
        "PYSPARK_PYTHON",
        "_PYTHON_WORKER_TAG",
        "SPARK_AUTH_SOCKET_TIMEOUT",
        "AIRFLOW__CORE__FERNET_KEY",
    ]
    for name in private:
        monkeypatch.setenv(name, "secret-4711")
    found = environment_of(run)
    assert [name for name, value in found.items() if "secret-4711" in value] == []


@pytest.mark.parametrize(
    ("inherited", "envs", "expected"),
    [
        ({}, {}, {}),
        (
            {"OMP_NUM_THREADS": "5", "TF_CPP_MIN_LOG_LEVEL": "0"},
            {"TF_NUM_INTRAOP_THREADS": "7"},
            {"OMP_NUM_THREADS": "5", "TF_CPP_MIN_LOG_LEVEL": "0", "TF_NUM_INTRAOP_THREADS": "7"},
        ),
        (
            {"OMP_NUM_THREADS": "5", "TF_NUM_INTRAOP_THREADS": "5"},
            {"OMP_NUM_THREADS": "7", "TF_CPP_MIN_LOG_LEVEL": "1"},
            {"OMP_NUM_THREADS": "7", "TF_NUM_INTRAOP_THREADS": "5", "TF_CPP_MIN_LOG_LEVEL": "1"},
        ),
        (
            {"TF_NUM_INTRAOP_THREADS": "5", "TF_CPP_MIN_LOG_LEVEL": "0"},
            {"TF_NUM_INTRAOP_THREADS": "7", "TF_CPP_MIN_LOG_LEVEL": "1"},
            {"TF_NUM_INTRAOP_THREADS": "7", "TF_CPP_MIN_LOG_LEVEL": "1"},
        ),
    ],
)
def test_libraries_keep_to_the_task_s_cores_and_to_themselves(
    run: Run, monkeypatch: pytest.MonkeyPatch, inherited: dict[str, str], envs: dict[str, str], expected: dict[str, str]
) -> None:
    """Unless the environment says otherwise, or ``envs``, which come over it."""
    for variable in (*thread_limits.THREADS, *thread_limits.QUIET):
        monkeypatch.delenv(variable, raising=False)
    for name, value in inherited.items():
        monkeypatch.setenv(name, value)
    found = environment_of(run, python=PythonEnv(envs=envs), task_cpus=3)
    ours = dict.fromkeys(thread_limits.THREADS, "3") | {"TF_CPP_MIN_LOG_LEVEL": "2"}
    assert {variable: found[variable] for variable in ours} == ours | expected


@pytest.mark.parametrize("by", ["inherited", "envs"])
def test_a_python_path_adds_modules_and_hides_none_of_ours(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, by: str
) -> None:
    (tmp_path / "mine.py").write_text("NAME = 'mine'")
    if by == "inherited":
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    envs = {"PYTHONPATH": str(tmp_path)} if by == "envs" else {}
    ran = run("import mine, mlsql; print(mine.NAME)", python=PythonEnv(envs=envs))
    assert (ran.outcome.problem, ran.lines) == (None, ["mine"])


def test_variables_of_the_script_are_not_for_its_supervisor(run: Run, tmp_path: Path) -> None:
    (tmp_path / "select.py").write_text("raise RuntimeError('of the script')")  # which the supervisor imports
    assert run("print('here')", python=PythonEnv(envs={"PYTHONPATH": str(tmp_path)})).lines == ["here"]
    problem = run("", python=PythonEnv(envs={"PYTHONHOME": "/nonexistent"})).outcome.problem
    assert problem == "it ended with exit code 1"


def test_interpreter_flags_reach_the_interpreter(run: Run) -> None:
    ran = run("import sys; print(sys.flags.optimize, sys.flags.utf8_mode)", python=PythonEnv(flags=("-O", "-X", "utf8")))
    assert ran.lines == ["1 1"]


def test_the_input_of_a_script_is_readable_by_its_owner_only(run: Run) -> None:
    ran = run("print(1)", fit_param={"password": "x"})
    fragment = ran.folder / "input.json"
    assert '"password": "x"' in fragment.read_text()
    assert fragment.stat().st_mode & 0o777 == 0o600


def test_standard_input_of_the_script_is_empty(run: Run) -> None:
    assert run("import sys; print(repr(sys.stdin.read()))").lines == ["''"]
