"""Scripts as people wrote them for MLSQL: what each uses of its modules, and the outcome here."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from mlsql_runtime.feed.decoding.vectors import VECTOR_TYPE
from mlsql_runtime.feed.files.table import TableFiles

Run = Callable[..., Any]

SCHEMA = pa.schema(
    {
        "features": VECTOR_TYPE,
        "label": pa.float64(),
        "target": VECTOR_TYPE,
        "count": pa.int64(),
        "_c0": pa.string(),
        "place": pa.struct({"city": pa.string(), "at": VECTOR_TYPE}),
        "words": pa.map_(pa.string(), pa.list_(pa.struct({"n": pa.int64()}))),
    }
)
ROWS = [
    {
        "features": {"type": 1, "size": None, "indices": None, "values": [float(n), 1.0]},
        "label": float(n % 2),
        "target": {"type": 0, "size": 3, "indices": [n % 3], "values": [1.0]},
        "count": n,
        "_c0": f"row {n}",
        "place": {"city": "Ulm", "at": {"type": 1, "size": None, "indices": None, "values": [n]}},
        "words": [("a", [{"n": n}])],
    }
    for n in range(1500)
]


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory, describe_table: Callable[..., TableFiles]) -> TableFiles:
    import pyarrow.parquet as pq

    folder = tmp_path_factory.mktemp("original")
    pq.write_table(pa.Table.from_pylist(ROWS, schema=SCHEMA), folder / "part-0.parquet")
    return describe_table(folder, "parquet", SCHEMA, len(ROWS))


# By what the script uses: its role, its source, and a part of its error if it is refused.
SCRIPTS: dict[str, tuple[str, str, str | None]] = {
    "options of predict and of the training": (
        "predict",
        """
assert "threshold" in mlsql.params()["fitParams"]
assert float(mlsql.params()["fitParams"]["threshold"]) == 0.5
assert mlsql.params()["trainParams"]["fitParam.0.alpha"] == "1"
""",
        None,
    ),
    "options while a function is made": (
        "register",
        'assert (mlsql.params()["fitParams"]["threshold"], mlsql.params()["trainParams"]["fitParam.0.alpha"]) == ("0.5", "1")',
        None,
    ),
    "the project of a predict script": (
        "register",
        """
import sys
sys.path.insert(0, mlsql.internal_system_param["resource"]["mlFlowProjectPath"])
import helpers
assert open(mlsql.params()["internalSystemParam"]["resource"]["mlFlowProjectPath"] + "/words.txt").read() == "a b"
""",
        None,
    ),
    "the project of a batch script": ("predict", 'assert mlsql.internal_system_param["resource"]["mlFlowProjectPath"]', None),
    "names of the module": (
        "train",
        """
import io, pickle
assert mlsql.systemParam is not None and mlsql.systemParam == mlsql.params()["systemParam"]
assert mlsql._params["fitParam"] == mlsql.fit_param == {"alpha": "1"}
assert mlsql._get_param(mlsql.fit_param, "beta", 2) == mlsql.get_param(mlsql.fit_param, "beta", 2) == 2
assert mlsql.fit_param["modelPath"] == mlsql.params()["fitParam"]["modelPath"] == "/models/m"
assert mlsql.fit_param.get("modelPath") == mlsql.get_param(mlsql.fit_param, "modelPath", None) == "/models/m"
assert "modelPath" not in {**mlsql.fit_param} and mlsql.fit_param.get("beta") is None
assert len(mlsql.validate_data) == len(mlsql.raw_validate_data) == 1500
assert [row["count"] for row in mlsql.validate_data] == list(range(1500))
with io.BytesIO(mlsql.raw_validate_data[7]) as f:
    row = pickle.load(f)
assert row == mlsql.validate_data[7] and row.label == 1.0 and row.features.toArray().tolist() == [7.0, 1.0]
name = mlsql.dump({"a": 1}, open("kept.pickle", "wb"))
assert mlsql.load(name) == {"a": 1} and mlsql.load("nowhere") == []
""",
        None,
    ),
    "a name that it never had": ("train", "mlsql.al_data", "has no attribute 'al_data'; did you mean 'all_data'?"),
    "the number of stop records": (
        "train",
        'mlsql.internal_system_param["stopFlagNum"]',
        "RuntimeError: there is no stopFlagNum, because mlsql counts the records of a topic itself; read them with mlsql.read",
    ),
    "the result of another module": (
        "predict",
        'mlsql.internal_system_param["tempResultLocalPath"]',
        "write JSON lines to tempOutputLocalPath",
    ),
    "a session of TensorFlow 1": (
        "train",
        "import mlsql_model\nmlsql_model.save_model('/tmp/x', object(), 1, 2, overwrite=True)",
        "NotImplementedError: mlsql_model.save_model saved a session of TensorFlow 1; with TensorFlow 2, make the network",
    ),
    "arguments of the reader": (
        "train",
        """
rd = mlsql.read_data()
assert [len(rows) for rows in rd(max_records=1000, consume_threads=2, print_consume_time=True)] == [1000, 500]
assert sum(len(rows) for rows in rd()) == 1500
""",
        None,
    ),
    "rows": (
        "train",
        """
