"""The predict functions that a script registers with python_fun."""

from __future__ import annotations

import json
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import python_fun

Run = Callable[..., Any]

PREDICT = """
import pickle
import python_fun
from doubling import double

def predict(index, s):
    vector, paths, *rest = [pickle.loads(item) for item in s]
    return [(1, None, None, [double(value) + index for value in vector[3]])]

python_fun.udf(predict)
"""


def test_a_predict_function_leaves_a_pickle_that_loads_elsewhere(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "function.pickle"
    helper = {"doubling.py": "FACTOR = 2\ndef double(value):\n    return FACTOR * value"}
    outcome = run(PREDICT, entry="predict.py", files=helper, role="register", function_file=str(file)).outcome
    assert outcome.problem is None
    assert "doubling" not in sys.modules
    assert json.loads((tmp_path / "function.pickle.json").read_text()) == {
        "contract": "row",
        "input": "matrix",
        "returns": "vector",
    }
    predict = pickle.loads(file.read_bytes())
    row = [pickle.dumps((1, None, None, [1.0, 2.0])), pickle.dumps(["/model"])]
    assert predict(10, iter(row)) == [(1, None, None, [12.0, 14.0])]


def test_a_batch_function_goes_with_what_it_needs(run: Run, tmp_path: Path) -> None:
    source = """
import python_fun
from doubling import double

python_fun.batch_udf(
    lambda X, model: double(X), load=lambda directory: directory.upper(), sparse=True, returns="array<double>"
)
"""
    file = tmp_path / "function.pickle"
    helper = {"doubling.py": "def double(value):\n    return 2 * value"}
    assert run(source, entry="predict.py", files=helper, role="register", function_file=str(file)).outcome.problem is None
    assert json.loads((tmp_path / "function.pickle.json").read_text()) == {
        "contract": "batch",
        "input": "matrix",
        "returns": "array<double>",
    }
    function = pickle.loads(file.read_bytes())
    assert (function["predict"](21, None), function["load"]("/model"), function["sparse"]) == (42, "/MODEL", True)


LAZY = """
import python_fun

def predict(X, model):
    from helpers import scale
    return scale(X)

python_fun.batch_udf(predict)
"""


def test_functions_import_the_modules_of_their_own_projects(run: Run, tmp_path: Path) -> None:
    functions = []
    for factor in (2, 5):
        file = tmp_path / f"{factor}.pickle"
        files = {
            "helpers.py": "from deep import factor\ndef scale(X):\n    return factor() * X",
            "deep/__init__.py": f"def factor():\n    return {factor}",
        }
        ran = run(LAZY, entry="predict.py", files=files, role="register", function_file=str(file))
        assert ran.outcome.problem is None, ran.lines
        functions.append(pickle.loads(file.read_bytes())["predict"])
    first, second = functions
    assert [first(3, None), second(3, None), first(3, None)] == [6, 15, 6]
    assert not {"helpers", "deep"} & sys.modules.keys()


def test_parameters_that_a_module_has_read_go_with_the_function(run: Run, tmp_path: Path) -> None:
    source = "import python_fun, settings\npython_fun.batch_udf(lambda X, model: settings.FACTOR * X)"
    settings = {"settings.py": "import mlsql\nFACTOR = float(mlsql.fit_param['factor'])"}
    file = tmp_path / "function.pickle"
    run(source, entry="predict.py", files=settings, role="register", function_file=str(file), fit_param={"factor": "4"})
    assert pickle.loads(file.read_bytes())["predict"](2, None) == 8


@pytest.mark.parametrize(
    ("register", "where"),
    [("udf(predict)", "predict"), ("batch_udf(predict)", "predict"), ("batch_udf(lambda X, model: X, load=load)", "load")],
)
def test_a_function_that_cannot_be_sent_names_the_object(run: Run, tmp_path: Path, register: str, where: str) -> None:
    source = f"""
import threading
import python_fun
LOCK = threading.Lock()
def predict(X, model):
    return LOCK, X
def load(directory):
    return LOCK
python_fun.{register}
"""
    outcome = run(source, entry="predict.py", role="register", function_file=str(tmp_path / "function.pickle")).outcome
    assert f"PicklingError: python_fun.{register.partition('(')[0]}: {where}, global LOCK cannot be saved" in outcome.problem


@pytest.mark.parametrize(
    ("register", "arguments", "options"),
    [
        (python_fun.udf, [7], {}),
        (python_fun.udf, [lambda s: s], {}),
        (python_fun.udf, [lambda a, b, c: a], {}),
        (python_fun.batch_udf, [7], {}),
        (python_fun.batch_udf, [lambda X: X], {}),
        (python_fun.batch_udf, [lambda X, model: X], {"load": lambda: 1}),
        (python_fun.batch_udf, [lambda X, model: X], {"sparse": "no"}),
        (python_fun.batch_udf, [lambda X, model: X], {"input": "vector"}),
        (python_fun.batch_udf, [lambda X, model: X], {"input": "frame", "sparse": True}),
        (python_fun.batch_udf, [lambda X, model: X], {"returns": float}),
    ],
)
def test_anything_but_a_predict_function_is_refused(
    import_mlsql: Callable[..., Any], tmp_path: Path, register: Any, arguments: list[Any], options: dict[str, Any]
) -> None:
    file = tmp_path / "function.pickle"
    import_mlsql(role="register", function_file=str(file))
    with pytest.raises(TypeError, match=rf"^python_fun\.{register.__name__}: expected "):
        register(*arguments, **options)
    assert not file.exists()
