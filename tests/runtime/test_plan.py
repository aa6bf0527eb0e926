from __future__ import annotations

import math
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

import pytest

from mlsql_runtime.errors import InputError
from mlsql_runtime.plan import (
    Attempt,
    FileFeed,
    FunctionRef,
    KafkaFeed,
    Load,
    Plan,
    Predict,
    PythonEnv,
    Register,
    Save,
    Select,
    Show,
    TableRef,
    Train,
    dump_plan,
    hide_passwords,
    is_identifier,
    is_secret_property,
    load_plan,
    merge_archives,
    parse_table_ref,
)

REUSE = KafkaFeed(topic="t", settings={}, reuse=True)
GOOD: dict[type, dict[str, Any]] = {
    Load: {"table": "data", "format": "json", "path": "/d"},
    FunctionRef: {"name": "jack", "model_path": "/m", "function": "jack"},
    Select: {"table": "t", "sql": "select 1"},
    Show: {"table": "t"},
    FileFeed: {},
    KafkaFeed: {"topic": "t", "settings": {}},
    PythonEnv: {},
    Train: {"table": "data", "model_path": "/m", "script_path": "train.py"},
    Register: {"model_path": "/m", "function": "jack", "script_path": "predict.py"},
    Predict: {"table": "data", "model_path": "/m", "script_path": "p.py", "result": "out"},
    Save: {"table": "out", "format": "parquet", "path": "/o"},
}


@pytest.mark.parametrize("cls", GOOD)
def test_the_smallest_statement_is_accepted(cls: type) -> None:
    assert cls(**GOOD[cls]) == cls(**GOOD[cls])


