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
from support.predict_scripts import error_of, registered
from support.workbench import RunPlan, Script

from mlsql_runtime.plan import FileFeed, FunctionRef, KafkaFeed, Load, Register, Select, Train

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from mlsql_runtime.kafka.settings import KafkaSettings

SCRIPT = """
import python_fun

def predict(X, model):
    {body}

python_fun.batch_udf(predict, input={takes!r}, returns={returns!r})
"""
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
        file = script(SCRIPT.format(body=body, takes=takes, returns="string" if is_class else "double"), f"predict_{takes}.py")
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
        file.write_text(SCRIPT.format(body=PREPARED + body, takes="frame", returns=returns))
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
    source = SCRIPT.format(body="return X[:, 0] * model", takes="matrix", returns="double")
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


RETURNED = {
    "vector": "return X",
    "struct<a: double>": "return {'a': X[:, 0]}",
    "array<double>": "return X",
    "string": "return ['a'] * len(X)",
}


@pytest.fixture(scope="module")
def returning(run_plan: RunPlan, tmp_path_factory: pytest.TempPathFactory) -> dict[str, FunctionRef]:
    """A function of each type of ``RETURNED``, which queries call ``jack``."""
    folder = tmp_path_factory.mktemp("returning")
    path = publish_model(folder / "m", None, pa.table({"x": [1.0, 2.0], "y": [1.0, 2.0]}))
    functions = {returns: f"f{place}" for place, returns in enumerate(RETURNED)}
    for returns, function in functions.items():
        (folder / f"{function}.py").write_text(SCRIPT.format(body=RETURNED[returns], takes="matrix", returns=returns))
    registers = (Register(model_path=path, function=name, script_path=f"{folder}/{name}.py") for name in functions.values())
    run_plan(*registers).raise_for_error()
    return {returns: FunctionRef(name="jack", model_path=path, function=name) for returns, name in functions.items()}


@pytest.mark.parametrize(
    ("returns", "sql", "message"),
    [
        ("vector", "jack(x, y) = 1", "jack returns a vector: vec_array(jack(…))[0] is its first number"),
        ("vector", "jack(x, y) + 1", "jack returns a vector"),
        ("vector", "jack(x, y)[0]", "jack returns a vector"),
        ("struct<a: double>", "jack(x, y) = 1", "jack returns struct<a:double>: jack(…).a is its first field"),
        ("array<double>", "jack(x, y) + 1", "jack returns array<double>: jack(…)[0] is its first value"),
        ("string", "jack(x, y).label", "jack returns string"),
    ],
)
def test_a_result_that_is_used_as_another_type_says_what_it_is(
    run_plan: RunPlan, returning: dict[str, FunctionRef], returns: str, sql: str, message: str
) -> None:
    query = f"select {sql} from (select 1.0D as x, 2.0D as y)"
    kind, found = error_of(run_plan(Select(table="out", sql=query, functions=(returning[returns],))))
    assert kind == "InputError"
    assert found.startswith("Spark: ")
    assert message in found


# -- types of results


RESULTS = [
    ("double", "return X.sum(axis=1)", [3.0, None, 7.0]),
    ("float", "return X.sum(axis=1).astype('float32')", [3.0, None, 7.0]),
    ("int", "return X.sum(axis=1)", [3, None, 7]),
    ("bigint", "return [int(row.sum()) for row in X]", [3, None, 7]),
    ("decimal(5,1)", "return X.sum(axis=1)", ["3.0", None, "7.0"]),
    ("boolean", "return X[:, 0] > 2", [False, None, True]),
    ("string", "import numpy; return numpy.where(X[:, 0] > 2, 'big', 'small')", ["small", None, "big"]),
    ("binary", "return [b'x' * int(n) for n in X[:, 0]]", [b"x", None, b"xxx"]),
    ("date", "import pandas; return pandas.to_datetime(['2020-01-01'] * len(X))", ["2020-01-01", None, "2020-01-01"]),
    ("timestamp", "import pandas; return pandas.to_datetime(['2020'] * len(X), utc=True)", ["2020", None, "2020"]),
    ("array<double>", "return X", [[1.0, 2.0], None, [3.0, 4.0]]),
    ("array<string>", "return [['a'] * int(n) for n in X[:, 0]]", [["a"], None, ["a", "a", "a"]]),
    ("map<string,int>", "return [{'n': int(n)} for n in X[:, 0]]", [{"n": 1}, None, {"n": 3}]),
    ("struct<a: int, b: array<double>>", "return {'b': X, 'a': X[:, 0]}", [(1, [1.0, 2.0]), None, (3, [3.0, 4.0])]),
    ("a int, b string", "import pandas; return pandas.DataFrame({'a': X[:, 0], 'b': 'x'})", [(1, "x"), None, (3, "x")]),
    ("vector", "return X", [[1.0, 2.0], None, [3.0, 4.0]]),
]  # fmt: skip
CALLS = {"decimal(5,1)": "string({})", "date": "string({})", "timestamp": "string(year({}))"}


