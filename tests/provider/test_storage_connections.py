"""Connections of storage: what is taken from each type, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import Connection

from airflow_provider_mlsql.hooks.storage import check_uris, read_storage
from airflow_provider_mlsql.operators.predict import MLSQLPredictOperator
from airflow_provider_mlsql.operators.train import MLSQLTrainOperator
from mlsql_runtime.errors import InputError
from mlsql_runtime.plan import NO_ACCESS, collect_uris

GOOGLE_KEY = {
    "type": "service_account",
    "project_id": "p",
    "private_key_id": "id",
    "private_key": "-----BEGIN PRIVATE KEY-----\nhush\n-----END PRIVATE KEY-----\n",
    "client_email": "me@p",
}
AZURE = "DefaultEndpointsProtocol=http;AccountName=acc;AccountKey=aHVzaA==;BlobEndpoint=http://127.0.0.1:10000/acc;"


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Make a connection."""

    def add(name: str = "store", **fields: Any) -> None:
        monkeypatch.setenv(f"AIRFLOW_CONN_{name.upper()}", json.dumps(fields))

    return add


def options_of(uri: str, storage_conn_id: Any = "store") -> dict[str, Any]:
    return dict(read_storage(storage_conn_id).access.find_options(uri))


def hadoop_of(storage_conn_id: Any = "store") -> dict[str, str]:
    return {name.removeprefix("spark.hadoop."): value for name, value in read_storage(storage_conn_id).spark.items()}


def test_keys_and_endpoint_of_s3(connect: Any) -> None:
    extra = {"endpoint_url": "http://minio:9000", "region_name": "eu-1", "verify": False, "aws_session_token": "hush-2"}
    connect(conn_type="aws", login="me", password="hush-1", extra=extra)
    assert options_of("s3a://b/x") == {
        "key": "me",
        "secret": "hush-1",
        "token": "hush-2",
        "endpoint_url": "http://minio:9000",
        "client_kwargs": {"region_name": "eu-1", "verify": False},
        "config_kwargs": {"connect_timeout": 10},
    }
    assert hadoop_of() == {
        "fs.s3a.access.key": "me",
        "fs.s3a.secret.key": "hush-1",
        "fs.s3a.session.token": "hush-2",
        "fs.s3a.endpoint": "http://minio:9000",
        "fs.s3a.endpoint.region": "eu-1",
        "fs.s3a.path.style.access": "true",
        "fs.s3a.connection.ssl.enabled": "false",
    }
    assert "hush" not in repr(read_storage("store"))


def test_keys_in_the_extra_and_an_endpoint_of_s3_alone(connect: Any) -> None:
    extra = {
        "aws_access_key_id": "me",
        "aws_secret_access_key": "hush",
        "service_config": {"s3": {"endpoint_url": "https://s3.here"}, "sts": {"endpoint_url": "https://sts.here"}},
        "config_kwargs": {"connect_timeout": 3, "s3": {"addressing_style": "virtual"}},
    }
    connect(conn_type="aws", extra=extra)
    assert options_of("s3://b") == {
        "key": "me",
        "secret": "hush",
        "endpoint_url": "https://s3.here",
        "config_kwargs": {"connect_timeout": 3, "s3": {"addressing_style": "virtual"}},
    }
    assert hadoop_of() == {"fs.s3a.access.key": "me", "fs.s3a.secret.key": "hush", "fs.s3a.endpoint": "https://s3.here"}


def test_empty_parts_of_an_extra_are_not_given(connect: Any) -> None:
    connect(conn_type="aws", login="key", password="hush", extra={"service_config": {"s3": None}, "config_kwargs": {"s3": None}})
    assert read_storage("store").access.connections
    assert hadoop_of()["fs.s3a.access.key"] == "key"


def test_a_connection_without_keys_leaves_them_to_the_environment(connect: Any) -> None:
    connect(conn_type="aws", extra={"region_name": "eu-1"})
    assert options_of("s3://b") == {"client_kwargs": {"region_name": "eu-1"}, "config_kwargs": {"connect_timeout": 10}}
    connect(conn_type="aws", extra={"config_kwargs": {"signature_version": "unsigned"}})
    assert options_of("s3://b") == {"anon": True, "config_kwargs": {"connect_timeout": 10}}
    assert hadoop_of() == {"fs.s3a.aws.credentials.provider": "org.apache.hadoop.fs.s3a.AnonymousAWSCredentialsProvider"}


def test_a_key_of_an_azure_account(connect: Any) -> None:
    key = {"fs.azure.account.key.acc.dfs.core.windows.net": "hush"}
    for fields in (
        {"conn_type": "wasb", "login": "acc"},
        {"conn_type": "wasb", "host": "https://acc.blob.core.windows.net/"},
        {"conn_type": "adls", "host": "acc"},
        {"conn_type": "adls", "extra": {"account_name": "acc"}},
    ):
        connect(**fields, password="hush")
        assert options_of("abfss://c@acc.dfs.core.windows.net/x") == {"account_name": "acc", "account_key": "hush", "anon": False}
        assert hadoop_of() == key


