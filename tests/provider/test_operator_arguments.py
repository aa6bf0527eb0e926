"""Arguments of all operators that are wrong, and files that operators find next to the DAG file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import DAG
from support.operators import BROKER, KAFKA, REGISTERED, predict, register, train

from mlsql_runtime.errors import InputError
from mlsql_runtime.plan import (
    Predict,
    PythonEnv,
    Save,
    Select,
    Train,
)


@pytest.mark.parametrize(
    ("make", "arguments", "part"),
    [
        (train, {"data": "/d"}, "data is '/d'; expected format.`path`"),
        (train, {"fit_params": "[{"}, "not JSON"),
        (train, {"fit_params": 3}, "expected a list of dicts"),
        (train, {"fit_params": [3]}, "one for each fit group (element 0 is a int)"),
        (train, {"validate_data": 1.5}, "expected a number between 0 and 1"),
        (train, {"data_local_file_num": "many"}, "data_local_file_num is 'many'; expected a whole number"),
        (train, {"data": None}, "no data are given; name a table: data="),
        (train, {"sql": "select label as d from shop.data"}, "data are given, and sql does not read them"),
        (predict, {"sql": "select 'data' as d, t.data from range(3) t -- data"}, "select from data, or leave data out"),
        (predict, {"data": None}, "or select from tables of a catalog: sql='select … from shop.orders'"),
        (train, {"data": {"table": "shop.orders", "path": "/d"}}, "data names the table shop.orders of a catalog, and a path"),
        (predict, {"sql": "table data", "output": {"table": "s", "path": "/o"}}, "output names the table s of a catalog, and"),
        (predict, {"sql": "table data", "output": {"tabel": "s"}}, "unknown key 'tabel'; did you mean 'table'?"),
        (train, KAFKA | {"kafka_topic": None}, "no topic is given"),
        (train, KAFKA | {"kafka_config": None}, "the Kafka configuration names no broker"),
        (
            train,
            KAFKA | {"kafka_config": BROKER | {"sasl.password": "x", "ssl.key.pem": "y"}},
            "has sasl.password, ssl.key.pem",
        ),
        (train, KAFKA | {"kafka_conn_id": "nowhere"}, "no connection 'nowhere'; add it: airflow connections add"),
        (train, {"kafka_reuse": True}, "but enable_data_local is True; set that to False"),
        (train, KAFKA | {"kafka_reuse": True}, "leave out data and sql"),
        (train, KAFKA | {"kafka_reuse": "maybe"}, "kafka_reuse is 'maybe'; expected true or false"),
        (
            train,
            KAFKA | {"kafka_config": BROKER | {"topic.partitions": "many"}},
            "topic.partitions is 'many'; expected a whole",
        ),
        (train, KAFKA | {"kafka_config": BROKER | {"topic.max.message.bytes": 100}}, "a whole number of at least 65536"),
        (train, {"greater_is_better": "often"}, "greater_is_better is 'often'; expected true or false"),
        (train, {"envs": "hush"}, "envs is a str; expected a JSON object"),
        (train, {"requirements": ["-r other.txt"]}, "expected packages only"),
        (train, {"requirements": 3}, "expected the path of a requirements file, or a list of packages"),
        (train, {"archives": {"env": "/e.zip"}}, "expected text such as 'env.tar.gz#env'"),
        (predict, {}, "nothing to predict with"),
        (predict, {"functions": {"jack": "/m"}}, "no sql that calls them"),
        (predict, {"functions": {"jack": None}, "sql": "select 1 from data"}, "the model path of function jack is empty"),
        (
            predict,
            {"functions": {"j": REGISTERED | {"function_version": "x"}}, "sql": "select 1 from data"},
            "function_version is 'x'; expected a whole number",
        ),
        (train, {"model_path": None}, "the model path is empty; give it"),
        (train, {"model_path": "None"}, "the model path is empty; give it"),
        (register, {"model_path": "None"}, "the model path is empty; give it"),
        (register, {"function_name": None}, "is empty; give it"),
        (register, {"function_name": 2024}, "is 2024; expected text"),
        (train, {"sql": 3}, "is 3; expected text"),
        (train, {"python_param": 3}, "python_param is 3; expected"),
        (predict, {"functions": {"a-b": "/m"}, "sql": "select 1 from data"}, "not an SQL identifier"),
        (predict, {"functions": [{"function": "jack"}], "sql": "select 1 from data"}, "without 'model_path'"),
        (predict, {"functions": [REGISTERED, REGISTERED], "sql": "select 1 from data"}, "two functions called jack"),
        (
            predict,
            {"sql": "select 1 from data", "model_version": 1},
            "model_version is for a batch script, and there is no model_path",
        ),
        (predict, {"sql": "select 1 from data", "script_options": {"a": 1}}, "script_options is for a batch script"),
        (predict, {"sql": "select 1 from data", "python_script_path": "/b.py"}, "the model path"),
        (
            predict,
            {"sql": "select 1 from data", "output": {"format": "json", "path": "/o", "mode": "replace"}},
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
        predict(sql="select 1 from data", archives="/e.zip").build_job()


def test_texts_of_which_templates_make_native_objects() -> None:
    """airflow#34641, airflow#26149: ``render_template_as_native_obj`` makes numbers of texts that look like numbers."""
    texts = {
        "python_ver": "3.10",
        "envs": {"OTP": "123345"},
        "fit_params": [{"alpha": "0.5", "day": "20240101"}],
        "description": "2024",
        "validate_data": "0.25",
    }
    with DAG("native", schedule=None, render_template_as_native_obj=True):
        task = train(**texts)
    expected = train(**texts).build_job()
    task.render_template_fields({})  # type: ignore[arg-type]
    assert task.python_ver == 3.1
    assert task.build_job() == expected


@pytest.mark.parametrize("nothing", [None, "", "None", "null", "{}", {}])
def test_what_a_prediction_does_not_need_may_be_rendered_as_nothing(nothing: Any) -> None:
    """As params of a trigger form that somebody leaves empty."""
    usual: dict[str, Any] = {"functions": REGISTERED, "sql": "select jack(x) from data"}
    output: dict[str, Any] = {"format": "json", "path": "/o"}
    names = ("model_path", "python_script_path", "model_version", "script_params", "script_options", "envs")
    empty = predict(**usual, **dict.fromkeys(names, nothing), output=output | dict.fromkeys(("mode", "partition_by"), nothing))
    assert empty.build_job() == predict(**usual, output=output).build_job()


def test_texts_within_dicts_are_parsed() -> None:
    output = {"format": "json", "path": "/o", "partition_by": "['day', 'a,b']"}
    functions = {"jack": REGISTERED | {"function_version": "3"}}
    job = predict(functions=functions, sql="select jack(x) from data", output=output).build_job()
    _, select, save = job.statements
    assert isinstance(select, Select)
    assert isinstance(save, Save)
    assert select.functions[0].function_version == 3
    assert save.partition_by == ("day", "a,b")


def test_an_empty_value_is_not_given() -> None:
    assert train(**KAFKA | {"kafka_reuse": True, "data": "None", "sql": "null"}).build_job().statements[0].feed.reuse
    assert train(**KAFKA | {"kafka_conn_id": "None"}).build_job() == train(**KAFKA).build_job()
    assert register(mlflow_conn_id="None").build_job() == register().build_job()
    assert register(sample_data={}, min_score="").build_job() == register().build_job()
    assert train(**KAFKA | {"kafka_reuse": "", "kafka_group_id": "None"}).build_job() == train(**KAFKA).build_job()
