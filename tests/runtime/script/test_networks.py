"""Keras models and SavedModels, saved and loaded in a real child process, and what is said where that cannot be."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlsql_model
import numpy as np
import pytest

Run = Callable[..., Any]
CORES = 3  # not what the machine would give of itself

# One process for all of it: TensorFlow takes seconds to import.
SOURCE = """
import glob, json, os, shutil, sys
import mlsql_model
folder = mlsql_model.model_dir()

assert "keras" not in sys.modules and "tensorflow" not in sys.modules
import keras
import numpy as np
import tensorflow as tf

X = np.linspace(-1, 1, 15).reshape(5, 3)
network = keras.Sequential([keras.layers.Dense(4, activation="relu"), keras.layers.Dense(2)], name="network")

class Module(tf.Module):
    def __init__(self):
        super().__init__()
        self.weight = tf.Variable([[1.0], [2.0], [3.0]])

    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.float32)])
    def predict(self, X):
        return X @ self.weight

class Silent(tf.Module):
    def __init__(self):
        super().__init__()
        self.weight = tf.Variable(1.0)

@keras.saving.register_keras_serializable("own")
class Scaled(keras.layers.Layer):
    def __init__(self, factor, **others):
        super().__init__(**others)
        self.factor = factor

    def call(self, X):
        return X * self.factor

    def get_config(self):
        return {**super().get_config(), "factor": self.factor}

def halve(X):
    return X / 2

def relu(X):
    return X

def distance(y, prediction):
    return keras.ops.mean((y - prediction) ** 2)

def of_layers(*layers):
    model = keras.Sequential([keras.Input((3,)), *layers, keras.layers.Dense(1, activation=halve)])
    model.compile("sgd", distance)
    return model

def local_layer():
    class Local(keras.layers.Layer):
        def call(self, X):
            return X
    return Local()

def problem_of(save, model):
    try:
        save(model)
    except (TypeError, ValueError) as error:
        return f"{type(error).__name__}: {error}"

def through(save, model, name):
    \"\"\"Saved, loaded from a folder of its own; the name of the file or folder that it was saved in.\"\"\"
    place = os.path.relpath(save(model), folder)
    os.rename(folder, name)
    return place, mlsql_model.load(name)

problems = {
    "unbuilt": problem_of(mlsql_model.keras_save_model, network),
    "lambda": problem_of(mlsql_model.keras_save_model, of_layers(keras.layers.Lambda(lambda X: X / 2, name="halve"))),
    "name of Keras": problem_of(mlsql_model.keras_save_model, of_layers(keras.layers.Lambda(relu, name="own"))),
    "inside a function": problem_of(mlsql_model.keras_save_model, of_layers(local_layer())),
    "unbuilt saved model": problem_of(mlsql_model.tf_save_model, network),
    "no Keras model": problem_of(mlsql_model.keras_save_model, Module()),
    "no function": problem_of(mlsql_model.tf_save_model, Silent()),
    "no module": problem_of(mlsql_model.tf_save_model, {"weight": 1.0}),
}
assert not {"model.keras", "custom_objects.pickle"} & set(os.listdir(folder))
shutil.rmtree(folder, ignore_errors=True)
network.compile("sgd", "mse")
network.train_on_batch(X, X[:, :2])
own = network(X).numpy()

file, of_keras = through(mlsql_model.keras_save_model, network, 'keras')
export, served = through(mlsql_model.tf_save_model, network, 'export')
_, module = through(mlsql_model.tf_save_model, Module(), 'module')
own_layers = of_layers(Scaled(3.0), keras.layers.Lambda(halve))
through(mlsql_model.keras_save_model, own_layers, 'layers')
pool = [place for place in glob.glob("/proc/self/task/*/comm") if open(place).read() == "tf_Compute\\n"]
print("answer", json.dumps({
    "places": [file, export],
    "keras": np.abs(of_keras(X).numpy() - own).max().item(),
    "compiled": of_keras.compiled,
    "export": np.abs(served.serve(X.astype("float32")).numpy() - own).max().item(),
    "module": module.predict(X.astype("float32")).numpy().tolist(),
    "signatures": list(module.signatures),
    "pool": len(pool),
    "layers": own_layers(X).numpy().tolist(),
    "problems": problems,
}))
mlsql_model.sk_save_model(0)
"""


@pytest.fixture(scope="module")
def ran(run: Run) -> Any:
    ended = run(SOURCE, task_cpus=CORES)
    assert ended.outcome.problem is None, ended.lines
    return ended


@pytest.fixture(scope="module")
def answer(ran: Any) -> Any:
    return json.loads(ran.lines[-1].removeprefix("answer "))


def test_a_keras_model_comes_back_as_it_was(answer: Any) -> None:
    assert answer["places"][0] == "model.keras"
    assert answer["keras"] == 0.0
    assert answer["compiled"]


def test_layers_and_functions_of_the_script_come_back_in_another_one(ran: Any, answer: Any, run: Run) -> None:
    source = f"""
