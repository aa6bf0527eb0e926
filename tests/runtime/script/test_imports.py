"""What scripts need, as their source tells."""

from __future__ import annotations

import pytest

from mlsql_runtime.plan import PythonEnv
from mlsql_runtime.script.bundle import ScriptBundle
from mlsql_runtime.script.imports import NO_FEED, Feed, describe_missing, required_modules
from mlsql_runtime.script.interpreter import InterpreterReport


def modules(source: str, feed: Feed = NO_FEED, **files: str) -> set[str]:
    contents = {name.replace("__", "/") + ".py": text.encode() for name, text in files.items()}
    return set(required_modules(ScriptBundle("train.py", {"train.py": source.encode(), **contents}), feed))


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import sklearn.svm, json\nfrom numpy.linalg import norm as n", {"sklearn", "json", "numpy"}),
        ("try:\n    import cupy\nexcept ImportError:\n    cupy = None", set()),
        ("if True:\n    import a\ndef f():\n    import b\nclass C:\n    import c", set()),
        ("with open('x') as f:\n    import a", {"a"}),
        ("import contextlib\nwith contextlib.suppress(ImportError):\n    import cupy", {"contextlib"}),
        ("from contextlib import suppress\nwith suppress(ImportError):\n    import cupy", {"contextlib"}),
        ("from . import a\nfrom .b import c", set()),
        ("import mlsql, mlsql_model, python_fun", set()),
        ("import sys\nsys.path.insert(0, '/opt/libs')\nimport libs_of_ours", set()),
        ("import site\nsite.addsitedir('/opt/libs')\nimport libs_of_ours", set()),
        ("print 'Python 2'\nimport a", set()),
        ("import os, sys\nprint(sys.argv, os.path)", {"os", "sys"}),
    ],
)
def test_what_is_imported_at_the_start_is_needed(source: str, found: set[str]) -> None:
    assert modules(source) == found


def test_modules_of_the_project_are_followed_and_no_need() -> None:
    files = {"words": "import nltk\nimport words", "deep__er": "import torch", "deep____init__": "", "predict": "import keras"}
    assert modules("import words\nfrom deep import other", **files) == {"nltk"}
    assert modules("import words, deep.er", **files) == {"nltk", "torch"}


def test_of_modules_with_one_name_those_count_that_python_would_find() -> None:
    files = {"helpers": "import nltk", "tests__helpers": "import pytest", "libs__words": "import torch", "libs__more": ""}
    assert modules("import helpers", **files) == {"nltk"}
    assert modules("import words", **files) == {"torch"}  # the script may see to it that it is found


@pytest.mark.parametrize(
    ("source", "feed", "found"),
    [
        ("import mlsql\nmlsql.all_data()", Feed(has_vectors=True), {"numpy", "pyarrow"}),
        ("import mlsql\nmlsql.read_data()", NO_FEED, {"numpy", "pyarrow"}),
        ("import mlsql\nmlsql.read_data()", Feed(has_vectors=True), {"numpy", "pyarrow", "pyspark"}),
        ("from mlsql import read_batches", Feed(is_kafka=True), {"numpy", "pyarrow", "kafka"}),
        ("import mlsql\nmlsql.fit_param", Feed(is_kafka=True, has_vectors=True), set()),
        ("import mlsql_model\nmlsql_model.keras_save_model(m)", NO_FEED, {"keras"}),
        ("import mlsql_model\nmlsql_model.tf_save_model(m)", NO_FEED, {"tensorflow"}),
        ("import python_fun\npython_fun.udf(f)", NO_FEED, {"pyspark"}),
        ("import python_fun\npython_fun.batch_udf(f)", NO_FEED, {"pyspark"}),
    ],
)
def test_the_functions_of_mlsql_bring_their_needs(source: str, feed: Feed, found: set[str]) -> None:
    assert modules(source, feed) == found


@pytest.mark.parametrize(
    ("python", "is_function", "mend"),
    [
        (PythonEnv(), False, "install scikit-learn nltk there, or bring them with requirements, archives or pythonPath"),
        (PythonEnv(requirements="a"), False, "add scikit-learn nltk to requirements"),
        (PythonEnv(path="env/bin/python", archives=("/e.tar.gz#env",)), False, "into the environment, and pack it anew"),
        (PythonEnv(), True, "set spark.pyspark.python to an interpreter that has them"),
    ],
)
def test_what_is_missing_is_named_with_who_needs_it_and_how_to_mend_it(python: PythonEnv, is_function: bool, mend: str) -> None:
    found = InterpreterReport("/opt/python", {"python": "3.11.2"}, ("sklearn", "nltk"))
    told = describe_missing(
        found, {"sklearn": "a.py imports", "nltk": "b.py imports", "os": "a.py imports"}, "node-1", python, is_function
    )
    assert told.startswith(
        "/opt/python on node-1 lacks sklearn (package scikit-learn), which a.py imports; nltk, which b.py imports; "
    )
    assert mend in told