@pytest.mark.parametrize(
    ("cls", "wrong", "fragment"),
    [
        (Load, {"table": "my table"}, "'my table'"),
        (Load, {"table": ""}, "loaded table"),
        (Load, {"table": "data\n"}, "loaded table"),
        (Load, {"format": " "}, "format of table data"),
        (FunctionRef, {"name": "1st"}, "'1st'"),
        (FunctionRef, {"model_path": ""}, "model path of function jack"),
        (FunctionRef, {"function": "../jack"}, "'../jack'"),
        (FunctionRef, {"function": ""}, "function"),
        (Select, {"table": "a.b"}, "'a.b'"),
        (Select, {"sql": "\n\t "}, "SQL of table t"),
        (FileFeed, {"format": ""}, "dataLocalFormat"),
        (FileFeed, {"file_num": 0}, "dataLocalFileNum is 0; expected a whole number of at least 1"),
        (KafkaFeed, {"topic": "my topic"}, "'my topic'"),
        (KafkaFeed, {"topic": ".."}, "kafkaParam.topic is"),
        (KafkaFeed, {"topic": "t" * 201}, "200"),
        (KafkaFeed, {"group": ""}, "kafkaParam.group_id is"),
        (KafkaFeed, {"partitions": 0}, "topic.partitions is 0"),
        (KafkaFeed, {"replication_factor": -1}, "replication.factor is -1"),
        (PythonEnv, {"version": "2.7"}, "Python 2"),
        (PythonEnv, {"version": "2"}, "Python 2"),
        (PythonEnv, {"version": "three"}, "'three'; expected a version prefix"),
        (PythonEnv, {"version": "3.11.0.1"}, "'3.11.0.1'"),
        (PythonEnv, {"version": ""}, "pythonVer"),
        (PythonEnv, {"timeout": 0}, "timeout is .*; expected a number over 0"),
        (PythonEnv, {"timeout": -1.5}, "-1.5"),
        (PythonEnv, {"timeout": math.nan}, "nan"),
        (PythonEnv, {"seed": -1}, "seed is -1; expected a whole number from 0 to 4294967295"),
        (PythonEnv, {"seed": 2**32}, "seed is 4294967296"),
        (Train, {"script_path": "builtin:sklearn"}, "fitParam.0.moduleName is not given"),
        (Train, {"table": "näme"}, "table to train on"),
        (Train, {"table": None}, "table to train on"),
        (Train, {"feed": REUSE}, "leave out 'data'"),
        (Train, {"feed": REUSE, "table": None, "validate_fraction": 0.2}, "held out"),
        (Train, {"model_path": ""}, "model path"),
        (Train, {"script_path": "  "}, "pythonScriptPath"),
        (Train, {"fit_params": ()}, "fitParam"),
        (Train, {"fit_params": ({}, {"resource.../etc": "/a"})}, r"fitParam.1.resource.../etc: expected a name"),
        (Train, {"fit_params": ({"resource..": "/a"},)}, "expected a name for the resource"),
        (Train, {"fit_params": ({"resource.": "/a"},)}, "expected a name for the resource"),
        (Train, {"result": "a b"}, "'a b'"),
        (Load, {"text": "{}"}, "from text and from /d"),
        (Load, {"path": None, "format": "orc", "text": ""}, "from text as orc; expected json or csv"),
        (Show, {"rows": 0}, "0 rows are to be shown; expected 1 to 1000"),
        (Save, {"file_num": 0}, "fileNum is 0; expected a whole number of at least 1"),
        (Train, {"validate_table": "v", "validate_fraction": 0.2}, "both"),
        (Train, {"stratify": True}, "a fraction of each class, and none is given"),
        (Train, {"feature_columns": ("a", "Y"), "label_column": "y"}, "label column 'y' is among the feature columns"),
        (Train, {"feature_columns": ("a", "b"), "fit_params": ({}, {"inputCol": "a"})}, "fitParam.1.inputCol is 'a'"),
        (Train, {"feature_columns": ("a",), "fit_params": ({"label": "y"},)}, "'y' and no label column is named"),
        (Train, {"label_column": "x", "fit_params": ({"label": "y"},)}, "'y' and the label column is 'x'"),
        (
            Train,
            {"fit_params": ({"label": "a"}, {"label": "b"}), "validate_fraction": 0.2, "stratify": True},
            "classes of one label, and the fit groups name different ones",
        ),
        (Train, {"validate_fraction": 0.0}, "0.0"),
        (Train, {"validate_fraction": 1.0}, "1.0"),
        (Train, {"validate_fraction": math.nan}, "nan"),
        (Train, {"keep_versions": 0}, "keepVersions is 0"),
        (Train, {"fail_on": "most"}, "'most'; expected all or any"),
        (Register, {"function": "select *"}, "'select \\*'"),
        (Register, {"model_path": None}, "model path"),
        (Register, {"script_path": ""}, "pythonScriptPath"),
        (Register, {"only_if_better": -0.1}, "onlyIfBetter is -0.1; expected a number of at least 0"),
        (Register, {"model_version": 0}, "modelVersion is 0; expected a whole number of at least 1"),
        (Predict, {"model_version": 0}, "modelVersion is 0; expected a whole number of at least 1"),
        (Register, {"alg_index": -1}, "algIndex is -1; expected a whole number of at least 0"),
        (Predict, {"table": "a-b"}, "'a-b'"),
        (Predict, {"result": ""}, "predicted table"),
        (Predict, {"model_path": " "}, "model path"),
        (Predict, {"script_path": " "}, "pythonScriptPath"),
        (Predict, {"params": {"resource.": "/a"}}, "fitParam.0.resource.: expected a name for the resource"),
        (Register, {"params": {"resource.a/b": "/a"}}, "fitParam.0.resource.a/b: expected a name for the resource"),
        (Save, {"table": "a b"}, "'a b'"),
        (Save, {"format": ""}, "format to save table out"),
        (Save, {"mode": "Overwrite"}, "'Overwrite'"),
        (Save, {"using": "delta"}, "saved as parquet, and using delta; leave out using"),
        (Save, {"format": "table", "path": None}, "name of the catalog's table that out is saved to is empty"),
        (Load, {"format": "Table", "path": " "}, "name of the catalog's table that data is loaded from is empty"),
    ],
)
def test_a_wrong_field_is_refused_by_name(cls: type, wrong: dict[str, Any], fragment: str) -> None:
    with pytest.raises(InputError, match=fragment):
        cls(**GOOD[cls] | wrong)


