"""Models that contain code of their script: they load where the script is not, or the script fails with what cannot be saved."""

from __future__ import annotations

import pickle
import pickletools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mlsql_model
import numpy as np
import pytest

from mlsql_runtime.errors import InterpreterError
from mlsql_runtime.script import code_pickle
from mlsql_runtime.script.project_code import restore_project

Run = Callable[..., Any]

CLASS = """
class Scale:
    def __init__(self, factor):
        self.factor = factor

    def transform(self, X):
        return self.factor * X
"""

TWICE = """
class Twice:
    def transform(self, X):
        {}
        return FACTOR * X
model = Twice()
"""


@pytest.fixture
def load(run: Run) -> Callable[[str, dict[str, str]], Any]:
    """Train a script with its project, and return its model, loaded in this process, which has neither."""

    def train(source: str, files: dict[str, str]) -> Any:
        ran = run(source, files=files)
        assert ran.outcome.problem is None, ran.lines
        return mlsql_model.load(str(ran.folder / "model"))

    return train


@pytest.fixture(autouse=True)
def _nothing_of_the_projects_is_importable() -> Iterator[None]:
    before = set(sys.modules)
    yield
    assert {name for name in set(sys.modules) - before if name.partition(".")[0] in ("features", "lib", "helpers")} == set()


@pytest.mark.parametrize(
    ("source", "files"),
    [
        pytest.param(CLASS + "model = Scale(2)", {}, id="class of the script"),
        pytest.param("from features import Scale\nmodel = Scale(2)", {"features.py": CLASS}, id="class of a module"),
        pytest.param(
            "from lib.features import Scale\nmodel = Scale(2)", {"lib/features.py": CLASS}, id="class of a module in a folder"
        ),
        pytest.param(
            "import sys\nsys.path.insert(0, 'src')\nfrom lib.features import Scale\nmodel = Scale(2)",
            {"src/lib/__init__.py": "", "src/lib/features.py": CLASS},
            id="class of a package on a path of the script",
        ),
        pytest.param(
            "import features\n" + TWICE.format("FACTOR = features.FACTOR"),
            {"features.py": "FACTOR = 2"},
            id="module that a method names",
        ),
        pytest.param(
            TWICE.format("from features import FACTOR"),
            {"features.py": "import helpers\nFACTOR = helpers.TWO", "helpers.py": "TWO = 2"},
            id="module that a method imports, and its modules",
        ),
        pytest.param(
            TWICE.format("import lib.features as features\n        FACTOR = [each() for each in [lambda: features.FACTOR]][0]"),
            {"lib/features.py": "from .two import TWO\nfrom . import two\nFACTOR = two.TWO", "lib/two.py": "TWO = 2"},
            id="modules of a folder that an inner function imports",
        ),
        pytest.param(
            "from lib.features import Twice\nmodel = Twice()",
            {"lib/__init__.py": "", "lib/features.py": TWICE.format("from .two import FACTOR"), "lib/two.py": "FACTOR = 2"},
            id="relative import in a method of a package",
        ),
        pytest.param(
            TWICE.format("import json, colorsys\n        FACTOR = json.loads(colorsys.TWO)"),
            {"colorsys.py": "TWO = '2'"},
            id="module with the name of one in the standard library",
        ),
    ],
)
def test_a_model_brings_the_code_of_its_project(load: Callable[..., Any], source: str, files: dict[str, str]) -> None:
    model = load(f"import mlsql_model\n{source}\nmlsql_model.sk_save_model(model)", files)
    assert model.transform(3) == 6


def test_lambdas_and_values_of_global_variables_are_saved(load: Callable[..., Any]) -> None:
    source = """
import functools, mlsql_model
FACTOR = 2
def scale(factor, X):
    return factor * X
parts = [lambda X: FACTOR * X, functools.partial(scale, 5), (lambda shift: lambda X: X + shift)(7)]
mlsql_model.sk_save_model(parts)
FACTOR = 100
"""
    assert [part(3) for part in load(source, {})] == [6, 15, 10]


def test_models_with_modules_of_one_name_do_not_see_each_others(load: Callable[..., Any]) -> None:
    source = """
import mlsql_model
class Model:
    def transform(self, X):
        from helpers import FACTOR
        return FACTOR * X
mlsql_model.sk_save_model(Model())
"""
    first, second = (load(source, {"helpers.py": f"FACTOR = {factor}"}) for factor in (2, 5))
    assert [first.transform(3), second.transform(3), first.transform(3)] == [6, 15, 6]


def test_a_model_loads_in_a_batch_script_of_another_project(run: Run, import_mlsql: Callable[..., Any]) -> None:
    source = """
import mlsql_model
from features import Scale
mlsql_model.sk_save_model(Scale(2))
"""
    trained = run(source, files={"features.py": CLASS})
    script = f"""
import features, mlsql_model
print(mlsql_model.load({str(trained.folder / "model")!r}).transform(3), features.Scale)
"""
    assert run(script, entry="predict.py", role="predict", files={"features.py": "Scale = None"}).lines == ["6 None"]


def test_a_loaded_model_is_saved_again_with_its_code(run: Run, load: Callable[..., Any]) -> None:
    source = """
import mlsql_model
class Model:
    def transform(self, X):
        from helpers import FACTOR, Helper
        self.helper = Helper()
        return FACTOR * X
mlsql_model.sk_save_model(Model())
"""
    trained = run(source, files={"helpers.py": "FACTOR = 2\nclass Helper:\n    pass"})
    again = f"""
import mlsql_model
model = mlsql_model.load({str(trained.folder / "model")!r})
model.transform(1)
mlsql_model.sk_save_model(model)
"""
    model = load(again, {"helpers.py": "FACTOR = 5", "features.py": ""})
    assert model.transform(3) == 6


