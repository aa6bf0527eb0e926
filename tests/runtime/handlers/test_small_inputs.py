"""Small inputs from public reports of other tools, on a real SparkSession."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.tree import DecisionTreeClassifier
from support.estimators import model_of
from support.models import publish_model
from support.showing import shown
from support.workbench import RunPlan, Script

from mlsql_runtime import engine
from mlsql_runtime.plan import FunctionRef, Load, Plan, Register, Save, Select, Show, Statement, Train

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

NAMES = ("a.b", "c d", "e`f", "g,h", "größe", "select", "i'j", "k\\l", 'm"n', "100%", "#x", "$y")
TRAIN = "import mlsql, mlsql_model; X, y = mlsql.all_data(); mlsql_model.sk_save_model(X.shape[1])"
FRAME = "import mlsql, mlsql_model; mlsql_model.sk_save_model(list(mlsql.all_frame().columns))"
BOTH = "import mlsql, mlsql_model; mlsql_model.sk_save_model((mlsql.all_frame(), *mlsql.all_data()))"
FUNCTION = """
import python_fun, mlsql_model
def predict(X, model):
    {body}
python_fun.batch_udf(predict, load=mlsql_model.load, returns='{returns}', input='{takes}')
"""
PAIRS = Select(table="pairs", sql="select array(1.0D, id) as features, id % 2 as label from range(6)")


def fail(run_plan: RunPlan, *statements: Statement) -> dict[str, Any]:
    error = run_plan(*statements).error
    assert error is not None
    return dict(error)


@pytest.mark.parametrize(("takes", "trains"), [("matrix", TRAIN), ("frame", FRAME)])
def test_any_names_of_columns_and_any_model_path(
    run_plan: RunPlan, tmp_path: Path, script: Script, takes: str, trains: str
) -> None:
    """databricks/spark-csv#369, mlflow#4785, mlflow#4879."""
    columns = ", ".join(f"{at} + id as `{name.replace('`', '``')}`" for at, name in enumerate(NAMES))
    body = (
        "return [float(X.shape[1])] * len(X)"
        if takes == "matrix"
        else "return [float(list(X.columns) + ['the label'] == model)] * len(X)"
    )
    model = str(tmp_path / "m %20:+[x]{y}#ü")
    predict = script(FUNCTION.format(body=body, returns="double", takes=takes), "p.py")
    found = shown(
        run_plan,
        Select(table="d", sql=f"select {columns}, id % 2 as `the label` from range(6)"),
        Train(table="d", model_path=model, script_path=script(trains), feature_columns=NAMES, label_column="the label"),
        Register(model_path=model, script_path=predict, function="jack"),
        Select(
            table="o",
            sql="select distinct jack(struct(*)) as p from d",
            functions=(FunctionRef(name="jack", model_path=model, function="jack"),),
        ),
        Show(table="o"),
    )
    assert found.rows == ((12.0 if takes == "matrix" else 1.0,),)


@pytest.mark.parametrize(
    "job", ["dag.task/manual__2024-05-01T00:00:00+00:00", "d/a b/../../c", "d/[1]{x}*?", "größe/%2F#", "d" * 600]
)
def test_any_id_of_a_job(spark: SparkSession, tmp_path: Path, script: Script, job: str) -> None:
    """airflow#20063, airflow#36877, airflow#42679, airflow#63295, dagster#1964, digdag#729."""
    train = Train(table="pairs", model_path=str(tmp_path / "m"), script_path=script(TRAIN))
    engine.run(Plan(job_id=job, statements=(PAIRS, train)), spark).raise_for_error()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m", "script.py"]
    assert sorted(path.name for path in (tmp_path / "m").iterdir() if not path.name.startswith(("_claims", "_staging"))) == [
        "_model_1"
    ]


