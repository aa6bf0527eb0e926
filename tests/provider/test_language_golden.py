"""Two front doors, one plan: a script and operators that mean the same give the same plan JSON."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from support.workbench import TESTS

from airflow_provider_mlsql.operators.base import MLSQLOperator
from airflow_provider_mlsql.operators.predict import MLSQLPredictOperator
from airflow_provider_mlsql.operators.register import MLSQLRegisterOperator
from airflow_provider_mlsql.operators.script import MLSQLScriptOperator
from airflow_provider_mlsql.operators.train import MLSQLTrainOperator
from mlsql_runtime.language import compile_script
from mlsql_runtime.plan import Plan, Select, Statement, Train, dump_plan

PAIRS: dict[str, tuple[str, type[MLSQLOperator], dict[str, Any]]] = {
    "train with defaults": (
        'load libsvm.`/d` as data; train data as PythonAlg.`/m` where pythonScriptPath="/t.py";',
        MLSQLTrainOperator,
        {"model_path": "/m", "python_script_path": "/t.py", "data": "libsvm.`/d`"},
    ),
    "train with all options": (
        """load csv.`/d` where header="true" as data;
        select a, b from data as selected;
        load csv.`/v` as validate;
        run selected as PythonAlg.`s3://b/m` options pythonScriptPath="/t.py" and validateTable="validate"
        and fitParam.0.alpha="0.5" and fitParam.0.resource.words="/w" and fitParam.1.alpha="1"
        and dataLocalFormat="csv" and dataLocalFileNum="3" and dataLocal.option.header="true"
        and systemParam.pythonPath="python" and systemParam.pythonVer="3" and systemParam.pythonParam="-u -B"
        and systemParam.envs='{"A": "b"}' and systemParam.timeout="90"
        and keepVersion="false" and scoreMode="min" and failOn="any" and keepLocalDirectory="true"
        and description="nightly" and featureCols="age, income,city" and labelCol="churned" and keepSampleRows="false"
        and mlflowTrackingUri="http://mlflow:5000" and mlflowExperiment="mail";""",
        MLSQLTrainOperator,
        {
            "model_path": "s3://b/m",
            "python_script_path": "/t.py",
            "data": {"format": "csv", "path": "/d", "options": {"header": True}},
            "sql": "select a, b from data",
            "validate_data": "csv.`/v`",
            "fit_params": [{"alpha": 0.5, "resource.words": "/w"}, {"alpha": 1}],
            "data_local_format": "csv",
            "data_local_file_num": 3,
            "data_local_options": {"header": True},
            "python_path": "python",
            "python_ver": "3",
            "python_param": "-u -B",
            "envs": {"A": "b"},
            "fit_timeout": 90,
            "keep_version": False,
            "greater_is_better": False,
            "fail_on": "any",
            "keep_local_directory": True,
            "description": "nightly",
            "feature_columns": ["age", "income", "city"],
            "label_column": "churned",
            "keep_sample_rows": False,
            "mlflow_tracking_uri": "http://mlflow:5000",
            "mlflow_experiment": "mail",
        },
    ),
    "train with held-out rows of each class": (
        """load csv.`/d` as data;
        train data as PythonAlg.`/m` where pythonScriptPath="/t.py" and validateFraction="0.2" and stratify="true";""",
        MLSQLTrainOperator,
        {"model_path": "/m", "python_script_path": "/t.py", "data": "csv.`/d`", "validate_data": 0.2, "stratify": True},
    ),
    "train through Kafka": (
        """load libsvm.`/d` as data;
        train data as PythonAlg.`/m` where pythonScriptPath="/t.py" and enableDataLocal="false"
        and kafkaParam.topic="test" and kafkaParam.group_id="g" and kafkaParam.keep="true" and kafkaParam.topic.partitions="2"
        and kafkaParam.bootstrap.servers="b:9092" and kafkaParam.client.id="me";""",
        MLSQLTrainOperator,
        {
            "model_path": "/m",
            "python_script_path": "/t.py",
            "data": "libsvm.`/d`",
            "enable_data_local": False,
            "kafka_conn_id": None,
            "kafka_topic": "test",
            "kafka_group_id": "g",
            "kafka_keep": True,
            "kafka_config": {"topic.partitions": 2, "bootstrap.servers": "b:9092", "client.id": "me"},
        },
    ),
    "train a built-in algorithm": (
        """load libsvm.`/d` as data;
        train data as PythonAlg.`/m` where builtin="sklearn" and systemParam.seed="7"
        and fitParam.0.moduleName="sklearn.svm" and fitParam.0.className="SVC" and fitParam.0.C="0.5";""",
        MLSQLTrainOperator,
        {
            "model_path": "/m",
            "builtin": "sklearn",
            "data": "libsvm.`/d`",
            "seed": 7,
            "fit_params": [{"moduleName": "sklearn.svm", "className": "SVC", "C": 0.5}],
        },
    ),
    "register a built-in algorithm": (
        'register PythonAlg.`/m` as chance options builtin="sklearn" and fitParam.0.method="predict_proba";',
        MLSQLRegisterOperator,
        {"model_path": "/m", "function_name": "chance", "builtin": "sklearn", "script_params": {"method": "predict_proba"}},
    ),
    "register": (
        """load libsvm.`/d` as sample;
        register PythonAlg.`/m` as jack options pythonScriptPath="/p.py" and modelVersion="1" and algIndex="0"
        and enableCopyTrainParamsToPython="true" and minScore="0.5" and onlyIfBetter="0" and sampleTable="sample"
        and mlflowTrackingUri="http://mlflow:5000" and mlflowRegisteredModel="spam";""",
        MLSQLRegisterOperator,
        {
            "model_path": "/m",
            "function_name": "jack",
            "python_script_path": "/p.py",
            "model_version": 1,
            "alg_index": 0,
            "enable_copy_train_params_to_python": True,
            "min_score": 0.5,
            "only_if_better": 0,
            "sample_data": "libsvm.`/d`",
            "mlflow_tracking_uri": "http://mlflow:5000",
            "mlflow_registered_model": "spam",
        },
    ),
    "predict with a script": (
        """load libsvm.`/d` as data;
        predict data as PythonAlg.`/m` where pythonScriptPath="/b.py" and modelVersion="1" and algIndex="0"
        and fitParam.0.a="1" and systemParam.timeout="5" and sameRows="false" as predicted;
        save overwrite predicted as json.`/o` where compression="gzip" and fileNum="2" partitionBy label;""",
        MLSQLPredictOperator,
        {
            "data": "libsvm.`/d`",
            "model_path": "/m",
            "python_script_path": "/b.py",
            "model_version": 1,
            "alg_index": 0,
            "script_params": {"a": 1},
            "script_timeout": 5,
            "same_rows": False,
            "output": {
                "format": "json",
                "path": "/o",
                "options": {"compression": "gzip"},
                "partition_by": "label",
                "file_num": 2,
            },
        },
    ),
}


def plan_json(statements: tuple[Statement, ...]) -> str:
    return dump_plan(Plan(job_id="golden", statements=statements))


def plan_of(operator: MLSQLOperator) -> str:
    return plan_json(operator.build_job().statements)


@pytest.mark.parametrize("name", PAIRS)
def test_a_script_and_an_operator(name: str) -> None:
    script, operator, arguments = PAIRS[name]
    made, scripted = operator(task_id="t", **arguments), MLSQLScriptOperator(task_id="s", script=script, show_rows=0)
    assert plan_json(compile_script(script).statements) == plan_of(made) == plan_of(scripted)


def test_through_kafka_by_a_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    extra = {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "PLAIN", "client.id": "them"}
    connection = {"conn_type": "mlsql_kafka", "host": "b:9092", "login": "me", "password": "hush", "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_BROKERS", json.dumps(connection))
    script = """load libsvm.`/d` as data;
        train data as PythonAlg.`/m` where pythonScriptPath="/t.py" and enableDataLocal="false"
        and kafkaParam.topic="test" and kafkaParam.client.id="us";"""
    scripted = MLSQLScriptOperator(task_id="s", script=script, kafka_conn_id="brokers", show_rows=0)
    operator = MLSQLTrainOperator(
        task_id="t",
        model_path="/m",
        python_script_path="/t.py",
        data="libsvm.`/d`",
        enable_data_local=False,
        kafka_conn_id="brokers",
        kafka_topic="test",
        kafka_config={"client.id": "us"},
    )
    assert plan_of(scripted) == plan_of(operator)
    assert scripted.build_job().secrets == operator.build_job().secrets
    assert "hush" not in plan_of(scripted)


@pytest.mark.parametrize("enable_data_local", [True, False])
def test_the_script_of_the_documentation_and_the_operators(enable_data_local: bool) -> None:
    script = (TESTS / "runtime/language/seed.mlsql").read_text(encoding="utf-8")
    script = script.replace('pythonVer`="2.7"', 'pythonVer`="3"')
    script = script.replace('enableDataLocal="true"', f'enableDataLocal="{enable_data_local}"')
    paths = {"pythonScriptPath": "/s/train.py", "pythonPredictScriptPath": "/s/predict.py"}
    load, train, register, select = compile_script(script, variables=paths).statements

    trained = MLSQLTrainOperator(
        task_id="train",
        model_path="/tmp/pa_model",
        python_script_path="/s/train.py",
        data="libsvm.`sample_libsvm_data.txt`",
        fit_params=[{"batchSize": 1000, "labelSize": 2}],
        enable_data_local=enable_data_local,
        data_local_format="json",
        kafka_conn_id=None,
        kafka_topic="test",
        kafka_group_id="g_test-1",
        kafka_config={"bootstrap.servers": "127.0.0.1:9092"},
        python_path="python",
        python_ver="3",
    )
    registered = MLSQLRegisterOperator(
        task_id="register", model_path="/tmp/pa_model", function_name="jack", python_script_path="/s/predict.py"
    )
    predicted = MLSQLPredictOperator(
        task_id="predict",
        data="libsvm.`sample_libsvm_data.txt`",
        functions={"jack": "/tmp/pa_model"},
        sql="select jack(features) from data",
        output="parquet.`/o`",
    )

    # Names differ where operators give them: the script validates on the table it trains on, and calls its result newdata.
    assert isinstance(train, Train)
    assert isinstance(select, Select)
    assert train.validate_table == "data"
    assert select.table == "newdata"
    script_plan = (load, replace(train, validate_table=None), register, replace(select, table="selected"))
    made = [operator.build_job().statements for operator in (trained, registered, predicted)]
    assert plan_json(script_plan) == plan_json((*made[0], *made[1], made[2][1]))
