"""Operators: arguments in, statements out; and arguments that cannot be."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import DAG
from airflow.sdk.api.datamodels._generated import DagRunType

from airflow_provider_mlsql.operators.predict import MLSQLPredictOperator
from airflow_provider_mlsql.operators.register import MLSQLRegisterOperator
from airflow_provider_mlsql.operators.task_run import TaskRun
from airflow_provider_mlsql.operators.train import MLSQLTrainOperator
from mlsql_runtime.errors import InputError
from mlsql_runtime.plan import (
    FileFeed,
    FunctionRef,
    KafkaFeed,
    Load,
    Predict,
    PythonEnv,
    Register,
    Save,
    Select,
    Train,
    with_author,
)

LOAD = Load(table="data", format="libsvm", path="/d")


BROKER = {"bootstrap.servers": "b:9092"}
KAFKA: dict[str, Any] = {
    "enable_data_local": False,
    "kafka_conn_id": None,
    "kafka_topic": "orders",
    "kafka_config": BROKER,
}


def train(**arguments: Any) -> MLSQLTrainOperator:
    given = {"task_id": "t", "model_path": "/m", "python_script_path": "/t.py", "data": "libsvm.`/d`"}
    return MLSQLTrainOperator(**{**given, **arguments})


def register(**arguments: Any) -> MLSQLRegisterOperator:
    return MLSQLRegisterOperator(
        **{"task_id": "r", "model_path": "/m", "function_name": "jack", "python_script_path": "/p.py", **arguments}
    )


def predict(**arguments: Any) -> MLSQLPredictOperator:
    return MLSQLPredictOperator(**{"task_id": "p", "data": "libsvm.`/d`", "output": "parquet.`/o`", **arguments})


def test_train_with_defaults() -> None:
    assert train().build_job().statements == (LOAD, Train(table="data", model_path="/m", script_path="/t.py"))


SVC = {"moduleName": "sklearn.svm", "className": "SVC"}


def test_a_built_in_algorithm_needs_no_script() -> None:
    _, statement = train(python_script_path=None, builtin="sklearn", fit_params=[SVC], seed="7").build_job().statements
    wanted = Train(table="data", model_path="/m", script_path="builtin:sklearn", fit_params=(SVC,), python=PythonEnv(seed=7))
    assert statement == wanted
    (statement,) = (
        register(python_script_path=None, builtin="sklearn", script_params='{"method": "predict_proba"}').build_job().statements
    )
    assert statement == Register(
        model_path="/m", function="jack", script_path="builtin:sklearn", params={"method": "predict_proba"}
    )


@pytest.mark.parametrize("operator", [train, register])
def test_a_script_or_a_built_in_algorithm_is_given_when_the_dag_is_read(operator: Any) -> None:
    with pytest.raises(InputError, match=r"no script is given; name one as python_script_path, or .* as builtin: 'sklearn'"):
        operator(python_script_path=None)
    with pytest.raises(InputError, match=r"both python_script_path '/t\.py' and builtin 'sklearn' are given"):
        operator(python_script_path="/t.py", builtin="sklearn")
    with pytest.raises(InputError, match=r"there is no built-in algorithm 'sklern'; did you mean 'sklearn'\?"):
        operator(python_script_path=None, builtin="sklern")
    with pytest.raises(InputError, match="which is not a path; write builtin 'sklearn' instead"):
        operator(python_script_path="builtin:sklearn")


def test_either_may_come_of_a_template() -> None:
    operator = train(python_script_path="{{ params.script }}", builtin="{{ params.builtin }}", fit_params=[SVC])
    train(python_script_path=None, builtin="{{ params.builtin }}")
    train(python_script_path="{{ params.script }}")
    train(python_script_path="{{ params.script }}", builtin="sklearn")
    operator.python_script_path, operator.builtin = "", "sklearn"  # as rendered
    assert operator.build_job().statements[-1].script_path == "builtin:sklearn"
    operator.python_script_path, operator.builtin = "/t.py", "None"
    assert operator.build_job().statements[-1].script_path == "/t.py"
    operator.python_script_path, operator.builtin = None, None
    with pytest.raises(InputError, match="no script is given"):
        operator.build_job()


@pytest.mark.parametrize(
    ("params", "told"),
    [
        ([{}], "fitParam.0.moduleName is not given; the built-in algorithm needs it, such as 'sklearn.svm'"),
        ([SVC, {"moduleName": "sklearn.svm"}], "fitParam.1.className is not given"),
        ([SVC | {"moduleName": "sklearn svm"}], "expected a name such as 'sklearn.svm'"),
        ([SVC | {"moduleName": "sklearn._svm"}], "which is private"),
    ],
)
def test_a_built_in_algorithm_needs_an_estimator(params: Any, told: str) -> None:
    with pytest.raises(InputError, match=told):
        train(python_script_path=None, builtin="sklearn", fit_params=params).build_job()


def test_train_through_kafka(monkeypatch: pytest.MonkeyPatch) -> None:
    extra = {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "PLAIN"}
    connection = {"conn_type": "mlsql_kafka", "host": "b1:9092,b2:9092", "login": "me", "password": "hush", "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_BROKERS", json.dumps(connection))
    operator = train(
        enable_data_local="false",
        kafka_conn_id="brokers",
        kafka_topic="orders",
        kafka_group_id="readers",
        kafka_keep="true",
        kafka_config={
            "client.id": "nightly",
            "topic.partitions": 6,
            "topic.replication.factor": "3",
            "topic.retention.ms": 60000,
        },
    )
    *_, statement = operator.build_job().statements
    assert isinstance(statement, Train)
    assert statement.feed == KafkaFeed(
        topic="orders",
        settings={
            "bootstrap_servers": "b1:9092,b2:9092",
            "security_protocol": "SASL_PLAINTEXT",
            "sasl_mechanism": "PLAIN",
            "sasl_plain_username": "me",
            "client_id": "nightly",
        },
        secrets="kafka",
        group="readers",
        keep=True,
        partitions=6,
        replication_factor=3,
        topic_configs={"retention.ms": "60000"},
    )
    assert operator.build_job().secrets.kafka == {"kafka": {"sasl_plain_password": "hush"}}


def test_train_from_a_topic_as_it_is() -> None:
    [statement] = train(**KAFKA | {"data": None, "kafka_reuse": True}).build_job().statements
    assert isinstance(statement, Train)
    assert statement.table is None
    assert statement.feed == KafkaFeed(topic="orders", settings={"bootstrap_servers": "b:9092"}, reuse=True)


def test_train_with_everything() -> None:
    operator = train(
        data={"format": "csv", "path": "/d", "options": {"header": True, "n": 3}},
        sql="select * from data where x > 0",
        fit_params=[{"alpha": 0.5, "shuffle": False}, {}],
        validate_data="parquet.`/v`",
        data_local_format="parquet",
        data_local_file_num="4",
        data_local_options={"compression": "none"},
        python_path="/usr/bin/python3",
        python_ver="3.11",
        python_param=["-O"],
        envs={"A": "b"},
        fit_timeout="60",
        keep_versions="3",
        greater_is_better=False,
        fail_on="any",
        keep_local_directory=True,
    )
    assert operator.build_job().statements == (
        Load(table="data", format="csv", path="/d", options={"header": "true", "n": "3"}),
        Select(table="selected", sql="select * from data where x > 0"),
        Load(table="validate", format="parquet", path="/v"),
        Train(
            table="selected",
            model_path="/m",
            script_path="/t.py",
            fit_params=({"alpha": "0.5", "shuffle": "false"}, {}),
            validate_table="validate",
            feed=FileFeed(format="parquet", file_num=4, options={"compression": "none"}),
            python=PythonEnv(path="/usr/bin/python3", version="3.11", flags=("-O",), envs={"A": "b"}, timeout=60.0),
            keep_versions=3,
            greater_is_better=False,
            fail_on="any",
            keep_local_directory=True,
        ),
    )


@pytest.mark.parametrize(
    ("arguments", "field", "value"),
    [
        ({"fit_params": '[{"a": 1}, {"a": 2}]'}, "fit_params", ({"a": "1"}, {"a": "2"})),
        ({"fit_params": {"a": 1}}, "fit_params", ({"a": "1"},)),
        ({"fit_params": ""}, "fit_params", ({},)),
        ({"validate_data": "0.25"}, "validate_fraction", 0.25),
        ({"validate_data": 0.25}, "validate_fraction", 0.25),
        ({"validate_data": "None"}, "validate_fraction", None),
        ({"keep_version": False}, "keep_versions", 1),
        ({"keep_version": "False"}, "keep_versions", 1),
        ({"greater_is_better": "false"}, "greater_is_better", False),
        ({"fit_params": "[{'a': 1}]"}, "fit_params", ({"a": "1"},)),
        ({"envs": {"N": 1}}, "python", PythonEnv(envs={"N": "1"})),
        ({"python_param": "-O -u"}, "python", PythonEnv(flags=("-O", "-u"))),
        ({"data_local_format": "JSON"}, "feed", FileFeed(format="json")),
    ],
)
def test_arguments_may_come_as_templates_render_them(arguments: dict[str, Any], field: str, value: object) -> None:
    assert getattr(train(**arguments).build_job().statements[-1], field) == value


def test_register() -> None:
    assert register().build_job().statements == (Register(model_path="/m", function="jack", script_path="/p.py"),)
    operator = register(
        model_version="3",
        alg_index="1",
        enable_copy_train_params_to_python=True,
        min_score="0.9",
        only_if_better=0.01,
        sample_data="json.`/s`",
    )
    assert operator.build_job().statements == (
        Load(table="sample", format="json", path="/s"),
        Register(
            model_path="/m",
            function="jack",
            script_path="/p.py",
            model_version=3,
            alg_index=1,
            copy_train_params=True,
            min_score=0.9,
            only_if_better=0.01,
            sample_table="sample",
        ),
    )


REGISTERED = {"function": "jack", "model_path": "/m", "function_version": 4, "registered": True, "score": 0.9}
REFUSED = {"function": "jill", "model_path": "/n", "function_version": None, "registered": False, "reason": "low"}
JACK = FunctionRef(name="jack", model_path="/m", function="jack", function_version=4)
JILL = FunctionRef(name="jill", model_path="/n", function="jill")


@pytest.mark.parametrize(
    ("functions", "refs"),
    [
        ({"jill": "/n"}, (JILL,)),
        ({"joe": REGISTERED}, (FunctionRef(name="joe", model_path="/m", function="jack", function_version=4),)),
        ('{"jill": "/n"}', (JILL,)),
        (REGISTERED, (JACK,)),
        ([REGISTERED, REFUSED], (JACK, JILL)),
        (None, ()),
    ],
)
def test_predict_takes_functions_by_path_and_from_register_tasks(functions: Any, refs: tuple[FunctionRef, ...]) -> None:
    assert predict(functions=functions, sql="select 1").build_job().statements == (
        LOAD,
        Select(table="selected", sql="select 1", functions=refs),
        Save(table="selected", format="parquet", path="/o", mode="overwrite"),
    )


def test_predict_with_a_batch_script() -> None:
    output = {"format": "json", "path": "/o", "mode": "append", "partition_by": "day", "options": {"compression": "gzip"}}
    operator = predict(
        model_path="/m",
        python_script_path="/b.py",
        script_params={"n": 2},
        model_version=1,
        seed="7",
        same_rows=False,
        output=output,
    )
    assert operator.build_job().statements == (
        LOAD,
        Predict(
            table="data",
            model_path="/m",
            script_path="/b.py",
            result="predicted",
            model_version=1,
            params={"n": "2"},
            python=PythonEnv(seed=7),
            same_rows=False,
        ),
        Save(table="predicted", format="json", path="/o", mode="append", options={"compression": "gzip"}, partition_by=("day",)),
    )


@pytest.mark.parametrize(
    ("make", "arguments", "part"),
    [
        (train, {"data": "/d"}, "data is '/d'; expected format.`path`"),
        (train, {"data": {"format": "csv", "paths": "/d"}}, "unknown key 'paths'; did you mean 'path'?"),
        (train, {"data": {"path": "/d"}}, "names no format"),
        (train, {"fit_params": "[{"}, "not JSON"),
        (train, {"fit_params": 3}, "expected a list of dicts"),
        (train, {"fit_params": [3]}, "one for each fit group (element 0 is a int)"),
        (train, {"validate_data": 1.5}, "expected a number between 0 and 1"),
        (train, {"data_local_file_num": "many"}, "data_local_file_num is 'many'; expected a whole number"),
        (train, {"fit_timeout": "-1"}, "fit_timeout is -1.0; expected a number over 0"),
        (train, {"python_ver": "2.7"}, "dropped Python 2"),
        (train, {"fail_on": "some"}, "fail_on is 'some'; expected all or any"),
        (train, {"data": None}, "no data are given"),
        (train, KAFKA | {"kafka_topic": None}, "no topic is given"),
        (train, KAFKA | {"kafka_topic": "a b"}, "'a b'; expected up to 200 letters"),
        (train, KAFKA | {"kafka_config": None}, "the Kafka configuration names no broker"),
        (train, KAFKA | {"kafka_config": BROKER | {"sasl.password": "x", "ssl.key.pem": "y"}}, "has sasl.password, ssl.key.pem"),
        (train, KAFKA | {"kafka_conn_id": "nowhere"}, "no connection 'nowhere'; add it: airflow connections add"),
        (train, {"kafka_reuse": True}, "but enable_data_local is True; set that to False"),
        (train, KAFKA | {"kafka_reuse": True}, "leave out data and sql"),
        (train, KAFKA | {"kafka_reuse": "maybe"}, "kafka_reuse is 'maybe'; expected true or false"),
        (train, KAFKA | {"kafka_config": BROKER | {"topic.partitions": "many"}}, "topic.partitions is 'many'; expected a whole"),
        (train, KAFKA | {"kafka_config": BROKER | {"topic.max.message.bytes": 100}}, "a whole number of at least 65536"),
        (train, KAFKA | {"kafka_config": BROKER | {"compresion.type": "gzip"}}, "did you mean 'compression_type'"),
        (train, {"greater_is_better": "often"}, "greater_is_better is 'often'; expected true or false"),
        (train, {"keep_version": "false", "keep_versions": 5}, "give one of them"),
        (train, {"envs": "hush"}, "envs is a str; expected a JSON object"),
        (train, {"requirements": "/no/requirements.txt"}, "requirements file /no/requirements.txt does not exist"),
        (train, {"requirements": ["-r other.txt"]}, "expected packages only"),
        (train, {"requirements": 3}, "expected the path of a requirements file, or a list of packages"),
        (train, {"archives": "/env"}, "with a path that ends in .tar.gz"),
        (train, {"archives": {"env": "/e.zip"}}, "expected text such as 'env.tar.gz#env'"),
        (register, {"function_name": "my-fun"}, "not an SQL identifier"),
        (register, {"min_score": "high"}, "min_score is 'high'; expected a number"),
        (predict, {}, "nothing to predict with"),
        (predict, {"functions": {"jack": "/m"}}, "no sql that calls them"),
        (predict, {"functions": {"a-b": "/m"}, "sql": "select 1"}, "not an SQL identifier"),
        (predict, {"functions": [{"function": "jack"}], "sql": "select 1"}, "without 'model_path'"),
        (predict, {"functions": [REGISTERED, REGISTERED], "sql": "select 1"}, "two functions called jack"),
        (predict, {"sql": "select 1", "model_path": "/m"}, "model_path is for a batch script"),
        (
            predict,
            {"sql": "select 1", "output": {"format": "json", "path": "/o", "mode": "replace"}},
            "expected overwrite, append",
        ),
    ],
)
def test_what_cannot_be_is_said_before_anything_runs(make: Any, arguments: dict[str, Any], part: str) -> None:
    with pytest.raises(InputError) as caught:
        make(**arguments).build_job()
    assert part in caught.value.message


def test_an_unknown_argument_is_named_with_the_nearest_known() -> None:
    with pytest.raises(InputError, match="MLSQLTrainOperator has no argument 'fit_param'; did you mean 'fit_params'"):
        train(fit_param=[])
    with pytest.raises(InputError, match="did you mean 'retries'"):
        train(retrys=1)


def test_a_relative_script_is_looked_for_next_to_the_dag_file(tmp_path: Path) -> None:
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts/train.py").touch()
    with DAG("d", schedule=None) as dag:
        dag.fileloc = str(tmp_path / "dag.py")
        beside = train(python_script_path="scripts/train.py").build_job().statements[-1]
        elsewhere = train(task_id="other", python_script_path="scripts/other.py").build_job().statements[-1]
    assert isinstance(beside, Train)
    assert isinstance(elsewhere, Train)
    assert beside.script_path == str(tmp_path / "scripts/train.py")
    assert elsewhere.script_path == "scripts/other.py"


def test_environments_of_scripts_are_found_next_to_the_dag_file(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("numpy==2.0\n")
    (tmp_path / "env.tar.gz").touch()
    batch = {"python_script_path": "/b.py", "model_path": "/m", "archives": "env.tar.gz#env, s3://b/other.zip"}
    with DAG("d", schedule=None) as dag:
        dag.fileloc = str(tmp_path / "dag.py")
        trained = train(requirements="requirements.txt").build_job().statements[-1]
        listed = train(task_id="l", requirements=["numpy", "scipy"], archives=["/e.zip"]).build_job().statements[-1]
        predicted = predict(**batch).build_job().statements[1]
    assert isinstance(trained, Train)
    assert isinstance(listed, Train)
    assert isinstance(predicted, Predict)
    assert trained.python == PythonEnv(requirements="numpy==2.0\n")
    assert listed.python == PythonEnv(requirements="numpy\nscipy", archives=("/e.zip",))
    assert predicted.python == PythonEnv(archives=(f"{tmp_path}/env.tar.gz#env", "s3://b/other.zip"))


def test_a_function_has_no_python_of_its_own() -> None:
    with pytest.raises(InputError, match=r"has no argument 'requirements': a registered function runs in the executors' own"):
        register(requirements="requirements.txt")
    with pytest.raises(InputError, match=r"archives is for a batch script.* runs in the executors' own Python"):
        predict(sql="select 1", archives="/e.zip").build_job()


def test_what_to_do_when_refused_is_said_before_anything_runs() -> None:
    operator = register(on_refused="ignore")
    with pytest.raises(InputError, match="on_refused is 'ignore'; expected succeed, skip or fail"):
        operator.execute({})  # type: ignore[typeddict-item]
    assert "on_refused" in MLSQLRegisterOperator.template_fields


class _Run:
    def __init__(self, user: str | None, run_type: str) -> None:
        self.triggering_user_name, self.run_type = user, run_type


@pytest.mark.parametrize(
    ("user", "run_type", "by"),
    [
        ("ann", DagRunType.MANUAL, "ann"),
        (None, DagRunType.MANUAL, None),
        (None, DagRunType.SCHEDULED, "scheduled"),
        (None, DagRunType.ASSET_TRIGGERED, "asset_triggered"),
        ("ann", DagRunType.BACKFILL, "ann"),
    ],
)
def test_who_started_a_run(user: str | None, run_type: str, by: str | None) -> None:
    run = _Run(user, run_type)
    assert TaskRun.of({"ti": _Instance(-1, 1), "dag_run": run}).started_by == by  # type: ignore[typeddict-item]
    assert TaskRun.of({"ti": _Instance(-1, 1)}).started_by is None  # type: ignore[typeddict-item]


def test_statements_are_signed_for_the_history_of_functions_only() -> None:
    made = register(sample_data="json.`/s`").build_job().statements
    assert with_author(made, "ann") == (made[0], replace(made[1], author="ann"))  # type: ignore[arg-type]


class _Instance:
    dag_id, task_id, run_id = "dag", "task", "run"

    def __init__(self, map_index: int, max_tries: int) -> None:
        self.map_index, self.max_tries = map_index, max_tries


def test_retries_share_a_job_id_and_cleared_or_mapped_tasks_do_not() -> None:
    ids = [TaskRun.of({"ti": _Instance(index, tries)}).job_id for index, tries in ((-1, 1), (-1, 2), (0, 1), (1, 1))]  # type: ignore[typeddict-item]
    assert len(set(ids)) == 4
    assert ids[0] == TaskRun.of({"ti": _Instance(-1, 1)}).job_id  # type: ignore[typeddict-item]
    assert ids[0] == "dag.task/run/1"
    runs = [
        SimpleNamespace(clear_number=number, run_type="manual") for number in (0, 1)
    ]  # of a task that is cleared while it runs only this grows
    both = [TaskRun.of({"ti": _Instance(-1, 1), "dag_run": run}).job_id for run in runs]  # type: ignore[typeddict-item]
    assert both == ["dag.task/run/1", "dag.task/run/1.1"]