import json, pickle
rows = [row for rows in mlsql.read_data()(max_records=700) for row in rows]
row = rows[5]
assert row.label == row["label"] == row[1] == 1.0
assert row.features.toArray().tolist() == row["features"].toArray().tolist() == [5.0, 1.0]
assert row._c0 == "row 5" and row.count == 5 and "label" in row and "other" not in row
assert row.place.city == "Ulm" and row.place.at.toArray().tolist() == [5.0]
assert row.words["a"][0].n == 5
features, label, *_ = row
assert label == 1.0
assert list(row.asDict())[:2] == ["features", "label"] and row.asDict()["place"] is row.place
assert row.asDict(recursive=True)["words"] == {"a": [{"n": 5}]}
assert row.__fields__ == ("features", "label", "target", "count", "_c0", "place", "words")
assert pickle.loads(pickle.dumps(row)) == row and pickle.loads(pickle.dumps(row)).place.city == "Ulm"
assert "label=1.0" in repr(row)
for wrong in (lambda: row.labl, lambda: row["labl"]):
    try:
        wrong()
    except (AttributeError, KeyError) as error:
        assert "labl" in str(error)
    else:
        raise AssertionError
""",
        None,
    ),
    "lists of validation data": (
        "train",
        """
import numpy as np, pickle
X_test, y_test = mlsql.get_validate_data()
assert X_test and y_test and len(X_test) == len(y_test) == 1500
if not X_test: raise AssertionError
X, y = mlsql.sklearn_all_data()
assert X and bool(y) and X[0].tolist() == [0.0, 1.0] and not X[:0]
assert type(X + 1) is type(X == y.reshape(-1, 1)) is np.ndarray and type(X.sum()) is np.float64
assert type(pickle.loads(pickle.dumps(X))) is np.ndarray and np.shares_memory(np.asarray(X), X)
from sklearn.linear_model import LogisticRegression
model = LogisticRegression().fit(X, y)
assert type(pickle.loads(pickle.dumps(model)).coef_) is np.ndarray and model.score(X_test, y_test) >= 0.5
""",
        None,
    ),
    "batches": (
        "train",
        """
import numpy as np
sizes = []
def fit(X, y, label_size):
    assert X and y
    sizes.append((len(X), len(y), label_size))
mlsql.sklearn_batch_data(fit)
assert sizes == [(1000, 1000, -1), (500, 500, -1)]
""",
        None,
    ),
    "a model among other files": (
        "train",
        """
import os, mlsql_model
path = mlsql.params()["internalSystemParam"]["tempModelLocalPath"]
os.makedirs(path)
open(path + "/words.txt", "w").close()
mlsql_model.sk_save_model([1])
mlsql_model.sk_save_model([2])
assert sorted(os.listdir(path)) == ["model.pickle", "words.txt"] and mlsql_model.load(path) == [2]
""",
        None,
    ),
}


@pytest.mark.parametrize(("role", "source", "problem"), SCRIPTS.values(), ids=SCRIPTS)
def test_a_script_of_mlsql(run: Run, table: TableFiles, role: str, source: str, problem: str | None) -> None:
    ran = run(
        f"import mlsql\n{source}",
        role=role,
        files={"helpers.py": "", "words.txt": "a b"},
        fit_param={"alpha": "1"},
        data=table if role == "train" else None,
        validate=table if role == "train" else None,
        options={"threshold": "0.5"},
        train_options={"fitParam.0.alpha": "1"},
        model_path="/models/m",
    )
    if problem is None:
        assert ran.outcome.problem is None, ran.lines
    else:
        assert problem in ran.outcome.problem


def test_labels_of_vectors_are_used_as_vectors(run: Run, table: TableFiles) -> None:
    source = """
import mlsql, numpy as np
X, y = mlsql.get_validate_data()
assert y[4].toArray().tolist() == [0.0, 1.0, 0.0] and type(y[4].toArray()) is np.ndarray
assert [label.toArray().argmax() for label in y][:4] == [0, 1, 2, 0]
assert np.array(y).shape == mlsql.all_data()[1].shape == (1500, 3)
X, y = mlsql.sklearn_all_data()
assert y[-1].toArray().tolist() == [0.0, 0.0, 1.0]
"""
    ran = run(source, fit_param={"label": "target"}, data=table, validate=table)
    assert ran.outcome.problem is None, ran.lines


def test_without_validation_data_there_is_nothing(run: Run, table: TableFiles) -> None:
    source = """
import mlsql
X, y = mlsql.get_validate_data()
assert not X and not y and len(X) == 0 and not mlsql.validate_data and mlsql.raw_validate_data == []
"""
    ran = run(source, data=table)
    assert ran.outcome.problem is None, ran.lines


def test_rows_of_json_are_those_of_parquet(run: Run, tmp_path: Path, describe_table: Callable[..., TableFiles]) -> None:
    row = {"x": {"type": 1, "values": [1, 2]}, "y": {"a": None, "b": [1]}}
    (tmp_path / "rows").mkdir()
    (tmp_path / "rows/part-0.json").write_text(json.dumps(row) + "\n")
    schema = pa.schema({"x": VECTOR_TYPE, "y": pa.struct({"a": pa.string(), "b": pa.list_(pa.int64())})})
    source = """
import mlsql
(row,), = mlsql.read_data()()
assert row.x.toArray().tolist() == [1.0, 2.0] and row.y.a is None and row.y.b == [1]
"""
    ran = run(source, data=describe_table(tmp_path / "rows", "json", schema, 1))
    assert ran.outcome.problem is None, ran.lines