@pytest.mark.parametrize(
    ("body", "returns", "message"),
    [
        ("import sys; sys.exit('no rows for today')", "double", "function jack failed: no rows for today"),
        ("return [[1.0, None]] * len(X)", "array<double>", None),
        ("return [None] * len(X)", "array<double>", None),
        ("return [None] * len(X)", "double", None),
        ("import pandas; return pandas.DataFrame({'p': X[:, 0]})", "double", None),
    ],
)
def test_functions_that_exit_or_return_nulls(
    run_plan: RunPlan, tmp_path: Path, script: Script, body: str, returns: str, message: str | None
) -> None:
    """mlflow#8986, mlflow#719, SPARK-33339."""
    model = publish_model(tmp_path / "m", 2, pa.table({"features": [[1.0, 0.0], [1.0, 1.0]], "label": [0, 1]}), label="label")
    register = Register(
        model_path=model, script_path=script(FUNCTION.format(body=body, returns=returns, takes="matrix"), "p.py"), function="jack"
    )
    if message is None:
        run_plan(register).raise_for_error()
        return
    error = fail(run_plan, register)
    assert (error["kind"], error["statement"]) == ("ScriptFailed", 1)
    assert message in error["message"]


def test_timestamps_in_nanoseconds(run_plan: RunPlan, tmp_path: Path) -> None:
    """SPARK-40819: pandas wrote them."""
    pq.write_table(pa.table({"t": pa.array([1], pa.timestamp("ns"))}), tmp_path / "x.parquet")
    error = fail(run_plan, Load(table="t", format="parquet", path=str(tmp_path / "x.parquet")))
    assert (error["kind"], error["statement"]) == ("InputError", 1)
    assert "timestamps in microseconds" in error["message"]


def test_a_query_that_is_too_long_or_a_folder_without_data(run_plan: RunPlan, tmp_path: Path) -> None:
    """SPARK-13657, SPARK-47741."""
    error = fail(run_plan, Select(table="t", sql=f"select {' + '.join(['1'] * 20_000)}"))
    assert (error["kind"], error["statement"]) == ("InputError", 1)
    assert "[FAILED_TO_PARSE_TOO_COMPLEX]" in error["message"]
    assert len(error["message"]) < 500
    error = fail(run_plan, Load(table="t", format="json", path=str(tmp_path)))
    assert error["kind"] == "InputError"
    assert "check that there are data at the path" in error["message"]


def test_columns_that_occur_twice(run_plan: RunPlan, tmp_path: Path, script: Script) -> None:
    twice = Select(table="d", sql="select array(1.0, 2.0) as features, 1 as label, 2 as LABEL from range(3)")
    error = fail(run_plan, twice, Train(table="d", model_path=str(tmp_path / "m"), script_path=script(TRAIN)))
    assert error["kind"] == "InputError"
    assert "give each column a name of its own" in error["message"]
    error = fail(run_plan, twice, Save(table="d", format="parquet", path=str(tmp_path / "o")))
    assert (error["kind"], error["statement"]) == ("InputError", 2)


def test_values_of_partitions_with_special_characters(run_plan: RunPlan, tmp_path: Path) -> None:
    path = str(tmp_path / "o")
    rows = Select(table="d", sql="select id, concat('a/b:c=[', id, ']%{*}ü') as p from range(2)")
    save = Save(table="d", format="parquet", path=path, partition_by=("p",))
    found = shown(run_plan, rows, save, Load(table="e", format="parquet", path=path), Show(table="e"))
    assert sorted(found.rows) == [(0, "a/b:c=[0]%{*}ü"), (1, "a/b:c=[1]%{*}ü")]


@pytest.mark.parametrize("kind", ["int", "boolean", "decimal(3, 1)", "string", "tinyint", "date"])
def test_labels_of_any_type_train_in_frames_and_matrices(run_plan: RunPlan, tmp_path: Path, script: Script, kind: str) -> None:
    """scikit-learn#17675, scikit-learn#24355, scikit-learn#25073: "Unknown label type" of nullable and object labels."""
    value = "date'2024-01-01' + cast(id % 2 as int)" if kind == "date" else f"cast(id % 2 as {kind})"
    table = Select(table="d", sql=f"select cast(id as double) as x, {value} as y from range(6)")
    train = Train(table="d", model_path=str(tmp_path / "m"), script_path=script(BOTH), feature_columns=("x",), label_column="y")
    run_plan(table, train).raise_for_error()
    frame, X, y = model_of(tmp_path / "m", 0)
    labels = frame["y"]
    if kind == "date":
        labels, y = labels.astype(str), y.astype(str)
    assert [len(DecisionTreeClassifier().fit(*rows).classes_) for rows in ((frame[["x"]], labels), (X, y))] == [2, 2]


