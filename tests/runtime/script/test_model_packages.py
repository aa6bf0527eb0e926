"""A model that other versions of libraries cannot load: the error names these versions."""

from __future__ import annotations

import json
import pickle
import platform
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mlsql_model
import numpy as np
import pytest

from mlsql_runtime.errors import ScriptFailed
from mlsql_runtime.scoring.function_loader import load_function
from mlsql_runtime.script.model_packages import describe_other_packages
from mlsql_runtime.storage.location import Location

TRAINED = {"python": platform.python_version(), "numpy": "99.1", "scipy": version("scipy"), "torch": "9.9", "unknown": "1"}
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
EXPECTED = (
    f"ModuleNotFoundError: No module named 'numpy._kernel'; the model was trained with numpy 99.1, torch 9.9, "
    f"and here numpy {np.__version__}, torch is missing: install the same versions, or train it again"
)


def write_model(folder: Path) -> None:
    """Write the pickle of a class in a module of NumPy that this version does not have, as after NumPy 2 under NumPy 1."""
    folder.mkdir(parents=True)
    (folder / "model.pickle").write_bytes(b"cnumpy._kernel\nArray\n.")


def test_a_version_names_the_packages_of_its_group(tmp_path: Path) -> None:
    write_model(tmp_path / "_model_3/model/1")
    fits = [{"alg_index": index, "packages": TRAINED if index else {}} for index in range(2)]
    (tmp_path / "_model_3/manifest.json").write_text(json.dumps({"fits": fits}))
    with pytest.raises(pickle.UnpicklingError) as caught:
        mlsql_model.load(str(tmp_path / "_model_3/model/1"))
    assert str(caught.value).endswith(f"model/1/model.pickle cannot be loaded: {EXPECTED}")


def test_a_batch_script_names_the_packages_of_the_job_s_model(tmp_path: Path, run: Callable[..., Any]) -> None:
    write_model(tmp_path / "copy")
    source = f"import mlsql_model\nmlsql_model.load({str(tmp_path / 'copy')!r})"
    outcome = run(source, role="predict", model_packages=TRAINED).outcome
    assert EXPECTED in outcome.problem


def test_a_function_names_the_packages_of_its_model(tmp_path: Path, publish: Any, package: Any) -> None:
    root = Location.of(str(tmp_path / "m"))
    publish(root)
    (tmp_path / "m/_model_1/model/0/model.bin").unlink()
    (tmp_path / "m/_model_1/model/0").rmdir()
    write_model(tmp_path / "m/_model_1/model/0")
    pickled = pickle.dumps({"predict": np.sum, "load": mlsql_model.load, "sparse": None})
    record = package(root, "jack", 1, pickled, contract="batch", python=PYTHON, packages=TRAINED)
    with pytest.raises(ScriptFailed) as caught:
        load_function(record)
    assert caught.value.message.endswith(EXPECTED)
    assert caught.value.message.count("train it again") == 1


def test_the_same_packages_are_not_mentioned() -> None:
    assert describe_other_packages({"numpy": np.__version__}) == ""


def test_a_model_without_a_record_says_what_is_wrong(tmp_path: Path) -> None:
    write_model(tmp_path / "copy")
    with pytest.raises(pickle.UnpicklingError, match=r"cannot be loaded: ModuleNotFoundError: No module named 'numpy\._kernel'$"):
        mlsql_model.load(str(tmp_path / "copy"))


# np.arange(2.0), pickled by NumPy 2, in which NumPy's modules have other names than in NumPy 1.
OF_NUMPY_2 = (
    b"\x80\x05\x95\x84\x00\x00\x00\x00\x00\x00\x00\x8c\x13numpy._core.numeric\x94\x8c\x0b_frombuffer\x94\x93\x94(\x96\x10\x00\x00\x00"
    b"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xf0?\x94\x8c\x05numpy\x94\x8c\x05dtype\x94\x93\x94\x8c\x02f8"
    b"\x94\x89\x88\x87\x94R\x94(K\x03\x8c\x01<\x94NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00t\x94bK\x02\x85\x94\x8c\x01C\x94t\x94R\x94."
)


def test_a_model_of_numpy_2_loads_with_either_version(tmp_path: Path) -> None:
    (tmp_path / "model.pickle").write_bytes(OF_NUMPY_2)
    assert mlsql_model.load(str(tmp_path)).tolist() == [0.0, 1.0]
