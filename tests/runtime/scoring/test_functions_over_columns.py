"""Functions over columns in SQL: each row gets what scikit-learn predicts for it, whichever way its columns are passed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn import datasets
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from support.estimators import model_of
from support.models import publish_model
from support.predict_scripts import OVER_COLUMNS, error_of, registered
from support.workbench import RunPlan, Script

from mlsql_runtime.plan import FileFeed, FunctionRef, KafkaFeed, Load, Register, Select, Train

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from mlsql_runtime.kafka.settings import KafkaSettings

BOTH = "p = model.predict_proba(X); return {'label': model.classes_[p.argmax(axis=1)], 'probability': p.max(axis=1)}"
STRUCT = "struct<label: string, probability: double>"


def quote(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


# -- the tables of scikit-learn

READ = """
import mlsql
import mlsql_model

frame = mlsql.all_frame()
data = {"frame": (frame[mlsql.feature_columns], frame[mlsql.label_column]), "matrix": mlsql.all_data()}
"""
TRAIN = """
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

def fit(X, y):
    estimator = LogisticRegression(max_iter=1000) if y.dtype == object else LinearRegression()
    return make_pipeline(StandardScaler(), estimator).fit(X, y)

models = {takes: fit(X, y) for takes, (X, y) in data.items()}
mlsql_model.sk_save_model((data, models))
"""
KEEP = "mlsql_model.sk_save_model(data)"


@pytest.mark.parametrize("name", ["iris", "wine", "breast_cancer", "diabetes"])
def test_predictions_are_those_of_scikit_learn_by_position_and_by_name(
    run_plan: RunPlan, spark: SparkSession, script: Script, tmp_path: Path, kafka_settings: KafkaSettings, name: str
) -> None:
    """Two models are trained through Kafka, on a frame and on a matrix, which are the same through files."""
    found = getattr(datasets, f"load_{name}")(as_frame=True)
    is_class = hasattr(found, "target_names")
    table = found.data.assign(label=found.target_names[found.target] if is_class else found.target)
    pq.write_table(pa.Table.from_pandas(table, preserve_index=False), tmp_path / "table.parquet")
    load = Load(table="t", format="parquet", path=str(tmp_path / "table.parquet"))
    names = list(found.data.columns)
    kafka, files = (
        Train(
            table="t",
            model_path=str(tmp_path / way),
            script_path=script(READ + source, f"{way}.py"),
            feature_columns=tuple(names),
            label_column="label",
            feed=feed,
        )
        for way, source, feed in (
            ("kafka", TRAIN, KafkaFeed(topic="columns", settings=kafka_settings.public)),
            ("files", KEEP, FileFeed()),
        )
    )
    columns, reordered = quote(names), ", ".join(f"'{name}', `{name}`" for name in reversed(names))
    registers, calls = [], []
    for takes in ("matrix", "frame"):
        body = f"return model[1][{takes!r}].predict(X)"
        file = script(
            OVER_COLUMNS.format(body=body, takes=takes, returns="string" if is_class else "double"), f"predict_{takes}.py"
        )
        registers.append(Register(model_path=kafka.model_path, function=takes, script_path=file))
        calls += [f"{takes}({columns})", f"{takes}(struct(*))", f"{takes}(named_struct({reordered}))"]
    aliases = [f"{call} as p{place}" for place, call in enumerate(calls)]
    query = Select(table="out", sql=f"select *, {', '.join(aliases)} from t")
    run_plan(load, kafka, files, *registers, query).raise_for_error()
    data, models = model_of(tmp_path / "kafka", 0)
    through_files = model_of(tmp_path / "files", 0)
    for read, same in zip(data["frame"], through_files["frame"], strict=True):
        assert read.equals(same)
    for read, same in zip(data["matrix"], through_files["matrix"], strict=True):
        np.testing.assert_array_equal(read, same)
    out = spark.table("out").toPandas()
    assert len(out) == len(table)
    predicted = models["matrix"].predict(out[names].to_numpy()), models["frame"].predict(out[names])
    for place in range(len(calls)):
        np.testing.assert_array_equal(out[f"p{place}"].to_numpy(), predicted[place // 3])


# -- a table of every kind of column


PEOPLE = pd.DataFrame(
    {
        "age": pd.array([20, 30, 40, 50, 60, None] * 10, dtype="Int32"),
        "income": [1.5, 2.5, None, 4.5, 5.5, 6.5] * 10,
        "city": ["Rome", "Oslo", "Rome", None, "Bern", "Oslo"] * 10,
        "churned": ["yes", "no", "no", "yes", "yes", "no"] * 10,
    }
)
NAMES = ["age", "income", "city"]


def to_floats(frame: pd.DataFrame) -> pd.DataFrame:
    """As scikit-learn takes it: no nullable types."""
    return frame.assign(age=frame["age"].astype(float), city=frame["city"].fillna("?"))


@pytest.fixture(scope="session")
def churn(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Any]:
    """A model of mixed columns with missing values, and its path."""
    columns = ColumnTransformer(
        [("numbers", SimpleImputer(), ["age", "income"]), ("text", OneHotEncoder(handle_unknown="ignore"), ["city"])]
    )
    model = make_pipeline(columns, LogisticRegression()).fit(to_floats(PEOPLE[NAMES]), PEOPLE["churned"])
    table = pa.Table.from_pandas(PEOPLE, preserve_index=False)
    return publish_model(tmp_path_factory.mktemp("churn") / "m", model, table, label="churned"), model


PREPARED = "X = X.assign(age=X['age'].astype(float), city=X['city'].fillna('?')); "


@pytest.fixture(scope="module")
def people(spark: SparkSession) -> Iterator[pd.DataFrame]:
    """The view ``people``, of the rows with an id."""
    from pyspark.sql.types import DoubleType, IntegerType, StringType, StructField, StructType

    types = (IntegerType(), IntegerType(), DoubleType(), StringType(), StringType())
    schema = StructType([StructField(name, kind) for name, kind in zip(["id", *PEOPLE.columns], types, strict=True)])
    cells = PEOPLE.astype(object).where(PEOPLE.notna(), None).to_numpy().tolist()
    rows = spark.createDataFrame([(row, *values) for row, values in enumerate(cells)], schema)
    rows.coalesce(1).createOrReplaceTempView("people")
    yield PEOPLE
    spark.catalog.dropTempView("people")


Serve = Callable[..., FunctionRef]


@pytest.fixture(scope="module")
def serve(run_plan: RunPlan, churn: tuple[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Serve:
    """``serve(function, body, returns)`` registers a function of the churn model over frames, which queries call ``jack``."""

    def register(function: str, body: str, returns: str) -> FunctionRef:
        file = tmp_path_factory.mktemp("serve") / "predict.py"
        file.write_text(OVER_COLUMNS.format(body=PREPARED + body, takes="frame", returns=returns))
        registered(run_plan(Register(model_path=churn[0], function=function, script_path=str(file))))
        return FunctionRef(name="jack", model_path=churn[0], function=function)

    return register


@pytest.fixture(scope="module")
def labels(serve: Serve) -> FunctionRef:
    """The function that returns the label that the churn model predicts."""
    return serve("labels", "return model.predict(X)", "string")


def test_a_struct_result_has_fields_and_text_is_text(
    run_plan: RunPlan, spark: SparkSession, people: pd.DataFrame, churn: tuple[str, Any], serve: Serve
) -> None:
    jack = serve("both", BOTH, STRUCT)
    where = "jack(struct(*)).label = 'yes' and jack(age, income, city).probability > 0.6"
    sql = f"select id, jack(struct(*)) as p from people where {where}"
    run_plan(Select(table="out", sql=sql, functions=(jack,))).raise_for_error()
    frame = to_floats(people[NAMES])
    labels, best = churn[1].predict(frame), churn[1].predict_proba(frame).max(axis=1)
    expected = {(row, best[row]) for row in range(len(frame)) if labels[row] == "yes" and best[row] > 0.6}
    assert 0 < len(expected) < len(frame)
    assert spark.table("out").dtypes == [("id", "int"), ("p", "struct<label:string,probability:double>")]
    assert {(row.id, row.p.probability) for row in spark.table("out").collect()} == expected
    assert {row.p.label for row in spark.table("out").collect()} == {"yes"}


def test_text_is_compared_as_text(
    run_plan: RunPlan, spark: SparkSession, people: pd.DataFrame, churn: tuple[str, Any], labels: FunctionRef
) -> None:
    sql = "select id from people where jack(age, income, city) = 'yes'"
    run_plan(Select(table="out", sql=sql, functions=(labels,))).raise_for_error()
    predicted = churn[1].predict(to_floats(people[NAMES]))
    assert {row.id for row in spark.table("out").collect()} == set(np.flatnonzero(predicted == "yes").tolist())


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("select jack(age, income) from people", "2 columns, expected 3"),
        ("select jack(income, age, city) from people", "argument 1 is the column 'income', expected 'age'; argument 2 is"),
        ("select jack(age, income, id) from people", "'city', argument 3, is int, expected string"),
        ("select jack(struct(age, income)) from people", "'city' is missing"),
        ("select jack(struct(age, income as incme, city)) from people", "'income' is missing, the nearest is 'incme'"),
        ("select jack(struct(age, income, city, city)) from people", "'city' occurs 2 times"),
        ("select jack(struct(bigint(age) as age, income, city)) from people", "'age' is bigint, expected int"),
        ("select jack(struct(age, string(income) as income, city)) from people", "'income' is string, expected double"),
        ("select jack() from people", "0 columns, expected 3; expected age int, income double, city string"),
        ("select * from people where (select max(jack(age)) from people) = 'yes'", "1 column, expected 3"),
        ("select * from people p where exists (select 1 from people q where jack(q.age) = 'yes')", "1 column, expected 3"),
        ("with t as (select jack(age) as p from people) select a.p from t a join t b on a.p = b.p", "1 column, expected 3"),
        ("select count(*) from people group by jack(age)", "1 column, expected 3"),
        ("select id from people order by upper(jack(age)) limit 3", "1 column, expected 3"),
        ("select 1 union all select jack(age) from people", "1 column, expected 3"),
        ("select sum(id) over (partition by jack(age)) from people", "1 column, expected 3"),
    ],
)  # fmt: skip
def test_wrong_columns_are_an_error_before_any_row_is_scored(
    run_plan: RunPlan, people: pd.DataFrame, labels: FunctionRef, sql: str, message: str
) -> None:
    kind, found = error_of(run_plan(Select(table="out", sql=sql, functions=(labels,))))
    assert kind == "InputError"
    assert found.startswith("function labels is called with ")
    assert message in found


@pytest.mark.parametrize(
    "sql",
    [
        "select id, jack(age, income, city) as p from people",
        "select id, jack(smallint(age), float(income), city) as p from people",
        "select id, jack(struct(people.*, 1 as more)) as p from people",
        "select id, jack(struct(CITY, Income, AGE)) as p from people",
        "with t as (select * from people) select id, jack(struct(*)) as p from t",
        "select id, (select max(jack(age, income, city)) from people q where q.id = p.id) as p from people p",
        "select id, coalesce(upper(jack(a, b, c)), '') as p from (select id, age as a, income as b, city as c from people)",
    ],
)
def test_ways_to_call(
    run_plan: RunPlan, spark: SparkSession, people: pd.DataFrame, churn: tuple[str, Any], labels: FunctionRef, sql: str
) -> None:
    run_plan(Select(table="out", sql=sql, functions=(labels,))).raise_for_error()
    found = {row.id: row.p.lower() for row in spark.table("out").collect()}
    assert found == dict(enumerate(churn[1].predict(to_floats(people[NAMES]))))


def test_tables_of_earlier_statements_keep_their_functions(
    run_plan: RunPlan, spark: SparkSession, people: pd.DataFrame, churn: tuple[str, Any], labels: FunctionRef, script: Script
) -> None:
    """The second query has another function of the name, which takes other columns."""
    twice = pa.table({"x": [1.0, 2.0, 3.0]})
    path = publish_model(Path(script("")).parent / "other", 2.0, twice)
    source = OVER_COLUMNS.format(body="return X[:, 0] * model", takes="matrix", returns="double")
    registered(run_plan(Register(model_path=path, function="doubled", script_path=script(source))))
    other = FunctionRef(name="jack", model_path=path, function="doubled")
    run_plan(
        Select(table="inner", sql="select *, jack(age, income, city) as p from people", functions=(labels,)),
        Select(table="middle", sql="select * from inner where p = 'yes'"),
        Select(table="out", sql="select id, p, jack(double(id)) as twice from middle", functions=(other,)),
    ).raise_for_error()
    rows = spark.table("out").collect()
    predicted = churn[1].predict(to_floats(people[NAMES]))
    assert {(row.id, row.p, row.twice) for row in rows} == {
        (int(row), "yes", 2.0 * row) for row in np.flatnonzero(predicted == "yes")
    }


# -- what the worker finds


def test_a_worker_checks_what_it_gets(run_plan: RunPlan, spark: SparkSession, people: pd.DataFrame, labels: FunctionRef) -> None:
    """A query that the driver did not check, as one of the session's own."""
    from mlsql_runtime.spark_errors import translate

    run_plan(Select(table="out", sql="select 1", functions=(labels,))).raise_for_error()
    with pytest.raises(Exception, match="Python worker") as caught:
        spark.sql("select jack(age, income, id) from people").collect()
    assert "'city', argument 3, is int, expected string" in translate(caught.value).message
    with pytest.raises(Exception, match="Python worker") as caught:
        spark.sql("select jack(age => age, income => income, city => city) from people").collect()
    assert translate(caught.value).message == (
        "function labels takes columns in their order, or a struct, got arguments named age, income, city"
    )