def test_vectors_of_two_widths_are_one_error(run_plan: RunPlan, tmp_path: Path, script: Script) -> None:
    narrow = Select(table="narrow", sql="select vec_dense(array(1.0)) as features, 1.0 as label")
    train = Train(table="data", model_path=str(tmp_path / "m"), script_path=script(TRAIN), validate_table="narrow")
    error = fail(run_plan, narrow, train)
    assert (error["kind"], error["statement"]) == ("DataError", 2)
    assert error["message"] == (
        "expected feature vectors of one width, got 692 in the training table and 1 in the validation table; for libsvm files, "
        "give each load the option numFeatures"
    )


def test_batches_of_no_row_and_of_one(run_plan: RunPlan, tmp_path: Path, script: Script) -> None:
    """mlflow#6063, SPARK-42250: empty partitions, and one row of which NumPy made a scalar."""
    model = str(tmp_path / "m")
    body = "import numpy; assert len(X); return numpy.squeeze(X[:, 1])"
    found = shown(
        run_plan,
        PAIRS,
        Train(table="pairs", model_path=model, script_path=script(TRAIN)),
        Register(
            model_path=model,
            script_path=script(FUNCTION.format(body=body, returns="double", takes="matrix"), "p.py"),
            function="jack",
        ),
        Select(
            table="o",
            sql="select jack(features) as p from (select /*+ REPARTITION(5) */ * from pairs where features[1] = 3)",
            functions=(FunctionRef(name="jack", model_path=model, function="jack"),),
        ),
        Show(table="o"),
    )
    assert found.rows == ((3.0,),)


def test_hundreds_of_columns(run_plan: RunPlan, tmp_path: Path, script: Script) -> None:
    """koalas#745, sparkling-water#485: Python has no function of more than 255 arguments, the JVM none of 64 KB."""
    names = tuple(f"c{number}" for number in range(300))
    table = Select(
        table="d", sql=f"select {', '.join(f'id + {at} as {name}' for at, name in enumerate(names))}, id as y from range(3)"
    )
    model, functions = str(tmp_path / "m"), (FunctionRef(name="jack", model_path=str(tmp_path / "m"), function="jack"),)
    predict = script(FUNCTION.format(body="return X[:, -1]", returns="double", takes="matrix"), "p.py")
    found = shown(
        run_plan,
        table,
        Train(table="d", model_path=model, script_path=script(TRAIN), feature_columns=names, label_column="y"),
        Register(model_path=model, script_path=predict, function="jack"),
        Select(
            table="o", sql=f"select jack(struct(*)) as a, jack({', '.join(names)}) as b from d order by y", functions=functions
        ),
        Show(table="o"),
    )
    assert found.rows == ((299.0, 299.0), (300.0, 300.0), (301.0, 301.0))


def test_nulls_reach_functions_over_frames(run_plan: RunPlan, tmp_path: Path, script: Script) -> None:
    """mlflow#4827: None in a column of text, of numbers, and of all rows."""
    model = str(tmp_path / "m")
    body = "return [f'{row.isna().sum()} {list(X.columns)}' for _, row in X.iterrows()]"
    rows = "select * from values ('a', 1, null, 0.0D), (null, null, null, 1.0D) as t(t, n, v, y)"
    found = shown(
        run_plan,
        Select(table="d", sql=f"select t, n, cast(v as double) as v, y from ({rows})"),
        Train(table="d", model_path=model, script_path=script(FRAME), feature_columns=("t", "n", "v"), label_column="y"),
        Register(
            model_path=model,
            script_path=script(FUNCTION.format(body=body, returns="string", takes="frame"), "p.py"),
            function="jack",
        ),
        Select(
            table="o",
            sql="select jack(struct(*)) as p from d order by y",
            functions=(FunctionRef(name="jack", model_path=model, function="jack"),),
        ),
        Show(table="o"),
    )
    assert found.rows == (("1 ['t', 'n', 'v']",), ("3 ['t', 'n', 'v']",))