def test_a_transformer_of_the_script_in_a_pipeline_of_scikit_learn(load: Callable[..., Any]) -> None:
    source = """
import mlsql_model
import numpy as np
from features import Clip
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
X = np.arange(10.0).reshape(-1, 1)
model = make_pipeline(FunctionTransformer(lambda X: X + 1), Clip(5), LinearRegression()).fit(X, np.minimum(X[:, 0] + 1, 5))
mlsql_model.sk_save_model(model)
"""
    features = """
import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
class Clip(TransformerMixin, BaseEstimator):
    def __init__(self, most):
        self.most = most
    def fit(self, X, y=None):
        return self
    def transform(self, X):
        return np.minimum(X, self.most)
"""
    assert load(source, {"features.py": features}).predict(np.array([[2.0], [8.0]])) == pytest.approx([3.0, 5.0])


def test_a_model_of_libraries_alone_is_an_ordinary_pickle(run: Run) -> None:
    source = "import mlsql_model\nfrom sklearn.linear_model import Ridge\nmlsql_model.sk_save_model(Ridge())"
    path = run(source, files={"features.py": CLASS}).folder / "model" / "model.pickle"
    assert "cloudpickle" not in str([argument for _, argument, _ in pickletools.genops(path.read_bytes())])
    assert type(pickle.loads(path.read_bytes())).__name__ == "Ridge"


@pytest.mark.parametrize(
    ("lines", "where", "why"),
    [
        ("model = {'steps': [('log', open('log', 'w'))]}", "model['steps'][0][1]", "a _io.TextIOWrapper"),
        ("model = Model()\nmodel.lock = threading.Lock()", "model.lock", "a _thread.lock"),
        ("model = Model()\nmodel.rows = (x for x in [])", "model.rows", "a builtins.generator"),
        ("LOG = threading.Lock()\nmodel = [lambda X: LOG]", "model[0], global LOG", "a _thread.lock"),
        ("def make(lock):\n    return lambda X: lock\nmodel = make(threading.Lock())", "model, variable lock", "a _thread.lock"),
        ("import features\nmodel = lambda X: features.SIZE", "model, global features.LOCK", "a _thread.lock"),
        ("from features import guarded\nmodel = Model()\nmodel.f = guarded", "model.f, global LOCK", "a _thread.lock"),
    ],
)
def test_the_script_fails_with_the_object_that_cannot_be_saved(run: Run, lines: str, where: str, why: str) -> None:
    source = f"import threading\nimport mlsql_model\nclass Model:\n    pass\n{lines}\nmlsql_model.sk_save_model(model)"
    features = "import threading\nSIZE = 1\nLOCK = threading.Lock()\ndef guarded(X):\n    return LOCK, X"
    ran = run(source, files={"features.py": features})
    assert f"PicklingError: mlsql_model.sk_save_model: {where} cannot be saved, {why} (" in ran.outcome.problem
    assert not list((ran.folder / "model").iterdir())


def test_a_compiled_module_of_the_project_cannot_be_saved(run: Run) -> None:
    source = """
import glob, importlib, os, shutil, mlsql_model, psutil
file = glob.glob(os.path.join(os.path.dirname(psutil.__file__), "_psutil_*.so"))[0]
shutil.copy(file, ".")
module = importlib.import_module(os.path.basename(file).partition(".")[0])
function = next(value for value in vars(module).values() if type(value).__name__ == "builtin_function_or_method")
mlsql_model.sk_save_model({"fast": function})
"""
    problem = run(source).outcome.problem
    assert "model['fast'] cannot be saved, a builtins.builtin_function_or_method (PicklingError: " in problem
    assert ".so is compiled; install it as a package where the model is loaded)" in problem


def test_code_of_another_python_is_refused(load: Callable[..., Any]) -> None:
    with pytest.raises(InterpreterError, match=r"saved under Python 2\.7, and is loaded under Python 3"):
        restore_project("2.7", (), {})


@pytest.mark.parametrize("copy", code_pickle.CLOUDPICKLES)
def test_a_pickle_of_a_copy_of_cloudpickle_that_is_not_here_loads_with_another(tmp_path: Path, copy: str) -> None:
    path = tmp_path / "model.pickle"
    code_pickle.dump(lambda X: 2 * X, str(path), "save", None)
    written = path.read_bytes()
    frames = [place for opcode, _, place in pickletools.genops(written) if opcode.name == "FRAME"]  # each has nine bytes
    for place in reversed(frames):
        written = written[:place] + written[place + 9 :]
    name, other = (f"{each}.cloudpickle" for each in (code_pickle.CLOUDPICKLES[0], copy))
    path.write_bytes(written.replace(_text(name), _text(other)))
    assert other in str(list(pickletools.genops(path.read_bytes())))
    assert code_pickle.load(str(path))(3) == 6


def _text(name: str) -> bytes:
    return pickle.SHORT_BINUNICODE + bytes([len(name)]) + name.encode()


def test_an_interpreter_without_cloudpickle_says_what_to_install(run: Run) -> None:
    source = """
import sys
sys.modules.update({"pyspark": None, "cloudpickle": None, "joblib": None})
import mlsql_model
mlsql_model.sk_save_model(lambda X: X)
"""
    assert "which cloudpickle saves, and" in run(source).outcome.problem
