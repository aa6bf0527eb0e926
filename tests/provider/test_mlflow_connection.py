"""An MLflow server from a connection: its address goes into the plan, its credentials only into the secrets."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_mlsql.hooks.tracking import make_link, read_tracking
from airflow_provider_mlsql.operators.register import MLSQLRegisterOperator
from airflow_provider_mlsql.operators.script import MLSQLScriptOperator
from airflow_provider_mlsql.operators.train import MLSQLTrainOperator
from mlsql_runtime import codec
from mlsql_runtime.errors import InputError
from mlsql_runtime.plan import NO_TRACKING, Plan, Register, TaskTry, Train, dump_plan

TOKEN = {"MLFLOW_TRACKING_TOKEN": "t0p-secret"}


def connect(monkeypatch: pytest.MonkeyPatch, **fields: Any) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_TRACKER", json.dumps({"conn_type": "http", **fields}))


@pytest.mark.parametrize(
    ("fields", "uri", "variables"),
    [
        ({"host": "mlflow", "port": 5000}, "http://mlflow:5000", {}),
        ({"host": "https://mlflow.example.org/"}, "https://mlflow.example.org", {}),
        ({"host": "https://example.org/mlflow/", "port": 8443}, "https://example.org:8443/mlflow", {}),
        ({"host": "mlflow", "schema": "https", "password": "t0p-secret"}, "https://mlflow", TOKEN),
        ({"host": "mlflow", "extra": {"token": "t0p-secret"}}, "http://mlflow", TOKEN),
        (
            {"host": "mlflow", "login": "ann", "password": "t0p-secret", "extra": {"insecure_tls": True}},
            "http://mlflow",
            {
                "MLFLOW_TRACKING_USERNAME": "ann",
                "MLFLOW_TRACKING_PASSWORD": "t0p-secret",
                "MLFLOW_TRACKING_INSECURE_TLS": "true",
            },
        ),
    ],
)
def test_a_connection_has_the_server_and_its_credentials(
    fields: dict[str, Any], uri: str, variables: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(monkeypatch, **fields)

    found, access = read_tracking("tracker", None)

    assert (found, access.variables) == (uri, variables)
    assert "t0p-secret" not in repr(access)


SCRIPT = """
load json.`/d` as data;
train data as PythonAlg.`/m` where pythonScriptPath="/train.py"{train};
register PythonAlg.`/m` as jack options builtin="sklearn" and mlflowRegisteredModel="spam";
"""


def test_trainings_and_registrations_of_a_script_go_to_the_server_of_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    connect(monkeypatch, host="mlflow", password="t0p-secret")
    job = MLSQLScriptOperator(task_id="s", script=SCRIPT.format(train=""), mlflow_conn_id="tracker").build_job()
    assert job.secrets.tracking.variables == TOKEN
    assert [each.outline.tracking_uri for each in job.statements if isinstance(each, (Train, Register))] == ["http://mlflow"] * 2
    assert "t0p-secret" not in dump_plan(Plan(job_id="j", statements=job.statements))


def test_the_credentials_of_a_connection_go_to_no_other_server(monkeypatch: pytest.MonkeyPatch) -> None:
    connect(monkeypatch, host="mlflow", password="t0p-secret")
    same, other = (SCRIPT.format(train=f' and mlflowTrackingUri="{uri}"') for uri in ("http://mlflow/", "http://other"))
    MLSQLScriptOperator(task_id="s", script=same, mlflow_conn_id="tracker").build_job()
    with pytest.raises(InputError, match=r"s:3:\d+: mlflow_conn_id names the server http://mlflow, and its credentials"):
        MLSQLScriptOperator(task_id="s", script=other, mlflow_conn_id="tracker").build_job()


def test_a_train_operator_keeps_the_token_out_of_its_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    connect(monkeypatch, host="mlflow", password="t0p-secret")
    operator = MLSQLTrainOperator(
        task_id="t",
        model_path="/m",
        python_script_path="/train.py",
        data="json.`/d`",
        mlflow_conn_id="tracker",
        mlflow_experiment="mail",
    )

    job = operator.build_job()

    train = job.statements[-1]
    assert isinstance(train, Train)
    assert (train.tracking_uri, train.experiment) == ("http://mlflow", "mail")
    assert job.secrets.tracking.variables == TOKEN
    assert "t0p-secret" not in dump_plan(Plan(job_id="job", statements=job.statements))
    assert "t0p-secret" in codec.dumps(job.secrets)


def test_a_register_operator_takes_a_registered_model(monkeypatch: pytest.MonkeyPatch) -> None:
    connect(monkeypatch, host="mlflow")
    given = {"model_path": "/m", "function_name": "jack", "mlflow_registered_model": "spam"}

    register = MLSQLRegisterOperator(task_id="t", mlflow_conn_id="tracker", **given).build_job().statements[-1]

    assert isinstance(register, Register)
    assert (register.tracking_uri, register.registered_model) == ("http://mlflow", "spam")
    with pytest.raises(InputError, match="mlflowRegisteredModel is given without a server"):
        MLSQLRegisterOperator(task_id="t", **given).build_job()


def test_without_a_connection_there_are_no_credentials() -> None:
    for nothing in (None, "", "None"):
        assert read_tracking(nothing, "http://mlflow") == ("http://mlflow", NO_TRACKING)


def test_wrong_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="there is no connection nowhere, which mlflow_conn_id names"):
        read_tracking("nowhere", None)
    connect(monkeypatch, password="t0p-secret")
    with pytest.raises(InputError, match="connection tracker, which mlflow_conn_id names, has no host"):
        read_tracking("tracker", None)
    monkeypatch.setenv("AIRFLOW_CONN_TRACKER", json.dumps({"conn_type": "http", "host": "mlflow", "extra": "[1]"}))
    with pytest.raises(InputError, match="has an extra that is not a JSON object"):
        read_tracking("tracker", None)


def test_the_link_is_that_of_the_task(monkeypatch: pytest.MonkeyPatch) -> None:
    task = TaskTry(dag_id="nightly", task_id="train", map_index=2, run_id="run 1/a", try_number=1)
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://airflow.example.org/team/")
    assert make_link(task) == "https://airflow.example.org/team/dags/nightly/runs/run%201%2Fa/tasks/train/mapped/2"
