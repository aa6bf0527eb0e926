"""What scripts need, as their source tells."""

from __future__ import annotations

import pytest

from mlsql_runtime.errors import InputError
from mlsql_runtime.plan import PythonEnv
from mlsql_runtime.script.bundle import ScriptBundle, read_bundle
from mlsql_runtime.script.interpreter import InterpreterReport
from mlsql_runtime.script.source_code import check_imports, check_syntax, required_modules, used_helpers


def modules(source: str, traits: tuple[str, ...] = (), **files: str) -> set[str]:
    contents = {name.replace("__", "/") + ".py": text.encode() for name, text in files.items()}
    return set(
        required_modules(ScriptBundle("train.py", {"train.py": source.encode(), **contents}), **dict.fromkeys(traits, True))
    )


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


def test_a_built_in_algorithm_needs_what_any_of_its_files_imports() -> None:
    for statement in ("train", "register"):
        assert {"numpy", "sklearn"} <= required_modules(read_bundle("builtin:sklearn", statement)).keys()


def test_of_modules_with_one_name_those_count_that_python_would_find() -> None:
    files = {"helpers": "import nltk", "tests__helpers": "import pytest", "libs__words": "import torch", "libs__more": ""}
    assert modules("import helpers", **files) == {"nltk"}
    assert modules("import words", **files) == {"torch"}  # the script may see to it that it is found


@pytest.mark.parametrize(
    ("source", "traits", "found"),
    [
        ("import mlsql\nmlsql.all_data()", ("has_vectors",), {"numpy", "pyarrow"}),
        ("import mlsql\nmlsql.read_data()", (), {"numpy", "pyarrow"}),
        ("import mlsql\nmlsql.read_data()", ("has_vectors",), {"numpy", "pyarrow", "pyspark"}),
        ("import mlsql\nmlsql.read_frames(9)", (), {"numpy", "pyarrow", "pandas"}),
        ("import mlsql\nmlsql.read_arrow()", ("is_kafka",), {"numpy", "pyarrow", "kafka"}),
        ("from mlsql import read_batches", ("is_kafka",), {"numpy", "pyarrow", "kafka"}),
        ("import mlsql\nmlsql.fit_param", ("is_kafka", "has_vectors"), set()),
        ("import mlsql_model\nmlsql_model.keras_save_model(m)", (), {"keras"}),
        ("import mlsql_model\nmlsql_model.tf_save_model(m)", (), {"tensorflow"}),
        ("import python_fun\npython_fun.udf(f)", (), {"pyspark"}),
        ("import python_fun\npython_fun.batch_udf(f)", (), {"pyspark"}),
    ],
)
def test_the_functions_of_mlsql_bring_their_needs(source: str, traits: tuple[str, ...], found: set[str]) -> None:
    assert modules(source, traits) == found


@pytest.mark.parametrize(
    ("python", "is_function", "mend"),
    [
        (PythonEnv(), False, "install scikit-learn nltk there, or bring them with requirements, archives or pythonPath"),
        (PythonEnv(requirements="a"), False, "add scikit-learn nltk to requirements"),
        (PythonEnv(path="env/bin/python", archives=("/e.tar.gz#env",)), False, "into the environment, and pack it again"),
        (PythonEnv(), True, "set spark.pyspark.python to an interpreter that has them"),
    ],
)
def test_what_is_missing_is_named_with_who_needs_it_and_how_to_mend_it(python: PythonEnv, is_function: bool, mend: str) -> None:
    found = InterpreterReport("/opt/python", {"python": "3.11.2"}, ("sklearn", "nltk"))
    reasons = {"sklearn": "a.py imports", "nltk": "b.py imports", "os": "a.py imports"}
    fragment = found.describe_missing(reasons, "node-1", python, is_function)
    assert fragment.startswith(
        "/opt/python on node-1 lacks sklearn (package scikit-learn), which a.py imports; nltk, which b.py imports; "
    )
    assert mend in fragment


@pytest.mark.parametrize("source", [b"", b"print(1)", "name = 'größer'".encode(), b"raise SystemExit(1)"])
def test_good_syntax_is_accepted_and_not_run(source: bytes) -> None:
    check_syntax(ScriptBundle("train.py", {"train.py": source}), "/s/train.py")


@pytest.mark.parametrize(
    ("source", "line", "fragment"),
    [
        (b"x = 1\ndef f(:\n", 2, "/s/train.py:2: "),
        (b"\nprint 'hello'\n", 2, "Python 2"),
        (b"try:\n    pass\nexcept Exception, e:\n    pass\n", 3, "Python 2"),
    ],
)
def test_wrong_syntax_is_refused_with_its_line(source: bytes, line: int, fragment: str) -> None:
    with pytest.raises(InputError) as caught:
        check_syntax(ScriptBundle("train.py", {"train.py": source}), "/s/train.py")
    assert fragment in caught.value.message
    assert caught.value.facts == {"path": "/s/train.py", "line": line}


@pytest.mark.parametrize("source", [b"x = '\xff'\n", b"x = 1\0\n", b"# -*- coding: no-such-codec -*-\n"])
def test_bytes_other_than_python_source_are_refused(source: bytes) -> None:
    with pytest.raises(InputError, match=r"/s/train\.py"):
        check_syntax(ScriptBundle("train.py", {"train.py": source}), "/s/train.py")


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("import mlsql\nfor X, y in mlsql.read_batches(3): print(mlsql.fit_param)", {"read_batches", "fit_param"}),
        ("from mlsql import all_data as whole\nwhole()", {"all_data"}),
        ("import other\nother.all_data()\n# mlsql.all_data()\nprint('mlsql.read_data()')", set()),
        ("print 'Python 2', mlsql.all_data()", set()),
    ],
)
def test_the_helpers_a_script_uses_are_read_without_running_it(source: str, names: set[str]) -> None:
    assert used_helpers(ScriptBundle("train.py", {"train.py": source.encode()}), "mlsql") == names


@pytest.mark.parametrize(
    ("source", "remedy"),
    [
        ("import mlsql\nimport msg_queue", "imports msg_queue, a module of MLSQL that is not here; mlsql.read_data"),
        ("from mlsql_tf import fc_layer", "imports mlsql_tf, a module of MLSQL that is not here; it is made for TensorFlow 1"),
    ],
)
def test_modules_that_only_mlsql_had_are_refused_by_name(source: str, remedy: str) -> None:
    with pytest.raises(InputError, match=rf"^p/train\.py {remedy}"):
        check_imports(ScriptBundle("train.py", {"train.py": source.encode()}), "p/train.py")
    copies = {"msg_queue.py": b"", "mlsql_tf.py": b""}
    check_imports(ScriptBundle("train.py", {"train.py": source.encode(), **copies}), "p/train.py")


@pytest.mark.parametrize("text", ["(" * 5000, "{" * 199 + "1", "-" * 200_000 + "1", "x" + ".y" * 100_000])
def test_a_script_that_is_nested_too_deeply_is_no_python(text: str) -> None:
    bundle = ScriptBundle("train.py", {"train.py": text.encode()})
    with pytest.raises(InputError, match=r"^train\.py"):
        check_syntax(bundle, "train.py")
    assert required_modules(bundle) == {}