def test_a_connection_string_a_token_and_a_principal_of_azure(connect: Any) -> None:
    connect(conn_type="wasb", extra={"connection_string": AZURE})
    assert options_of("abfs://c/x") == {"connection_string": AZURE}
    assert hadoop_of() == {"fs.azure.account.key.acc.dfs.core.windows.net": "aHVzaA=="}
    connect(conn_type="wasb", login="acc", extra={"sas_token": "?sv=1&sig=hush"})
    assert options_of("abfs://c/x") == {"account_name": "acc", "sas_token": "?sv=1&sig=hush", "anon": False}
    assert hadoop_of() == {
        "fs.azure.account.auth.type.acc.dfs.core.windows.net": "SAS",
        "fs.azure.sas.fixed.token.acc.dfs.core.windows.net": "sv=1&sig=hush",
    }
    connect(conn_type="adls", host="acc", login="id", password="hush", extra={"extra__adls__tenant_id": "t"})
    assert options_of("abfs://c/x") == {
        "account_name": "acc",
        "tenant_id": "t",
        "client_id": "id",
        "client_secret": "hush",
        "anon": False,
    }
    assert hadoop_of()["fs.azure.account.oauth2.client.secret.acc.dfs.core.windows.net"] == "hush"


def test_a_key_of_a_google_account(connect: Any, tmp_path: Path) -> None:
    file = tmp_path / "key.json"
    file.write_text(json.dumps(GOOGLE_KEY))
    for extra in ({"keyfile_dict": json.dumps(GOOGLE_KEY)}, {"keyfile_dict": GOOGLE_KEY}, {"key_path": str(file)}):
        connect(conn_type="google_cloud_platform", extra={**extra, "scope": "x", "num_retries": 5})
        assert options_of("gcs://b/x") == {"token": GOOGLE_KEY}
        assert hadoop_of()["fs.gs.auth.service.account.private.key"] == GOOGLE_KEY["private_key"]


def test_user_and_certificate_of_webhdfs(connect: Any) -> None:
    extra = {"use_ssl": "True", "verify": "/ca.pem", "cert": "/c.pem", "key": "/k.pem"}
    connect(conn_type="webhdfs", host="nn", port=9870, login="me", password="hush", extra=extra)
    assert options_of("webhdfs://nn:9870/x") == {
        "user": "me",
        "password": "hush",
        "use_https": True,
        "session_verify": "/ca.pem",
        "session_cert": ["/c.pem", "/k.pem"],
    }
    assert hadoop_of() == {}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"conn_type": "postgres"}, "connection store is of type postgres, which is not one of storage; expected one of aws,"),
        ({"conn_type": "hdfs", "host": "nn"}, "type hdfs, which has nothing that hdfs:// needs"),
        ({"conn_type": "aws", "extra": {"role_arn": "r"}}, "its extra has role_arn, which .*; a role's keys are valid for"),
        ({"conn_type": "aws", "extra": {"profile_name": "p"}}, "profile_name, which .* set AWS_PROFILE in the environment"),
        ({"conn_type": "aws", "extra": {"region": "r"}}, "its extra has region, which .* did you mean 'region_name'"),
        ({"conn_type": "aws", "login": "hush"}, "only one of key and secret; set login and password, or neither"),
        ({"conn_type": "aws", "extra": {"service_config": "hush"}}, "service_config in its extra is not a JSON object"),
        (
            {"conn_type": "aws", "extra": {"service_config": {"s3": "hush"}}},
            "service_config.s3 in its extra is not a JSON object",
        ),
        ({"conn_type": "aws", "extra": {"config_kwargs": "{}"}}, "config_kwargs in its extra is not a JSON object"),
        ({"conn_type": "aws", "extra": {"config_kwargs": {"s3": "path"}}}, "config_kwargs.s3 in its extra is not a JSON object"),
        ({"conn_type": "aws", "extra": {"endpoint_url": 9000}}, "endpoint_url in its extra is not text"),
        ({"conn_type": "wasb", "extra": {"connection_string": 5}}, "connection_string in its extra is not text"),
        ({"conn_type": "wasb", "password": "hush"}, "names no storage account"),
        ({"conn_type": "wasb", "login": "acc"}, "has no key, sas_token or connection_string"),
        ({"conn_type": "wasb", "login": "acc", "extra": {"managed_identity_client_id": "x"}}, "an identity belongs to each host"),
        ({"conn_type": "google_cloud_platform"}, "has no key; set keyfile_dict or key_path"),
        ({"conn_type": "google_cloud_platform", "extra": {"keyfile_dict": "{hush"}}, "keyfile_dict is not the JSON key"),
        ({"conn_type": "google_cloud_platform", "extra": {"key_path": "/no/such"}}, "key_path /no/such cannot be read"),
        ({"conn_type": "google_cloud_platform", "extra": {"impersonation_chain": "x"}}, "impersonation_chain, which"),
    ],
)
def test_what_is_refused_by_name(connect: Any, fields: dict[str, Any], message: str) -> None:
    connect(**fields)
    with pytest.raises(InputError, match=message) as caught:
        read_storage("store")
    assert "hush" not in caught.value.message


