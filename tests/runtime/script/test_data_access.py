from __future__ import annotations

import pytest
from support.workbench import EXAMPLES, SEED

from mlsql_runtime.script.bundle import ScriptBundle, read_bundle
from mlsql_runtime.script.data_access import Usage, usage_of


def usage(source: str | bytes, **others: str) -> Usage:
    content = source.encode() if isinstance(source, str) else source
    files = {"train.py": content} | {name.replace("__", "."): text.encode() for name, text in others.items()}
    return usage_of(ScriptBundle("train.py", files))


@pytest.mark.parametrize(
    ("source", "reads"),
    [
        ("import mlsql\nX, y = mlsql.all_data()", {"all_data"}),
        ("import mlsql as m\nfor X, y in m.read_batches(10): print(m.fit_param['x'])", {"read_batches"}),
        ("from mlsql import read_data as rd, report\nrd()", {"read_data"}),
        (
            "def f():\n    import mlsql\n    return mlsql.get_validate_data, mlsql.sklearn_all_data",
            {"get_validate_data", "sklearn_all_data"},
        ),
        ("import mlsql\nmlsql.all_data()\nopen(mlsql.internal_system_param['tempModelLocalPath'] + '/m', 'w')", {"all_data"}),
        ("import mlsql, re\nmlsql.all_data()\nre.compile('x')\nmodel.eval()\nprint('mlsql_validation_score:1')", {"all_data"}),
        ("'''Trains with mlsql and its data.'''\nimport mlsql\nmlsql.sklearn_batch_data(print)", {"sklearn_batch_data"}),
    ],
)
def test_reading_by_functions_alone_leaves_no_doubt(source: str, reads: set[str]) -> None:
    assert usage(source) == Usage(frozenset(reads), None)


READS = "import mlsql\nmlsql.all_data()\n"


@pytest.mark.parametrize(
    ("source", "doubt"),
    [
        ("print(1)", "train.py reads the table with no function of mlsql"),
        (READS + "mlsql.internal_system_param['tempDataLocalPath']", "the text 'tempDataLocalPath'"),
        (READS + "mlsql.internal_system_param.values()", "mlsql.internal_system_param"),
        (READS + "mlsql.internal_system_param[name]", "mlsql.internal_system_param"),
        (READS + "mlsql.get_param(mlsql.internal_system_param, 'x', 1)", "mlsql.internal_system_param"),
        (READS + "mlsql.params()", "mlsql.params"),
        (READS + "mlsql._input.data", "mlsql._input"),
        (READS + "mlsql.__dict__", "mlsql.__dict__"),
        (READS + "mlsql.fit_param = {}", "mlsql.fit_param"),
        (READS + "getattr(mlsql, 'par' + 'ams')()", "hands the module mlsql on"),
        (READS + "m = mlsql\nm.params()", "hands the module mlsql on"),
        (READS + "from mlsql import *", "imports * from mlsql"),
        (READS + "from mlsql import params", "imports params from mlsql"),
        (READS + "import mlsql.other", "imports mlsql.other"),
        (READS + "from mlsql_runtime.script import protocol", "imports mlsql_runtime.script"),
        (READS + "import importlib\nimportlib.import_module('ml' + 'sql')", "imports importlib"),
        (READS + "import sys\nsys.modules['mlsql'].params()", "the text 'mlsql'"),
        (READS + "import subprocess\nsubprocess.run(['python', '-c', 'import mlsql; mlsql.params()'])", "'import mlsql'"),
        (READS + "import os\nopen(os.environ['MLSQL_SCRIPT_INPUT'])", "MLSQL_SCRIPT_INPUT"),
        (READS + "exec(code)", "uses exec"),
        (READS + "open('../data/part-00000.json')", "../data"),
        ("print 'two'", "train.py cannot be parsed"),
        (b"\xff\xfe", "train.py cannot be parsed"),
    ],
)
def test_whatever_may_touch_the_files_leaves_doubt(source: str | bytes, doubt: str) -> None:
    found = usage(source)
    assert doubt in str(found.doubt)
    assert found.reads == frozenset()


def test_all_python_files_of_a_project_count() -> None:
    reading = "import mlsql\n\ndef load():\n    return mlsql.all_data()"
    assert usage("import helper\nhelper.load()", helper__py=reading) == Usage(frozenset({"all_data"}), None)
    assert usage(READS, helper__py="import mlsql\nmlsql.params()").doubt == "helper.py uses mlsql.params"
    assert usage(READS, words__txt="tempDataLocalPath").doubt is None
    assert usage(READS, helper__so="").doubt == "what helper.so does cannot be read"


def test_examples_leave_no_doubt_and_the_seed_s_script_does() -> None:
    assert usage_of(read_bundle(str(EXAMPLES / "train_bayes.py"), "train")).doubt is None
    assert usage_of(read_bundle(str(SEED / "train.py"), "train")).doubt is not None
