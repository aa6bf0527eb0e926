"""Which packages scripts imported, as they tell it from real child processes."""

from __future__ import annotations

import os
import platform
import signal
import sys
from collections.abc import Callable
from importlib import metadata
from typing import Any

import pytest

from mlsql_runtime import __version__
from mlsql_runtime.plan import PythonEnv

Run = Callable[..., Any]


def test_packages_are_reported_with_their_versions(run: Run) -> None:
    packages = run("import mlsql, numpy, sklearn, scipy, joblib, yaml, dateutil, google.protobuf").outcome.packages
    names = ("numpy", "scikit-learn", "scipy", "joblib", "PyYAML", "python-dateutil", "protobuf")
    assert {name.lower(): metadata.version(name) for name in names}.items() <= packages.items()
    assert next(iter(packages)) == "python"
    assert packages["python"] == platform.python_version()
    assert packages["airflow-provider-mlsql"] == __version__


def test_packages_that_were_not_imported_are_not_reported(run: Run) -> None:
    packages = run("import mlsql, json, helper", files={"helper.py": "import email"}).outcome.packages
    assert set(packages) == {"python", "airflow-provider-mlsql"}


ENDS = {
    "an exception": ("raise ValueError", True),
    "an exit code": ("import sys; sys.exit(3)", True),
    "another working directory": ("import os; os.chdir('/')", True),
    "closed output": ("import os; os.close(1); os.close(2)", True),
    "without a good-bye": ("import os; os._exit(0)", False),
    "a signal": (f"import os; os.kill(os.getpid(), {signal.SIGKILL})", False),
}


@pytest.mark.parametrize(("ending", "fragment"), ENDS.values(), ids=ENDS)
def test_a_script_reports_packages_unless_a_signal_ends_it(run: Run, ending: str, fragment: bool) -> None:
    packages = run(f"import mlsql, yaml\n{ending}").outcome.packages
    assert ("pyyaml" in packages) == fragment
    assert bool(packages) == fragment


CHILDREN = """
import multiprocessing, os, sys
import mlsql

def work():
    import dateutil

if __name__ == "__main__":
    for method in ("fork", "spawn"):
        child = multiprocessing.get_context(method).Process(target=work)
        child.start()
        child.join()
        if child.exitcode != 0:
            raise SystemExit(f"{method}: {child.exitcode}")
    if os.fork() == 0:
        import dateutil
        sys.exit()
    os.wait()
    import yaml
"""


def test_children_do_not_tell(run: Run) -> None:
    packages = run(CHILDREN).outcome.packages
    assert "pyyaml" in packages
    assert "python-dateutil" not in packages


DRAWS = """
import mlsql
import random
import numpy as np
print([mlsql.seed(), hash("a text"), random.random(), np.random.random(), mlsql.params()["systemParam"].get("seed")])
"""


def drawn(run: Run, seed: int | None, **envs: str) -> str:
    (line,) = run(DRAWS, system_param={} if seed is None else {"seed": str(seed)}, python=PythonEnv(seed=seed, envs=envs)).lines
    return str(line)


def test_a_seed_makes_runs_alike(run: Run) -> None:
    first, second = drawn(run, 7), drawn(run, 7)
    assert first == second
    assert first.startswith("[7, ")
    assert first.endswith("'7']")
    assert drawn(run, 8).split(", ")[1:] != first.split(", ")[1:]


def test_without_a_seed_nothing_is_seeded(run: Run) -> None:
    first, second = drawn(run, None), drawn(run, None)
    assert first.startswith("[None, ")
    assert first != second


def test_variables_of_the_user_come_over_the_seed(run: Run) -> None:
    assert drawn(run, 7, PYTHONHASHSEED="0").split(", ")[1] == drawn(run, 8, PYTHONHASHSEED="0").split(", ")[1]


def test_a_seed_needs_no_numpy(run: Run, tmp_path: Any) -> None:
    (tmp_path / "numpy.py").write_text("raise ImportError('no numpy here')")
    source = "import mlsql, random, sys\nprint(mlsql.seed(), 'pandas' in sys.modules)"
    bare = PythonEnv(path=sys.executable, seed=3, flags=("-S",), envs={"PYTHONPATH": os.environ.get("PYTHONPATH", "")})
    assert run(source, system_param={"seed": "3"}, python=bare).lines == ["3 False"]