def test_a_connection_that_does_not_exist() -> None:
    with pytest.raises(InputError, match=r"^there is no connection 'nowhere'; add it, or correct storage_conn_id$"):
        read_storage("nowhere")


def test_connections_for_parts_of_a_storage(connect: Any) -> None:
    connect("a", conn_type="aws", login="a", password="hush-a", extra={"endpoint_url": "http://minio:9000"})
    connect("b", conn_type="aws", login="b", password="hush-b")
    given = {"s3://models": "a", "s3://": "b"}
    assert options_of("s3a://models/m", given)["key"] == "a"
    assert options_of("s3://data/x", json.dumps(given))["key"] == "b"
    assert hadoop_of(given) == {
        "fs.s3a.bucket.models.access.key": "a",
        "fs.s3a.bucket.models.secret.key": "hush-a",
        "fs.s3a.bucket.models.endpoint": "http://minio:9000",
        "fs.s3a.bucket.models.path.style.access": "true",
        "fs.s3a.bucket.models.connection.ssl.enabled": "false",
        "fs.s3a.access.key": "b",
        "fs.s3a.secret.key": "hush-b",
    }
    assert read_storage(None).access == read_storage("").access == NO_ACCESS


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"gs://b": "a"}, "connection a is of type aws, which is for s3://, and is given for gs://b"),
        ({"models": "a"}, "names connection a for 'models'; expected the beginning of a URI"),
        (
            {"s3://b/x": "a", "s3a://b/y": "b"},
            "Spark cannot use two connections for s3a://b/y, because its setting",
        ),
        (["a"], "expected the ID of a connection, or a dict"),
        ("{'s3:", "which is not JSON"),
    ],
)
def test_a_mapping_that_cannot_be_used(connect: Any, given: Any, message: str) -> None:
    connect("a", conn_type="aws", login="a", password="hush-a")
    connect("b", conn_type="aws", login="b", password="hush-b")
    with pytest.raises(InputError, match=message) as caught:
        read_storage(given)
    assert "hush" not in caught.value.message


def test_a_single_connection_is_for_all_storage_of_a_job(connect: Any) -> None:
    connect(conn_type="aws", login="me", password="hush")
    access = read_storage("store").access
    check_uris(access, {"the model path": "s3a://b/m", "the script": "https://host/x.py", "table 'data'": "/data"}, "store")
    with pytest.raises(InputError, match=r"^the model path is gs://b/m, and storage_conn_id names connection store,"):
        check_uris(access, {"the model path": "gs://b/m"}, "store")
    by_prefix = {"s3://": "store"}
    check_uris(read_storage(by_prefix).access, {"the model path": "gs://b/m"}, by_prefix)


def test_an_azure_connection_is_for_its_own_account(connect: Any) -> None:
    connect(conn_type="wasb", login="acc", password="hush")
    access = read_storage("store").access
    check_uris(access, {"the model path": "abfs://c@acc.dfs.core.windows.net/m", "the output": "abfs://c/x"}, "store")
    with pytest.raises(InputError, match="is in the account other, and connection store is for acc; name a connection"):
        check_uris(access, {"the model path": "abfs://c@other.dfs.core.windows.net/m"}, "store")


def test_the_uris_of_a_job() -> None:
    train = MLSQLTrainOperator(
        task_id="t",
        model_path="s3://m",
        python_script_path="s3://scripts/x.py",
        data="parquet.`s3a://data`",
        fit_params={"resource.words": "gs://b/words"},
    )
    predict = MLSQLPredictOperator(
        task_id="p",
        output="parquet.`s3a://out`",
        data="parquet.`s3a://data`",
        sql="select f(x) from data",
        functions={"f": "s3://f"},
    )
    assert collect_uris((*train.build_job().statements, *predict.build_job().statements)) == {
        "table 'data'": "s3a://data",
        "the model path": "s3://m",
        "the script": "s3://scripts/x.py",
        "fitParam.0.resource.words": "gs://b/words",
        "the model path of function f": "s3://f",
        "the output": "s3a://out",
    }


def test_an_extra_that_is_not_json_is_not_shown() -> None:
    from airflow_provider_mlsql.hooks.storage_types import read_fields

    connection = Connection(conn_id="x", conn_type="aws", extra="{hush")
    with pytest.raises(InputError, match="its extra is not JSON") as caught:
        read_fields(connection, "connection x")
    assert "hush" not in caught.value.message