def test_calls_in_one_query_share_a_python_worker(
    run_plan: RunPlan, spark: SparkSession, people: pd.DataFrame, labels: FunctionRef
) -> None:
    """Each operator of a plan that calls Python has a worker of its own in each task, with a model of its own."""
    calls = "jack(age, income, city) as a, upper(jack(struct(*))) as b"
    run_plan(Select(table="out", sql=f"select {calls} from people", functions=(labels,))).raise_for_error()
    table = spark.table("out")
    assert {tuple(row) for row in table.collect()} == {("yes", "YES"), ("no", "NO")}
    assert table._jdf.queryExecution().executedPlan().toString().count("ArrowEvalPython") == 1


def test_times_that_another_function_returns_are_in_the_zone_of_the_session(
    run_plan: RunPlan, spark: SparkSession, script: Script, tmp_path: Path
) -> None:
    path = publish_model(tmp_path / "m", None, pa.table({"t": pa.array([0, 1], pa.timestamp("us", "UTC"))}))
    same = script(OVER_COLUMNS.format(body="return X['t']", takes="frame", returns="timestamp"), "same.py")
    hour = script(OVER_COLUMNS.format(body="return X['t'].dt.hour", takes="frame", returns="int"), "hour.py")
    zone = spark.conf.get("spark.sql.session.timeZone")
    spark.conf.set("spark.sql.session.timeZone", "Asia/Kolkata")
    try:
        run_plan(
            Register(model_path=path, function="same", script_path=same),
            Register(model_path=path, function="hour_of", script_path=hour),
            Select(table="out", sql="select hour_of(t), hour_of(same(t)) from (select timestamp'2024-01-01 12:30:00' as t)"),
        ).raise_for_error()
        assert [tuple(row) for row in spark.table("out").collect()] == [(12, 12)]
    finally:
        spark.conf.set("spark.sql.session.timeZone", zone)


def test_vectors_and_arrays_are_rows_of_a_matrix(run_plan: RunPlan, spark: SparkSession, script: Script, tmp_path: Path) -> None:
    path = publish_model(tmp_path / "m", None, pa.table({"x": [1.0, 2.0], "y": [2.0, 3.0]}))
    source = OVER_COLUMNS.format(body="return X[:, 0] - X[:, 1]", takes="matrix", returns="double")
    calls = ("jack(x, y)", "jack(array(x, y))", "jack(vec_dense(array(x, y)))", "jack(struct(y, x))", "jack(array(x, null))")
    run_plan(
        Register(model_path=path, function="jack", script_path=script(source)),
        Select(table="out", sql=f"select {', '.join(calls)} from (select 3.0D as x, 0.1 as y)"),
    ).raise_for_error()
    assert [tuple(row) for row in spark.table("out").collect()] == [(2.9, 2.9, 2.9, 2.9, None)]
