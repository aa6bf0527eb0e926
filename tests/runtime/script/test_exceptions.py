"""The reason of a script's failure: the exception that ended it and the line of the script, whatever is printed around it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from mlsql_runtime.plan import PythonEnv
from mlsql_runtime.script.bundle import ScriptBundle
from mlsql_runtime.script.project import read_project

Run = Callable[..., Any]

HELPERS = """
def check(value):
    if value < 0:
        raise ValueError(f"{value} is below 0")

class Odd(Exception):
    def __str__(self):
        raise RuntimeError("no text")
"""

NO_NUMBER = "ValueError: invalid literal for int() with base 10: 'x'"
REASONS = {
    "a text of several lines": (
        'raise ValueError("three columns are wrong:\\n a: null\\nsee the wiki")',
        "ValueError: three columns are wrong: (train.py:1)",
    ),
    "an empty first line": ('raise ValueError("\\n\\n  it is wrong\\n")', "ValueError: it is wrong (train.py:1)"),
    "no text": ("x = 1\nassert x == 2", "AssertionError (train.py:2)"),
    "a long text": ('raise ValueError("x" * 100_000)', f"ValueError: {'x' * 1000} (train.py:1)"),
    "a key": ('{}["a"]', "KeyError: 'a' (train.py:1)"),
    "text at exit": ('import atexit\natexit.register(print, "bye")\nint("x")', f"{NO_NUMBER} (train.py:3)"),
    "an exit with a text": ('import sys\nsys.exit("no rows for today\\ntry later")', "no rows for today (train.py:2)"),
    "a raised exit": ('raise SystemExit("enough")', "enough (train.py:1)"),
    "text without a line end": ('print("alpha? ", end="")\nint("x")', f"{NO_NUMBER} (train.py:2)"),
    "a module of the project": ("import helpers\nhelpers.check(-1)", "ValueError: -1 is below 0 (helpers.py:4)"),
    "a library": ("import fractions\n\nfractions.Fraction('x')", "ValueError: Invalid literal for Fraction: 'x' (train.py:3)"),
    "a missing module": ("import nowhere_at_all", "ModuleNotFoundError: No module named 'nowhere_at_all' (train.py:1)"),
    "a wrong module": ("import wrong", "SyntaxError: invalid syntax (wrong.py:2)"),
    "while another is handled": ("try:\n    1 / 0\nexcept ZeroDivisionError:\n    int('x')", f"{NO_NUMBER} (train.py:4)"),
    "from another": ("try:\n    1 / 0\nexcept Exception as e:\n    raise OSError('disk') from e", "OSError: disk (train.py:4)"),
    "a text that cannot be had": ("import helpers\nraise helpers.Odd", "Odd (train.py:2)"),
    "an exit instead": ("import sys\ntry:\n    1 / 0\nfinally:\n    sys.exit('end')", "end (train.py:5)"),
    "another traceback before": (
        "import traceback\ntry:\n    1 / 0\nexcept Exception:\n    traceback.print_exc()\nint('x')",
        f"{NO_NUMBER} (train.py:6)",
    ),
    "a hook that prints nothing": ("import sys\nsys.excepthook = lambda *_: None\nint('x')", f"{NO_NUMBER} (train.py:3)"),
    "an exception that is none of Python's own": (
        "class Stop(BaseException):\n    pass\nraise Stop('enough')",
        "Stop: enough (train.py:3)",
    ),
    "half a letter": (r"raise ValueError('bad file \udcff.csv')", r"ValueError: bad file \udcff.csv (train.py:1)"),
    "an exit code": ("import sys\nprint('x: y')\nsys.exit(1)", None),
    "an exit past Python": ("import os\nprint('Traceback (most recent call last):', flush=True)\nos._exit(1)", None),
}


@pytest.mark.parametrize(("source", "reason"), REASONS.values(), ids=REASONS)
def test_the_reason_is_the_exception_and_its_line(run: Run, source: str, reason: str | None) -> None:
    outcome = run(source, files={"helpers.py": HELPERS, "wrong.py": "x = 1\nx = = 2\n"}).outcome
    assert outcome.problem == "it ended with exit code 1" + (f": {reason}" if reason else "")


def test_a_module_of_the_script_with_the_name_of_one_that_is_needed_costs_only_the_reason(run: Run) -> None:
    ran = run("import json\njson.loads", files={"json.py": ""})
    assert ran.outcome.problem == "it ended with exit code 1"
    assert ran.lines[-1] == "AttributeError: module 'json' has no attribute 'loads'"


def test_scikit_learn_s_footnotes_hide_nothing(run: Run) -> None:
    source = """
