"""The functions by which a script reads its table: rows, batches, matrices."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mlsql_runtime.errors import DataError
from mlsql_runtime.feed.decoding.vectors import VECTOR_TYPE
from mlsql_runtime.feed.files.table import TableFiles
from mlsql_runtime.store.signature import Column, Signature

Run = Callable[..., Any]
ImportMlsql = Callable[..., Any]
Tables = dict[str, TableFiles]
ROWS = 150
SCHEMA = pa.schema([("features", VECTOR_TYPE), ("label", pa.float64())])
WANTED_X = [[float(i), i + 0.5, -float(i)] for i in range(ROWS)]
WANTED_Y = [float(i % 3) for i in range(ROWS)]


def write_json(folder: Path, rows: list[dict[str, Any]], files: int = 2) -> None:
    folder.mkdir()
    for part in range(files):
        lines = [json.dumps(row) + "\n" for row in rows[part * len(rows) // files : (part + 1) * len(rows) // files]]
        (folder / f"part-{part:05}.json").write_text("".join(lines))
    (folder / "_SUCCESS").touch()


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory, describe_table: Callable[..., TableFiles]) -> Tables:
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


def test_a_script_reads_its_table_and_its_validation_table(run: Run, tables: Tables) -> None:
    source = """
import json, mlsql
(X, y), (X_test, y_test) = mlsql.all_data(), mlsql.get_validate_data()
rows = [row for batch in mlsql.read_data()() for row in batch]
assert [row["features"].toArray().tolist() for row in rows] == X.tolist()
assert [len(part) for part, _ in mlsql.read_batches(40)] == [40, 40, 40, 30]
print(json.dumps([X.tolist(), y.tolist(), X_test.tolist(), y_test.tolist()]))
"""
    ran = run(source, data=tables["dense"], validate=tables["validate"])
    assert ran.outcome.problem is None, ran.lines
    assert json.loads("".join(ran.lines)) == [WANTED_X, WANTED_Y, WANTED_X[:7], WANTED_Y[:7]]


def test_rows_are_read_in_exact_batches_again_and_again(import_mlsql: ImportMlsql, tables: Tables) -> None:
    rd = import_mlsql(data=tables["dense"]).read_data()
    lengths = {1: [1] * 150, 30: [30] * 5, 64: [64, 64, 22], 1000: [150], None: [64, 64, 22]}
    for size, expected in lengths.items():
        batches = list(rd(max_records=size) if size else rd())
        rows = [row for batch in batches for row in batch]
        assert [len(batch) for batch in batches] == expected
        assert [row["features"].toArray().tolist() for row in rows] == WANTED_X
        assert [row["label"] for row in rows] == WANTED_Y
        assert [sorted(rows[0].asDict()), len(rows[0])] == [["features", "label"], 2]


def test_a_batch_size_below_1_is_refused(import_mlsql: ImportMlsql, tables: Tables) -> None:
    with pytest.raises(ValueError, match="max_records is 0"):
        list(import_mlsql(data=tables["dense"]).read_data()(0))


def wanted(table: str) -> tuple[list[list[float]], list[float], list[int]]:
    """Features, labels, and the lengths of batches of 32."""
    if table == "dense":
        return WANTED_X, WANTED_Y, [32, 32, 32, 32, 22]
    X = np.eye(40, 100)
    X[:, 99] = 2.0
    return X.tolist(), [float(i % 2) for i in range(40)], [32, 8]


def as_lists(X: Any) -> Any:
    return np.asarray(X.todense() if hasattr(X, "todense") else X).tolist()


@pytest.mark.parametrize(("table", "unasked"), [("dense", "ndarray"), ("sparse", "csr_matrix")])
def test_matrices_are_sparse_as_the_data_are_or_as_asked(
    import_mlsql: ImportMlsql, tables: Tables, table: str, unasked: str
) -> None:
    mlsql = import_mlsql(data=tables[table])
    wanted_X, wanted_y, lengths = wanted(table)
    for sparse, kind in {None: unasked, True: "csr_matrix", False: "ndarray"}.items():
        X, y = mlsql.all_data(sparse=sparse)
        batches = list(mlsql.read_batches(32, sparse=sparse))
        assert {type(found).__name__ for found in [X, *(part for part, _ in batches)]} == {kind}
        assert (as_lists(X), y.tolist()) == (wanted_X, wanted_y)
        assert [part.shape[0] for part, _ in batches] == lengths
        assert [row for part, _ in batches for row in as_lists(part)] == wanted_X
        assert np.concatenate([part for _, part in batches]).tolist() == wanted_y


def test_sklearn_all_data_is_dense(import_mlsql: ImportMlsql, tables: Tables) -> None:
    X, y = import_mlsql(data=tables["sparse"]).sklearn_all_data()
    assert isinstance(X, np.ndarray)
    assert (X.shape, y.shape, X[:, 99].sum()) == ((40, 100), (40,), 80.0)


@pytest.mark.parametrize(
    ("fit_param", "lengths", "label_size"),
    [({}, [150], -1), ({"batchSize": "100", "labelSize": "3"}, [100, 50], 3)],
)
def test_sklearn_batches(
    import_mlsql: ImportMlsql, tables: Tables, fit_param: dict[str, str], lengths: list[int], label_size: int
) -> None:
    found: list[Any] = []
    mlsql = import_mlsql(data=tables["dense"], fit_param=fit_param)
    mlsql.sklearn_batch_data(lambda X, y, size: found.append([isinstance(X, np.ndarray), len(X), len(y), size]))
    assert found == [[True, length, length, label_size] for length in lengths]


def test_labels_that_do_not_fit_label_size_are_named(import_mlsql: ImportMlsql, tables: Tables) -> None:
    from sklearn.linear_model import SGDClassifier

    def fit(X: Any, y: Any, size: int) -> None:
        SGDClassifier().partial_fit(X, y, classes=range(size))

    def fail(X: Any, y: Any, size: int) -> None:
        raise ValueError("no luck")

    few = import_mlsql(data=tables["dense"], fit_param={"labelSize": "1"})
    with pytest.raises(ValueError, match=r"^labelSize is 1, so labels are 0 to 0, but the table has 1\.0.*: .*classes"):
        few.sklearn_batch_data(fit)
    with pytest.raises(ValueError, match=r"^no luck$"):
        import_mlsql(data=tables["dense"]).sklearn_batch_data(fail)
    with pytest.raises(ValueError, match=r"^no luck$"):
        import_mlsql(data=tables["dense"], fit_param={"labelSize": "99"}).sklearn_batch_data(fail)


def test_columns_are_named_by_fit_parameters(import_mlsql: ImportMlsql, tables: Tables) -> None:
    X, y = import_mlsql(data=tables["renamed"], fit_param={"inputCol": "x", "label": "y"}).all_data()
    assert (X.tolist(), y.tolist()) == (WANTED_X[:5], WANTED_Y[:5])


def test_a_table_without_labels_has_none(import_mlsql: ImportMlsql, tables: Tables) -> None:
    X, y = import_mlsql(data=tables["unlabelled"]).all_data()
    assert (X.tolist(), y) == (WANTED_X[:5], None)


@pytest.mark.parametrize("fit_param", [{"label": "labl"}, {"inputCol": "featurs"}])
def test_a_column_that_is_not_there_is_an_error(import_mlsql: ImportMlsql, tables: Tables, fit_param: dict[str, str]) -> None:
    with pytest.raises(DataError, match="did you mean"):
        import_mlsql(data=tables["dense"], fit_param=fit_param).all_data()


@pytest.mark.parametrize(
    ("validate", "shapes"), [("validate", ((7, 3), (7,))), ("empty", ((0, 0), (0,))), (None, ((0, 0), (0,)))]
)
def test_validation_data(
    import_mlsql: ImportMlsql, tables: Tables, validate: str | None, shapes: tuple[tuple[int, int], tuple[int]]
) -> None:
    X, y = import_mlsql(data=tables["dense"], validate=tables[validate] if validate else None).get_validate_data()
    assert (X.shape, y.shape) == shapes
    assert (X.tolist(), y.tolist()) == (WANTED_X[: len(X)], WANTED_Y[: len(y)])


def test_fewer_rows_than_spark_wrote_are_an_error(import_mlsql: ImportMlsql, tables: Tables) -> None:
    mlsql = import_mlsql(data=replace(tables["dense"], rows=151))
    with pytest.raises(DataError, match=r"151.*150"):
        list(mlsql.read_data()())


def test_scripts_of_other_roles_have_no_training_data(import_mlsql: ImportMlsql) -> None:
    with pytest.raises(RuntimeError, match="a register script has no training data"):
        import_mlsql(role="register").all_data()


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


def test_a_loop_that_reports_its_progress_does_not_fill_the_log(run: Run) -> None:
    ran = run("import mlsql\nfor step in range(100_001): mlsql.progress(step, 100_000)")
    assert (ran.lines[0], ran.lines[-1]) == ("progress: 0 of 100000 (0%)", "progress: 100000 of 100000 (100%)")
    assert len(ran.lines) < 1000


PEOPLE = pa.table(
    {"Age": [30, None, 50], "score": [0.5, 1.5, 2.5], "city": ["a", None, "c"], "n": [1, 2, 3], "Churned": [1, 0, 1]}
)
CHURN = Signature(
    features=(Column(name="score", type="double"), Column(name="n", type="bigint")),
    label=Column(name="Churned", type="bigint"),
    classes=(0, 1),
)


@pytest.fixture
def people(tmp_path: Path, describe_table: Callable[..., TableFiles]) -> TableFiles:
    (tmp_path / "people").mkdir()
    pq.write_table(PEOPLE, tmp_path / "people/part-0.parquet")
    described: TableFiles = describe_table(tmp_path / "people", "parquet", PEOPLE.schema, 3)
    return described


def test_frames_have_the_columns_of_the_training(import_mlsql: ImportMlsql, people: TableFiles) -> None:
    mlsql = import_mlsql(data=people, validate=people, signature=CHURN, columns=("score", "n", "Churned"))
    assert (mlsql.feature_columns, mlsql.label_column, mlsql.signature()) == (["score", "n"], "Churned", CHURN)
    frame = mlsql.all_frame()
    assert {name: str(kind) for name, kind in frame.dtypes.items()} == {"score": "float64", "n": "Int64", "Churned": "int64"}
    assert [len(part) for part in mlsql.read_frames(2)] == [2, 1]
    assert mlsql.get_validate_frame().equals(frame)
    assert [batch.schema.names for batch in mlsql.read_arrow()] == [["score", "n", "Churned"]]
    X, y = mlsql.all_data()
    assert (X.tolist(), y.tolist()) == ([[0.5, 1], [1.5, 2], [2.5, 3]], [1, 0, 1])
    assert (mlsql.get_validate_data()[0] == X).all()


def test_without_named_columns_frames_have_all(import_mlsql: ImportMlsql, people: TableFiles) -> None:
    mlsql = import_mlsql(data=people)
    assert (mlsql.feature_columns, mlsql.label_column, mlsql.signature()) == ([], None, None)
    assert list(mlsql.all_frame().columns) == PEOPLE.column_names
    assert (list(mlsql.get_validate_frame().columns), len(mlsql.get_validate_frame())) == (PEOPLE.column_names, 0)
    with pytest.raises(ValueError, match="max_records is 0"):
        next(mlsql.read_frames(0))


def test_columns_are_found_in_either_case(import_mlsql: ImportMlsql, people: TableFiles) -> None:
    X, y = import_mlsql(data=people, fit_param={"inputCol": "SCORE", "label": "churned"}).all_data()
    assert (X.tolist(), y.tolist()) == ([[0.5], [1.5], [2.5]], [1, 0, 1])


def test_text_among_the_features_is_an_error_that_says_what_to_do(import_mlsql: ImportMlsql, people: TableFiles) -> None:
    signature = replace(CHURN, features=(*CHURN.features, Column(name="city", type="string")))
    with pytest.raises(DataError, match=r"column 'city' is of type string; .*use frames.*or a built-in algorithm"):
        import_mlsql(data=people, signature=signature).all_data()
