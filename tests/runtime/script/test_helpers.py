from __future__ import annotations

import json
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import mlsql_runtime
from mlsql_runtime.feed.decoding.vectors import VECTOR_TYPE
from mlsql_runtime.feed.files.table import TableFiles
from mlsql_runtime.language import compile_script
from mlsql_runtime.script.outside_job import job_required_error

Run = Callable[..., Any]
ROWS = 150
SCHEMA = pa.schema([("features", VECTOR_TYPE), ("label", pa.float64())])
WANTED_X = [[float(i), i + 0.5, -float(i)] for i in range(ROWS)]
WANTED_Y = [float(i % 3) for i in range(ROWS)]
ROOT = Path(mlsql_runtime.__file__).parents[1]


def write_json(folder: Path, rows: list[dict[str, Any]], files: int = 2) -> None:
    folder.mkdir()
    for part in range(files):
        lines = [json.dumps(row) + "\n" for row in rows[part * len(rows) // files : (part + 1) * len(rows) // files]]
        (folder / f"part-{part:05}.json").write_text("".join(lines))
    (folder / "_SUCCESS").touch()


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory, describe_table: Callable[..., TableFiles]) -> dict[str, TableFiles]:
    """``dense``: 150 rows of width 3. ``sparse``: 40 rows of width 100. ``unlabelled``, ``validate`` and ``empty``."""
    dense = [{"features": {"type": 1, "values": x}, "label": y} for x, y in zip(WANTED_X, WANTED_Y, strict=True)]
    sparse = [
        {"features": {"type": 0, "size": 100, "indices": [i, 99], "values": [1.0, 2.0]}, "label": float(i % 2)} for i in range(40)
    ]
    made = {
        "dense": (dense, SCHEMA),
        "sparse": (sparse, SCHEMA),
        "unlabelled": ([{"features": row["features"]} for row in dense[:5]], pa.schema([SCHEMA.field("features")])),
        "validate": (dense[:7], SCHEMA),
        "empty": ([], SCHEMA),
        "renamed": (
            [{"x": row["features"], "y": row["label"]} for row in dense[:5]],
            pa.schema([("x", VECTOR_TYPE), ("y", pa.float64())]),
        ),
    }
    found = {}
    for name, (rows, schema) in made.items():
        folder = tmp_path_factory.mktemp("tables") / name
        write_json(folder, rows)
        found[name] = describe_table(folder, "json", schema, len(rows))
    return found


def answer_of(run: Run, source: str, **options: Any) -> Any:
    """What the script assigned to ``answer``."""
    ran = run(f"import json\n{source}\nprint(json.dumps(answer))", **options)
    assert ran.outcome.problem is None, ran.lines
    return json.loads("".join(ran.lines))


def test_a_script_finds_its_parameters(run: Run) -> None:
    source = """
import mlsql
answer = {
    "params": mlsql.params(),
    "fit": mlsql.fit_param,
    "kafka": mlsql.kafka_param,
    "model": mlsql.internal_system_param["tempModelLocalPath"],
    "given": mlsql.get_param(mlsql.fit_param, "alpha", "9"),
    "default": mlsql.get_param(mlsql.fit_param, "beta", 9),
}
"""
    answer = answer_of(run, source, fit_param={"alpha": "0.1", "größe": "大"})
    assert set(answer["params"]) == {"fitParam", "kafkaParam", "internalSystemParam", "systemParam"}
    assert answer["params"]["fitParam"] == answer["fit"] == {"alpha": "0.1", "größe": "大"}
    assert answer["params"]["systemParam"] == {"pythonVer": "3"}
    assert (answer["kafka"], answer["given"], answer["default"]) == ({}, "0.1", 9)
    assert answer["model"] == answer["params"]["internalSystemParam"]["tempModelLocalPath"]


ESTIMATOR = """
import mlsql
class Estimator:
    def __init__(self):
        self.values = dict(flag=True, count=10, rate=0.1, seed=None, kind="auto", sizes=(100,), weights=None)
    def get_params(self):
        return dict(self.values)
    def set_params(self, **params):
        self.values.update(params)
estimator = Estimator()
mlsql.sklearn_configure_params(estimator)
answer = [[name, repr(value)] for name, value in estimator.values.items()]
"""


def test_estimators_are_configured_with_typed_values(run: Run) -> None:
    fit_param = {
        "flag": "false",
        "count": "25",
        "rate": "1",
        "seed": "7",
        "kind": "ball_tree",
        "sizes": "[10, 20]",
        "weights": "balanced",
        "batchSize": "64",
    }
    assert dict(answer_of(run, ESTIMATOR, fit_param=fit_param)) == {
        "flag": "False",
        "count": "25",
        "rate": "1",
        "seed": "7",
        "kind": "'ball_tree'",
        "sizes": "[10, 20]",
        "weights": "'balanced'",
    }


def test_words_are_left_to_the_estimator_to_judge(run: Run) -> None:
    assert dict(answer_of(run, ESTIMATOR, fit_param={"rate": "sqrt", "kind": "0.5"}))["rate"] == "'sqrt'"


def test_none_and_other_notations_are_typed(run: Run) -> None:
    fit_param = {"flag": " TRUE ", "rate": "1e-3", "seed": "None", "kind": "brute", "sizes": "(5,)", "weights": "{0: 2.5}"}
    assert dict(answer_of(run, ESTIMATOR, fit_param=fit_param)) == {
        "flag": "True",
        "count": "10",
        "rate": "0.001",
        "seed": "None",
        "kind": "'brute'",
        "sizes": "(5,)",
        "weights": "{0: 2.5}",
    }


@pytest.mark.parametrize(("name", "value"), [("flag", "perhaps"), ("count", "(1, 2)"), ("rate", "0,1")])
def test_a_value_of_another_type_is_refused_by_name(run: Run, name: str, value: str) -> None:
    outcome = run("import json" + ESTIMATOR, fit_param={name: value}).outcome
    assert "ValueError" in outcome.problem
    assert f"{name} is {value!r}" in outcome.problem


def test_rows_are_read_in_exact_batches_again_and_again(run: Run, tables: dict[str, TableFiles]) -> None:
    source = """
import mlsql
rd = mlsql.read_data()
answer = {}
for size in (1, 30, 64, 1000, None):
    batches = list(rd(max_records=size) if size else rd())
    rows = [row for batch in batches for row in batch]
    answer[str(size)] = {
        "lengths": [len(batch) for batch in batches],
        "X": [row["features"].toArray().tolist() for row in rows],
        "y": [row["label"] for row in rows],
        "keys": sorted(rows[0]),
    }
"""
    lengths = {"1": [1] * 150, "30": [30] * 5, "64": [64, 64, 22], "1000": [150], "None": [64, 64, 22]}
    assert answer_of(run, source, data=tables["dense"]) == {
        size: {"lengths": expected, "X": WANTED_X, "y": WANTED_Y, "keys": ["features", "label"]}
        for size, expected in lengths.items()
    }


def test_a_batch_size_below_1_is_refused(run: Run, tables: dict[str, TableFiles]) -> None:
    problem = run("import mlsql\nlist(mlsql.read_data()(0))", data=tables["dense"]).outcome.problem
    assert "max_records is 0" in problem


def wanted(table: str) -> tuple[list[list[float]], list[float], list[int]]:
    """Features, labels, and the lengths of batches of 32."""
    if table == "dense":
        return WANTED_X, WANTED_Y, [32, 32, 32, 32, 22]
    X = np.eye(40, 100)
    X[:, 99] = 2.0
    return X.tolist(), [float(i % 2) for i in range(40)], [32, 8]


@pytest.mark.parametrize(("table", "unasked"), [("dense", "ndarray"), ("sparse", "csr_matrix")])
def test_matrices_are_sparse_as_the_data_are_or_as_asked(
    run: Run, tables: dict[str, TableFiles], table: str, unasked: str
) -> None:
    source = """
import mlsql, numpy as np
dense = lambda X: np.asarray(X.todense() if hasattr(X, "todense") else X).tolist()
answer = {}
for sparse in (None, True, False):
    X, y = mlsql.all_data(sparse=sparse)
    batches = list(mlsql.read_batches(32, sparse=sparse))
    answer[str(sparse)] = {
        "kinds": sorted({type(found).__name__ for found in [X, *(part for part, _ in batches)]}),
        "X": dense(X),
        "y": y.tolist(),
        "lengths": [part.shape[0] for part, _ in batches],
        "X in batches": sum((dense(part) for part, _ in batches), []),
        "y in batches": np.concatenate([part for _, part in batches]).tolist(),
    }
"""
    X, y, lengths = wanted(table)
    assert answer_of(run, source, data=tables[table]) == {
        asked: {"kinds": [kind], "X": X, "y": y, "lengths": lengths, "X in batches": X, "y in batches": y}
        for asked, kind in {"None": unasked, "True": "csr_matrix", "False": "ndarray"}.items()
    }


def test_sklearn_all_data_is_dense(run: Run, tables: dict[str, TableFiles]) -> None:
    source = "import mlsql\nX, y = mlsql.sklearn_all_data()\nanswer = [type(X).__name__, X.shape, y.shape, X[:, 99].sum()]"
    assert answer_of(run, source, data=tables["sparse"]) == ["ndarray", [40, 100], [40], 80.0]


@pytest.mark.parametrize(
    ("fit_param", "lengths", "label_size"),
    [({}, [64, 64, 22], 2), ({"batchSize": "100", "labelSize": "3"}, [100, 50], 3)],
)
def test_sklearn_batches(
    run: Run, tables: dict[str, TableFiles], fit_param: dict[str, str], lengths: list[int], label_size: int
) -> None:
    source = """
import mlsql
answer = []
mlsql.sklearn_batch_data(lambda X, y, size: answer.append([type(X).__name__, len(X), len(y), size]))
"""
    answer = answer_of(run, source, data=tables["dense"], fit_param=fit_param)
    assert answer == [["ndarray", length, length, label_size] for length in lengths]


def test_columns_are_named_by_fit_parameters(run: Run, tables: dict[str, TableFiles]) -> None:
    source = "import mlsql\nX, y = mlsql.all_data()\nanswer = [X.tolist(), y.tolist()]"
    answer = answer_of(run, source, data=tables["renamed"], fit_param={"inputCol": "x", "label": "y"})
    assert answer == [WANTED_X[:5], WANTED_Y[:5]]


def test_a_table_without_labels_has_none(run: Run, tables: dict[str, TableFiles]) -> None:
    source = "import mlsql\nX, y = mlsql.all_data()\nanswer = [X.tolist(), y]"
    assert answer_of(run, source, data=tables["unlabelled"]) == [WANTED_X[:5], None]


@pytest.mark.parametrize("fit_param", [{"label": "labl"}, {"inputCol": "featurs"}])
def test_a_column_that_is_not_there_is_an_error(run: Run, tables: dict[str, TableFiles], fit_param: dict[str, str]) -> None:
    problem = run("import mlsql\nmlsql.all_data()", data=tables["dense"], fit_param=fit_param).outcome.problem
    assert "DataError" in problem
    assert "did you mean" in problem


@pytest.mark.parametrize(("validate", "shapes"), [("validate", [[7, 3], [7]]), ("empty", [[0, 0], [0]]), (None, [[0, 0], [0]])])
def test_validation_data(run: Run, tables: dict[str, TableFiles], validate: str | None, shapes: list[list[int]]) -> None:
    source = "import mlsql\nX, y = mlsql.get_validate_data()\nanswer = [X.shape, y.shape, X.tolist(), y.tolist()]"
    table = tables[validate] if validate else None
    answer = answer_of(run, source, data=tables["dense"], validate=table)
    rows = shapes[1][0]
    assert answer == [*shapes, WANTED_X[:rows], WANTED_Y[:rows]]


def test_fewer_rows_than_spark_wrote_fail_the_script(run: Run, tables: dict[str, TableFiles]) -> None:
    table = tables["dense"]
    more = TableFiles(path=table.path, format=table.format, options={}, rows=151, schema=table.schema)
    problem = run("import mlsql\nfor batch in mlsql.read_data()(): pass", data=more).outcome.problem
    assert "DataError" in problem
    assert "151" in problem
    assert "150" in problem


def test_scripts_of_other_roles_have_no_training_data(run: Run) -> None:
    problem = run("import mlsql\nmlsql.all_data()", role="register").outcome.problem
    assert "register" in problem


def test_reports_and_progress_take_numpy_numbers(run: Run) -> None:
    source = """
import mlsql, numpy as np
mlsql.report(step=np.int64(3), loss=np.float32(0.5))
mlsql.progress(np.int64(1), np.int32(2))
mlsql.report(auc=float("nan"))
"""
    ran = run(source)
    assert (ran.outcome.problem, ran.lines) == (None, ["step 3: loss=0.5", "progress: 1 of 2 (50%)", "auc=nan"])
    assert ran.outcome.report.metrics == {"loss": 0.5, "auc": None}


def test_a_model_is_saved_and_loaded_once(run: Run) -> None:
    source = """
import mlsql, mlsql_model
path = mlsql_model.sk_save_model({"weights": [1, 2]})
folder = mlsql.internal_system_param["tempModelLocalPath"]
answer = [path == folder + "/model.pickle", mlsql_model.load(folder), mlsql_model.load(folder) is mlsql_model.load(folder)]
"""
    assert answer_of(run, source) == [True, {"weights": [1, 2]}, True]


def test_a_folder_without_a_model_names_what_it_holds(run: Run) -> None:
    source = """
import mlsql_model
open(mlsql_model.model_dir() + "/weights.bin", "w").close()
mlsql_model.load(mlsql_model.model_dir())
"""
    problem = run(source).outcome.problem
    assert "FileNotFoundError" in problem
    assert "weights.bin" in problem


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
    assert json.loads((tmp_path / "function.pickle.json").read_text()) == {"contract": "row"}
    predict = pickle.loads(file.read_bytes())
    row = [pickle.dumps((1, None, None, [1.0, 2.0])), pickle.dumps(["/model"])]
    assert predict(10, iter(row)) == [(1, None, None, [12.0, 14.0])]


def test_a_batch_function_goes_with_what_it_needs(run: Run, tmp_path: Path) -> None:
    source = """
import python_fun
from doubling import double

python_fun.batch_udf(lambda X, model: double(X), load=lambda directory: directory.upper(), sparse=True)
"""
    file = tmp_path / "function.pickle"
    helper = {"doubling.py": "def double(value):\n    return 2 * value"}
    assert run(source, entry="predict.py", files=helper, role="register", function_file=str(file)).outcome.problem is None
    assert json.loads((tmp_path / "function.pickle.json").read_text()) == {"contract": "batch"}
    function = pickle.loads(file.read_bytes())
    assert (function["predict"](21, None), function["load"]("/model"), function["sparse"]) == (42, "/MODEL", True)


@pytest.mark.parametrize(
    "call",
    [
        "udf(7)",
        "udf(lambda s: s)",
        "udf(lambda a, b, c: a)",
        "batch_udf(7)",
        "batch_udf(lambda X: X)",
        "batch_udf(lambda X, model: X, load=lambda: 1)",
        "batch_udf(lambda X, model: X, sparse='no')",
    ],
)
def test_what_is_no_predict_function_is_refused(run: Run, tmp_path: Path, call: str) -> None:
    file = tmp_path / "function.pickle"
    outcome = run(f"import python_fun\npython_fun.{call}", role="register", function_file=str(file)).outcome
    assert "TypeError: python_fun." in outcome.problem
    assert not file.exists()


def by_hand(file: Path, source: str) -> subprocess.CompletedProcess[str]:
    """A script that somebody starts without a job, in the script's own folder."""
    file.write_text(source)
    environment = {"PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, file.name], cwd=file.parent, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def test_the_modules_are_silent_outside_of_a_job(tmp_path: Path) -> None:
    source = """
import mlsql, mlsql_model, python_fun
print(mlsql.fit_param, mlsql.kafka_param, mlsql.internal_system_param, mlsql.get_param({}, "a", 1))
mlsql.report(step=1, loss=0.5)
mlsql.progress(1, 2)
"""
    done = by_hand(tmp_path / "train.py", source)
    assert (done.returncode, done.stderr) == (0, "")
    parameters, report, progress = done.stdout.splitlines()
    assert parameters == "{} {} {} 1"
    assert "0.5" in report
    assert "1 of 2" in progress


@pytest.mark.parametrize(
    "call",
    [
        "mlsql.params()",
        "mlsql.fit_param['batchSize']",
        "mlsql.internal_system_param['tempDataLocalPath']",
        "mlsql.all_data()",
        "mlsql.sklearn_all_data()",
        "mlsql.get_validate_data()",
        "next(mlsql.read_batches())",
        "next(mlsql.read_data()())",
        "mlsql.sklearn_batch_data(print)",
        "mlsql_model.model_dir()",
        "mlsql_model.sk_save_model(1)",
    ],
)
def test_what_needs_a_job_says_how_to_run_the_script_in_one(tmp_path: Path, call: str) -> None:
    done = by_hand(tmp_path / "my train.py", f"import mlsql, mlsql_model\n{call}")
    *_, error, command, operator = done.stderr.splitlines()
    assert error.startswith("RuntimeError: my train.py runs outside of a job, so ")
    assert command == "    mlsql fit 'my train.py' --data 'libsvm.`sample_libsvm_data.txt`' --fit-param batchSize=1000"
    assert operator == "or in a DAG, with MLSQLTrainOperator(python_script_path='my train.py', ...)"


@pytest.mark.parametrize("name", ["", "-c", "/x/ipykernel_launcher.py", "/x/pytest"])
def test_without_a_script_an_error_names_one_to_write(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(sys, "argv", [name])
    assert "mlsql fit train.py --data" in str(job_required_error("there is nothing"))


def test_a_predict_script_says_how_to_register_it(tmp_path: Path) -> None:
    done = by_hand(tmp_path / "predict.py", "import python_fun\npython_fun.udf(lambda index, s: [])")
    assert (done.returncode, done.stderr) == (0, "")
    told, statement, operator = done.stdout.splitlines()
    assert told.startswith("python_fun.udf: nothing is registered")
    assert "predict.py runs outside of a registration" in told
    assert "mlsql run" in told
    (registered,) = compile_script(statement).statements
    assert registered.tag == "register"
    assert "MLSQLRegisterOperator(python_script_path='predict.py', ...)" in operator