def test_statements_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        Load(**GOOD[Load]).table = "other"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("name", "good"), [("a", True), ("_a1", True), ("A_b", True), ("1a", False), ("a b", False), ("", False)]
)
def test_identifiers(name: str, good: bool) -> None:
    assert is_identifier(name) is good


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("libsvm.`/data/sample.txt`", TableRef("libsvm", "/data/sample.txt")),
        ("  json.`s3://b/a b/*.json` ", TableRef("json", "s3://b/a b/*.json")),
        ("org.apache.spark.sql.avro.`/a`", TableRef("org.apache.spark.sql.avro", "/a")),
        ({"format": "csv", "path": "/a"}, TableRef("csv", "/a")),
        ({"format": "jdbc"}, TableRef("jdbc", None)),
        (
            {"format": "csv", "path": "/a", "options": {"header": True, "maxColumns": 9, "sep": ";"}},
            TableRef("csv", "/a", {"header": "true", "maxColumns": "9", "sep": ";"}),
        ),
        ({"format": "csv", "path": None, "options": None}, TableRef("csv", None)),
        ({"format": "csv", "mode": "append"}, TableRef("csv", None)),
        ({"table": "shop.orders", "options": {"versionAsOf": 3}}, TableRef("table", "shop.orders", {"versionAsOf": "3"})),
    ],
)
def test_both_notations_of_a_table_are_read(value: Any, expected: TableRef) -> None:
    assert parse_table_ref(value, "data", extra=("mode",)) == expected


@pytest.mark.parametrize(
    ("value", "fragment"),
    [
        ("", "format.`path`"),
        ("/data/x", "'/data/x'"),
        ("libsvm.`/a", "format.`path`"),
        ("libsvm.``", "format.`path`"),
        ("libsvm.`/a` limit 3", "format.`path`"),
        ("`/a`", "format.`path`"),
        (7, "data is a int"),
        (None, "data is a NoneType"),
        ({"fromat": "csv"}, "'fromat'; did you mean 'format'"),
        ({"path": "/a"}, "data names no format"),
        ({"format": ""}, "data names no format"),
        ({"table": ""}, "data names no format; expected a Spark format .* or a table of a catalog"),
        ({"table": "shop.orders", "format": "delta"}, "data names the table shop.orders of a catalog, and a format"),
        ({"format": "csv", "options": "header"}, "options of data are a str"),
    ],
)
def test_another_notation_of_a_table_is_refused(value: Any, fragment: str) -> None:
    with pytest.raises(InputError, match=fragment):
        parse_table_ref(value, "data")


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("spark.hadoop.fs.s3a.access.key", True),
        ("spark.hadoop.fs.s3a.bucket.models.access.key", True),
        ("spark.hadoop.fs.s3a.secret.key", True),
        ("spark.hadoop.fs.azure.sas.container.account.blob.core.windows.net", True),
        ("spark.mongodb.apiKey", True),
        ("private_key", True),
        ("spark.hadoop.fs.azure.account.key.acc.blob.core.windows.net", True),
        ("spark.kubernetes.authenticate.submission.oauthToken", True),
        ("spark.ssl.keyStorePassword", True),
        ("es.net.http.auth.pass", True),
        ("pwd", True),
        ("ssl.key.passphrase", True),
        ("spark.bypass", False),
        ("spark.kubernetes.container.image.pullSecrets", False),
        ("spark.kubernetes.driver.secrets.my-secret", False),
        ("spark.kubernetes.driver.secretKeyRef.ENV", False),
        ("spark.kubernetes.authenticate.submission.oauthTokenFile", False),
        ("spark.security.credentials.hive.enabled", False),
        ("spark.hadoop.fs.s3a.aws.credentials.provider", False),
        ("spark.executor.memory", False),
    ],
)
def test_properties_that_hold_secrets_and_those_that_are_about_them(name: str, secret: bool) -> None:
    assert is_secret_property(name, "x") is secret


@pytest.mark.parametrize(
    ("name", "value", "secret"),
    [
        ("spark.sql.catalog.pg.url", "jdbc:postgresql://h/db?user=u&password=hush", True),
        ("spark.hadoop.javax.jdo.option.ConnectionURL", "jdbc:mysql://h/db?user=u&pwd=hush", True),
        ("spark.sql.catalog.pg.url", "jdbc:postgresql://h/db", False),
        ("spark.archives", "https://account.blob.core.windows.net/envs/py.tar.gz?sig=hush", False),  # spark-submit brings it
    ],
)
def test_values_that_hold_secrets(name: str, value: str, secret: bool) -> None:
    assert is_secret_property(name, value) is secret