import json
import mlsql_model
import numpy as np
model = mlsql_model.load({str(ran.folder / "work" / "layers")!r})
X = np.linspace(-1, 1, 15).reshape(5, 3)
print("answer", json.dumps([model(X).numpy().tolist(), model.loss.__name__]))
"""
    other = run(source, entry="predict.py", role="predict")
    assert other.outcome.problem is None, other.lines
    predictions, loss = json.loads(other.lines[-1].removeprefix("answer "))
    assert predictions == answer["layers"]
    assert loss == "distance"


def test_a_keras_model_can_be_exported_for_tensorflow(answer: Any) -> None:
    assert answer["places"][1] == "saved_model"
    assert answer["export"] == pytest.approx(0.0, abs=1e-6)


def test_a_module_comes_back_with_its_functions(answer: Any) -> None:
    expected = np.linspace(-1, 1, 15).reshape(5, 3) @ [[1.0], [2.0], [3.0]]
    assert answer["module"] == pytest.approx(expected, abs=1e-5)
    assert answer["signatures"] == ["serving_default"]


@pytest.mark.parametrize(
    ("what", "parts"),
    [
        ("unbuilt", ("ValueError: mlsql_model.keras_save_model: the model 'network' has no weights yet", "keras.Input")),
        ("unbuilt saved model", ("ValueError: mlsql_model.tf_save_model: the model 'network' has no weights yet",)),
        (
            "no Keras model",
            ("TypeError: mlsql_model.keras_save_model: expected a model of Keras 3", "got a __main__.Module", "tf_save_model"),
        ),
        (
            "no function",
            ("ValueError: mlsql_model.tf_save_model: a __main__.Silent has no function", "@tf.function(input_signature="),
        ),
        (
            "lambda",
            ("ValueError: mlsql_model.keras_save_model: the layer 'halve' has a lambda", "write it as a function with a name"),
        ),
        (
            "name of Keras",
            ("ValueError: mlsql_model.keras_save_model: the layer 'own' needs relu, and Keras would find 2 by that name",),
        ),
        (
            "inside a function",
            ("ValueError: mlsql_model.keras_save_model: the layer 'local' needs Local, and Keras would find nothing by that",),
        ),
        ("no module", ("ValueError: mlsql_model.tf_save_model: TensorFlow cannot save a builtins.dict",)),
    ],
)
def test_a_model_that_cannot_be_saved_is_refused_when_it_is_saved(answer: Any, what: str, parts: tuple[str, ...]) -> None:
    assert all(part in answer["problems"][what] for part in parts), answer["problems"][what]


def test_tensorflow_keeps_to_the_cores_of_the_task(answer: Any) -> None:
    assert answer["pool"] == (CORES if sys.platform == "linux" else 0)


def test_tensorflows_greetings_are_in_the_log_alone(ran: Any) -> None:
    assert [line for line in ran.lines if "oneDNN" in line or "InitializeLog" in line] == []
    assert ran.log.count("answer") == 1
    assert set(ran.lines) <= set(ran.log.splitlines())


@pytest.mark.parametrize(
    ("call", "missing", "extra"),
    [
        ("mlsql_model.keras_save_model(0)", "keras", "keras"),
        ("mlsql_model.tf_save_model(0)", "tensorflow", "tensorflow"),
        ("mlsql_model.load('keras')", "keras", "keras"),
        ("mlsql_model.load('tensorflow')", "tensorflow", "tensorflow"),
    ],
)
def test_a_framework_that_is_not_installed_is_named_with_its_extra(
    import_mlsql: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, missing: str, extra: str
) -> None:
    import_mlsql()
    monkeypatch.setitem(sys.modules, missing, None)  # as if it were not there
    monkeypatch.chdir(tmp_path)
    write_empty(tmp_path, "keras/model.keras", "tensorflow/saved_model/saved_model.pb")
    with pytest.raises(ModuleNotFoundError, match=f"needs {missing}, which {re.escape(sys.executable)} on ") as caught:
        eval(call, {"mlsql_model": mlsql_model})
    assert f"pip install 'airflow-provider-mlsql[{extra}]'" in str(caught.value)


def test_a_package_that_keras_lacks_is_named_with_the_extra(run: Run) -> None:
    source = (
        "import sys\nsys.modules['tensorflow'] = None  # as if it were not there\nimport mlsql_model\nmlsql_model.load('keras')"
    )
    problem = run(source, files={"keras/model.keras": ""}).outcome.problem
    assert f"needs tensorflow, which {sys.executable} on " in problem
    assert "pip install 'airflow-provider-mlsql[keras]'" in problem


def test_of_two_models_none_is_guessed(tmp_path: Path) -> None:
    write_empty(tmp_path, "both/model.pickle", "both/model.keras")
    with pytest.raises(ValueError, match=r"both holds model\.pickle and model\.keras; expected one model") as caught:
        mlsql_model.load(str(tmp_path / "both"))
    assert "python_fun.batch_udf(predict, load=load)" in str(caught.value)


def write_empty(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