@pytest.fixture(scope="module")
def results(run_plan: RunPlan, spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Any]]:
    """The results of a function of each type, by type: one query calls all of them."""
    folder = tmp_path_factory.mktemp("results")
    path = publish_model(folder / "m", None, pa.table({"x": [1.0, 2.0, 3.0], "y": [2.0, 3.0, 4.0]}))
    registers, calls = [], []
    for place, (returns, body, _) in enumerate(RESULTS):
        file = folder / f"predict{place}.py"
        file.write_text(SCRIPT.format(body=body, takes="matrix", returns=returns))
        registers.append(Register(model_path=path, function=f"f{place}", script_path=str(file)))
        calls.append(CALLS.get(returns, "{}").format(f"f{place}(x, y)") + f" as p{place}")
    rows = "select * from values (1, 1.0D, 2.0D), (2, null, 1.0D), (3, 3.0D, 4.0D) as t(id, x, y)"
    query = Select(table="out", sql=f"select {', '.join(calls)} from ({rows}) order by id")
    run_plan(*registers, query).raise_for_error()
    found = zip(*spark.table("out").collect(), strict=True)
    return {returns: list(column) for (returns, *_), column in zip(RESULTS, found, strict=True)}


@pytest.mark.parametrize(("returns", "expected"), [(returns, expected) for returns, _, expected in RESULTS])
def test_every_type_of_result_arrives(results: dict[str, list[Any]], returns: str, expected: list[Any]) -> None:
    found = [each.toArray().tolist() if hasattr(each, "toArray") else each for each in results[returns]]
    assert found == expected


@pytest.mark.parametrize(
    ("returns", "message"),
    [
        ("nonsense", "returns='nonsense' is not a type of Spark; expected for example 'vector', 'double'"),
        ("struct<a: int, A: double>", "returns='struct<a: int, A: double>' has two fields 'a'"),
        ("array<struct<a: int, a: int>>", "has two fields 'a'"),
        ("struct<`a,b`: int>", "the name 'a,b' holds one of , : < >"),
        ("interval year to month", "functions cannot return interval year to month"),
        ("void", "functions cannot return void"),
    ],
)
def test_a_type_that_no_function_can_return_is_refused(
    run_plan: RunPlan, script: Script, tmp_path: Path, returns: str, message: str
) -> None:
    path = publish_model(tmp_path / "m", None, pa.table({"x": [1.0, 2.0]}))
    source = SCRIPT.format(body="return X", takes="matrix", returns=returns)
    kind, found = error_of(run_plan(Register(model_path=path, function="jack", script_path=script(source))))
    assert kind == "InputError"
    assert message in found
    assert not (tmp_path / "m/_functions").exists()


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
    same = script(SCRIPT.format(body="return X['t']", takes="frame", returns="timestamp"), "same.py")
    hour = script(SCRIPT.format(body="return X['t'].dt.hour", takes="frame", returns="int"), "hour.py")
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
    source = SCRIPT.format(body="return X[:, 0] - X[:, 1]", takes="matrix", returns="double")
    calls = ("jack(x, y)", "jack(array(x, y))", "jack(vec_dense(array(x, y)))", "jack(struct(y, x))", "jack(array(x, null))")
    run_plan(
        Register(model_path=path, function="jack", script_path=script(source)),
        Select(table="out", sql=f"select {', '.join(calls)} from (select 3.0D as x, 0.1 as y)"),
    ).raise_for_error()
    assert [tuple(row) for row in spark.table("out").collect()] == [(2.9, 2.9, 2.9, 2.9, None)]