import numpy as np
from sklearn.linear_model import LogisticRegression

LogisticRegression().fit(np.array([[np.nan], [1.0]]), [0, 1])
"""
    outcome = run(source).outcome
    assert outcome.problem == "it ended with exit code 1: ValueError: Input X contains NaN. (train.py:5)"
    assert any("imputer" in line for line in outcome.tail)


def test_the_traceback_begins_in_the_script(run: Run) -> None:
    ran = run("def f():\n    1 / 0\nf()")
    assert [re.sub(r'".*/', '"', line) for line in ran.lines if line.startswith("  File")] == [
        '  File "train.py", line 3, in <module>',
        '  File "train.py", line 2, in f',
    ]
    assert (ran.lines[0], ran.lines[-1]) == ("Traceback (most recent call last):", "ZeroDivisionError: division by zero")


AS_MAIN = """
import inspect, multiprocessing, os, pickle, sys

class Model:
    pass

def double(x):
    return 2 * x

if __name__ == "__main__":
    import __main__
    assert __main__.Model is Model and sys.modules["__main__"].__dict__ is globals()
    assert pickle.loads(pickle.dumps(Model())).__class__ is Model
    assert __file__ == os.path.join(os.getcwd(), "src", "train.py") and __spec__ is None and __doc__ is None
    assert sys.argv == [os.path.join("src", "train.py"), "0.5"] and sys.path[0] == os.path.dirname(__file__)
    assert inspect.getsource(double).startswith("def double")
    assert not {"main", "describe"} & globals().keys()
    import beside
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.map(double, [1, 2]) == [2, 4]
    print("all is well")
"""


def test_a_script_runs_as_python_runs_it(run: Run) -> None:
    project = {"MLproject": "entry_points: {main: {train: {command: 'python src/train.py {a}', parameters: {a: float}}}}"}
    point = read_project(project["MLproject"].encode(), "MLproject").points["train"]
    files = {"src/train.py": AS_MAIN.encode(), "src/beside.py": b""}
    ran = run(ScriptBundle("src/train.py", files, point), fit_param={"a": "0.5"})
    assert (ran.outcome.problem, ran.lines) == (None, ["all is well"])


@pytest.mark.parametrize("flags", [(), ("-O",), ("-X", "dev"), ("-u", "-B"), ("-S",)])
def test_flags_of_the_interpreter_hold(run: Run, flags: tuple[str, ...]) -> None:
    source = "import sys\nassert True\nprint(__debug__, sys.flags.dev_mode, sys.flags.no_site)"
    ran = run(source, python=PythonEnv(timeout=60, flags=flags))
    assert ran.lines == [f"{flags != ('-O',)} {flags == ('-X', 'dev')} {int(flags == ('-S',))}"]


def test_a_script_in_another_encoding_runs(run: Run) -> None:
    assert run("# coding: latin-1\nprint('größer')".encode("latin-1")).lines == ["größer"]


def test_lines_of_a_built_in_script_are_left_out(run: Run) -> None:
    bundle = ScriptBundle("train.py", {"train.py": b"raise ValueError('no such estimator')"}, name="builtin:sklearn")
    assert run(bundle).outcome.problem == "it ended with exit code 1: ValueError: no such estimator"
