"""Models that a script saves and loads, and how much memory it takes to save a large one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlsql_model
import pytest

SAVE = """
import json
import pickle
import mlsql_model
import numpy as np

def most():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) >> 10 for line in status if line.startswith("VmHWM:"))

class Model:
    pass

model = Model()
model.weights = np.ones((4096, 4096))  # 128 MiB
model.columns = np.asfortranarray(model.weights[:, :512])
before = most()
mlsql_model.sk_save_model(model)
saved = most()
pickle.dumps(model, protocol=5)
print(json.dumps([saved - before, most() - saved]))
"""


def test_large_arrays_are_saved_without_a_second_copy(run: Callable[..., Any]) -> None:
    ran = run(SAVE)
    assert ran.outcome.problem is None, ran.lines
    saving, a_copy = json.loads(ran.lines[-1])
    assert a_copy > 100  # MiB: so a copy would have been seen
    assert saving < 20


def test_a_model_is_saved_and_loaded_once(run: Callable[..., Any]) -> None:
    source = """
import json, mlsql, mlsql_model
path = mlsql_model.sk_save_model({"weights": [1, 2]})
folder = mlsql.internal_system_param["tempModelLocalPath"]
print(json.dumps([
    path == folder + "/model.pickle", mlsql_model.load(folder), mlsql_model.load(folder) is mlsql_model.load(folder)
]))
"""
    ran = run(source)
    assert ran.outcome.problem is None, ran.lines
    assert json.loads(ran.lines[0]) == [True, {"weights": [1, 2]}, True]


def test_a_model_that_is_saved_again_is_loaded_again(run: Callable[..., Any]) -> None:
    source = """
import mlsql, mlsql_model
folder = mlsql.internal_system_param["tempModelLocalPath"]
for number in (1, 2):
    mlsql_model.sk_save_model(number)
    print(mlsql_model.load(folder))
"""
    assert run(source).lines == ["1", "2"]


def test_files_that_stay_beside_a_model_are_named_once(run: Callable[..., Any]) -> None:
    source = """
import mlsql_model
for number in range(3):
    mlsql_model.sk_save_model(number)
for name in ("words.txt", "checkpoint.bin"):
    open(mlsql_model.model_dir() + "/" + name, "w").close()
mlsql_model.sk_save_model(3)
mlsql_model.sk_save_model(4)
"""
    ran = run(source)
    assert ran.outcome.problem is None, ran.lines
    assert ran.lines == ["mlsql_model.sk_save_model keeps what tempModelLocalPath already contains: checkpoint.bin, words.txt"]


def test_a_folder_without_a_model_names_what_it_holds(import_mlsql: Callable[..., Any]) -> None:
    import_mlsql()
    (Path(mlsql_model.model_dir()) / "weights.bin").touch()
    with pytest.raises(FileNotFoundError, match=r"weights\.bin"):
        mlsql_model.load(mlsql_model.model_dir())