def test_attempts_of_a_job_have_one_digest_and_other_statements_another() -> None:
    load, select = Load(table="data", format="json", path="/x"), Select(table="t", sql="select 1")
    first = Plan(job_id="job", statements=(load, select))
    later = replace(first, attempt=Attempt(earlier_since=datetime.now(timezone.utc), is_last=False))
    assert later.digest(1) == first.digest(1)
    others = [first.digest(0), replace(first, job_id="job-2").digest(1), replace(first, statements=(load, load)).digest(1)]
    assert len({first.digest(1), *others}) == 4
    assert load_plan(dump_plan(later)) == later


@pytest.mark.parametrize("authority", ["me:s3cret@nexus", "me:s3cret@with@nexus", "me@nexus"])
def test_archives_with_a_password_are_refused_without_showing_it(authority: str) -> None:
    with pytest.raises(InputError, match="with a user or a password") as caught:
        PythonEnv(archives=(f"https://{authority}/env.tar.gz#env",))
    assert "'https://***@nexus/env.tar.gz#env'" in caught.value.message


def test_archives_are_joined_with_those_of_the_job_each_once() -> None:
    assert merge_archives(["/e.tar.gz#env", "/e.tar.gz#env"], "/words.zip, /e.tar.gz#env") == "/words.zip,/e.tar.gz#env"
    assert merge_archives([]) == ""
    with pytest.raises(InputError, match=r"'/e.tar.gz#env' and '/f.zip#env' have one name"):
        merge_archives(["/f.zip#env"], "/e.tar.gz#env")


def test_an_environment_in_an_archive_is_packed_with_all_it_needs() -> None:
    with pytest.raises(InputError, match="install them into the environment before it is packed"):
        PythonEnv(path="env/bin/python", archives=("/e.tar.gz#env",), requirements="numpy")
    PythonEnv(path="/opt/python", archives=("/e.tar.gz#env",), requirements="numpy")


@pytest.mark.parametrize(
    ("path", "is_unpacked"),
    [("env/bin/python", True), ("./env/bin/python", True), ("other/bin/python", False), ("env", False), (None, False)],
)
def test_an_interpreter_may_be_in_an_archive(path: str | None, is_unpacked: bool) -> None:
    assert PythonEnv(path=path, archives=("/e.tar.gz#env",)).is_unpacked == is_unpacked
    assert not PythonEnv(path=path).is_unpacked


SECRETS = {
    "password": "hush",
    "fs.s3a.secret.key": "hush",
    "url": "jdbc:postgresql://host/db?user=me&password=hush",
    "connection": "Endpoint=sb://host;SharedAccessKey=hush",
    "proxy": "http://me:hush@host:80",
    "path": "wasbs://c@host/p?sv=1&sig=hush",
}


def test_the_origin_of_a_loaded_table_has_no_secrets() -> None:
    load = Load(table="t", format="jdbc", path="s3a://me:hush@bucket/x", options={**SECRETS, "dbtable": "orders"})
    origin = load.outline.origin
    assert origin is not None
    assert "hush" not in repr(origin)
    assert origin.path == "s3a://***@bucket/x"
    assert origin.options == {**dict.fromkeys(SECRETS, "***"), "dbtable": "orders", "proxy": "http://***@host:80"}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("s3://me:hush@bucket/x", "s3://***@bucket/x"),
        ("pip install git+https://hush@host/x.git", "pip install git+https://***@host/x.git"),
        ("//me:hush@host/x", "//***@host/x"),
        ("abfss://container@account.dfs.core.windows.net/m", "abfss://container@account.dfs.core.windows.net/m"),
        ("abfss://me:hush@account.dfs.core.windows.net/m", "abfss://***@account.dfs.core.windows.net/m"),
        ("jdbc:oracle:thin:scott/hush@//db:1521/x", "jdbc:oracle:thin:***@//db:1521/x"),
        ("select * from jdbc.`jdbc:oracle:oci:scott/hush@db`", "select * from jdbc.`jdbc:oracle:oci:***@db`"),
        ("jdbc:oracle:thin:@//db:1521/x", "jdbc:oracle:thin:@//db:1521/x"),
        ("/data/a@b, s3://bucket/a@b", "/data/a@b, s3://bucket/a@b"),
    ],
)
def test_users_and_passwords_are_hidden_and_containers_of_azure_are_not(text: str, shown: str) -> None:
    assert hide_passwords(text) == shown
    assert is_secret_property("spark.sql.catalog.x.url", text) is (text != shown)
