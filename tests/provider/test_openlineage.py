"""What operators tell Airflow's OpenLineage provider."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

import pytest
from openlineage.client.event_v2 import Job, Run, RunEvent, RunState
from openlineage.client.serde import Serde
from support.openlineage import check_event, normalize
from support.operators import predict, register, train

from airflow_provider_mlsql.lineage.naming import DataSetName, name_table, name_uri
from airflow_provider_mlsql.lineage.operator_lineage import build_lineage
from mlsql_runtime import codec
from mlsql_runtime.data_sets import CatalogName, DataSet, JobLineage, ModelUse, Provenance, UsedScript
from mlsql_runtime.errors import InputError, MLSQLError, TrainingFailed
from mlsql_runtime.result import RunResult, load_result

ID = "01890a5d-ac96-774b-bcce-b302099a8057"
DIGEST = "0" * 64
MODEL = DataSet(
    uri="s3a://models/orders",
    columns={"features": "vector", "label": "double"},
    version="7",
    rows=80,
    model=ModelUse(
        alg_index=1,
        score=0.9,
        greater_is_better=True,
        metrics={"loss": 0.5, "auc": None},
        functions=("jack",),
        provenance=Provenance(
            job_id="dag.train/run/0",
            created=datetime(2026, 1, 2, tzinfo=timezone.utc),
            script="train.py",
            script_sha256=DIGEST,
        ),
    ),
)
TABLE = DataSet(
    uri="file:/warehouse/shop.db/orders",
    table=CatalogName(name="shop.orders", catalog="thrift://metastore:9083"),
    format="delta",
    columns={"id": "int"},
    version="12",
    files=3,
    size=1000,
)
LINEAGE = JobLineage(inputs=(TABLE,), outputs=(MODEL,), scripts=(UsedScript(role="train", name="train.py", sha256=DIGEST),))


def make_event(lineage: JobLineage | None, error: MLSQLError | None = None) -> dict[str, Any]:
    """Return the event of a task, as Airflow writes it."""
    task = build_lineage(lineage, error)
    event = RunEvent(
        eventType=RunState.COMPLETE if error is None else RunState.FAIL,
        eventTime="2026-01-02T03:04:05Z",
        run=Run(ID, task.run_facets),
        job=Job("default", "dag.train", task.job_facets),
        inputs=task.inputs,
        outputs=task.outputs,
        producer="https://example.org",
    )
    document: dict[str, Any] = json.loads(Serde.to_json(event))
    return document


@pytest.mark.parametrize(
    ("uri", "namespace", "name"),
    [
        ("/data/orders", "file", "/data/orders"),
        ("/data/a:b/", "file", "/data/a:b"),
        ("file:/data/orders", "file", "/data/orders"),
        ("file:///data/orders/", "file", "/data/orders"),
        ("hdfs://namenode:8020/data/orders", "hdfs://namenode:8020", "/data/orders"),
        ("hdfs://namenode:8020", "hdfs://namenode:8020", "/"),
        ("s3a://bucket/data/orders", "s3://bucket", "data/orders"),
        ("s3://bucket", "s3://bucket", "/"),
        ("gcs://bucket/orders", "gs://bucket", "orders"),
        ("abfs://box@me.dfs.core.windows.net/orders", "abfss://box@me.dfs.core.windows.net", "orders"),
        ("wasb://box@me.blob.core.windows.net/orders", "wasbs://box@me.blob.core.windows.net", "orders"),
        ("dbfs:/data/orders", "dbfs", "/data/orders"),
        ("kafka://broker:9092/orders", "kafka://broker:9092", "orders"),
    ],
)
def test_files_and_topics_are_named_by_their_place(uri: str, namespace: str, name: str) -> None:
    assert name_uri(uri) == DataSetName(namespace, name)


@pytest.mark.parametrize(
    ("catalog", "namespace"),
    [
        ("thrift://metastore:9083", "hive://metastore:9083"),
        ("file:/warehouse", "file:/warehouse"),
        ("file:///warehouse/", "file:/warehouse"),
        ("s3a://bucket/warehouse", "s3://bucket/warehouse"),
        ("hdfs://namenode:8020/warehouse", "hdfs://namenode:8020/warehouse"),
        ("https://catalog:8181", "https://catalog:8181"),
        ("spark_catalog", "spark_catalog"),
    ],
)
def test_tables_are_named_by_their_catalog(catalog: str, namespace: str) -> None:
    assert name_table(CatalogName(name="shop.orders", catalog=catalog)) == DataSetName(namespace, "shop.orders")


def test_the_facets_of_a_training() -> None:
    event = make_event(LINEAGE)
    check_event(event)
    assert normalize(event, {}) == {
        "event": "COMPLETE",
        "job": "dag.train",
        "mlsql_scripts": {"scripts": [{"role": "train", "name": "train.py", "sha256": "<sha256>"}]},
        "inputs": [
            {
                "namespace": "file",
                "name": "/warehouse/shop.db/orders",
                "facets": {
                    "schema": {"fields": [{"name": "id", "type": "int", "ordinal_position": 1, "fields": []}]},
                    "version": {"datasetVersion": "12"},
                    "storage": {"storageLayer": "delta"},
                    "symlinks": {"identifiers": [{"namespace": "hive://metastore:9083", "name": "shop.orders", "type": "TABLE"}]},
                },
                "inputFacets": {"inputStatistics": {"size": 1000, "fileCount": 3}},
            }
        ],
        "outputs": [
            {
                "namespace": "s3://models",
                "name": "orders",
                "facets": {
                    "schema": {
                        "fields": [
                            {"name": "features", "type": "vector", "ordinal_position": 1, "fields": []},
                            {"name": "label", "type": "double", "ordinal_position": 2, "fields": []},
                        ]
                    },
                    "version": {"datasetVersion": "7"},
                    "mlsql_score": {"group": 1, "score": 0.9, "greaterIsBetter": True},
                    "mlsql_metrics": {"metrics": {"loss": 0.5}},
                    "mlsql_functions": {"functions": ["jack"]},
                    "mlsql_provenance": {
                        "jobId": "<jobId>",
                        "created": "<created>",
                        "script": "train.py",
                        "scriptSha256": "<scriptSha256>",
                    },
                },
                "outputFacets": {"outputStatistics": {"rowCount": 80}},
            }
        ],
    }


def test_a_model_of_which_little_is_known() -> None:
    model = DataSet(uri="/m", version="1", model=ModelUse(alg_index=0, score=None, greater_is_better=None))
    event = make_event(JobLineage(inputs=(model,)))
    check_event(event)
    assert event["inputs"][0]["facets"].keys() == {"version", "mlsql_score"}


def test_a_table_without_a_place_has_its_name_in_the_catalog() -> None:
    table = replace(TABLE, uri=None)
    [read] = make_event(JobLineage(inputs=(table,)))["inputs"]
    assert (read["namespace"], read["name"]) == ("hive://metastore:9083", "shop.orders")
    assert "symlinks" not in read["facets"]


def test_a_failure_has_its_message_and_the_last_lines_of_its_scripts() -> None:
    error = TrainingFailed("all groups failed", tails={"0": ["one", "two"], "1": ["three"]})
    event = make_event(replace(LINEAGE, outputs=()), error)
    check_event(event)
    facet = event["run"]["facets"]["errorMessage"]
    assert (facet["message"], facet["stackTrace"]) == ("all groups failed", "one\ntwo\nthree")
    assert event["inputs"]
    bare = make_event(None, InputError("no such file"))
    assert "stackTrace" not in bare["run"]["facets"]["errorMessage"]


def test_the_lineage_in_a_result_is_strict_json_and_may_be_missing() -> None:
    result = RunResult(job_id="j", steps=(), lineage=LINEAGE)
    assert load_result(codec.dumps(result)) == result
    document = json.loads(codec.dumps(result))
    del document["lineage"]  # as earlier versions have written it
    assert load_result(json.dumps(document)) == RunResult(job_id="j", steps=())


WITHOUT = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        is_provider = name.startswith("airflow.providers.openlineage.") and not name.endswith(".get_provider_info")
        if is_provider or name.partition(".")[0] == "openlineage":
            raise ImportError(name)
sys.meta_path.insert(0, Block())
from airflow_provider_mlsql.lineage.settings import is_lineage_wanted, read_injected_properties
from airflow_provider_mlsql.operators.train import MLSQLTrainOperator
print(is_lineage_wanted(), read_injected_properties({}, {}, None, None), read_injected_properties({}, {}, True, True))
"""


def test_nothing_changes_without_the_provider() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False {} {}"


def test_a_provider_without_a_transport_gets_nothing() -> None:
    """As in every other test of this suite: lineage costs nothing where nobody asks for it."""
    from airflow_provider_mlsql.lineage.settings import is_lineage_wanted

    assert not is_lineage_wanted()


TRANSPORT = {
    "type": "http",
    "url": "https://lineage.example",
    "auth": {"type": "api_key", "apiKey": "hush-hush"},
    "custom_headers": {"Authorization": "Basic hush"},
}
INJECT = """
import json
from airflow_provider_mlsql.lineage.settings import is_lineage_wanted, read_injected_properties
from mlsql_runtime.plan import is_secret_property
properties = read_injected_properties({"spark.openlineage.parentRunId": "own"}, {}, None, None)
print(json.dumps([is_lineage_wanted(), properties, [name for name in properties if is_secret_property(name, properties[name])]]))
"""


def test_the_transport_goes_to_spark_and_its_secrets_not_to_command_lines() -> None:
    variables = {
        "AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps(TRANSPORT),
        "AIRFLOW__OPENLINEAGE__SPARK_INJECT_PARENT_JOB_INFO": "True",
        "AIRFLOW__OPENLINEAGE__SPARK_INJECT_TRANSPORT_INFO": "True",
    }
    done = subprocess.run([sys.executable, "-c", INJECT], env=os.environ | variables, capture_output=True, text=True, check=True)
    is_wanted, properties, secret = json.loads(done.stdout.splitlines()[-1])
    assert is_wanted
    assert properties["spark.openlineage.transport.type"] == "http"
    assert properties["spark.openlineage.transport.url"] == "https://lineage.example"
    assert properties["spark.openlineage.transport.auth.apiKey"] == "Bearer hush-hush"
    assert "spark.openlineage.parentRunId" not in properties  # the user has set it
    assert sorted(secret) == ["spark.openlineage.transport.auth.apiKey", "spark.openlineage.transport.headers.Authorization"]


PARENT = """
import datetime, json
from types import SimpleNamespace
from airflow_provider_mlsql.lineage.settings import read_injected_properties
run = SimpleNamespace(dag_id="shop", run_id="r", logical_date=datetime.datetime(2026, 1, 2), clear_number=0, conf={})
task = SimpleNamespace(dag_id="shop", task_id="train", run_id="r", try_number=1, map_index=-1)
task.get_template_context = lambda: {"dag_run": run}
print(json.dumps(read_injected_properties({"spark.ui.enabled": "false"}, {"ti": task}, True, None)))
"""


def test_the_task_is_the_parent_of_what_spark_reports() -> None:
    variables = {"AIRFLOW__OPENLINEAGE__NAMESPACE": "company", "AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps(TRANSPORT)}
    done = subprocess.run([sys.executable, "-c", PARENT], env=os.environ | variables, capture_output=True, text=True, check=True)
    properties = {
        name.removeprefix("spark.openlineage."): value for name, value in json.loads(done.stdout.splitlines()[-1]).items()
    }
    run, root = properties.pop("parentRunId"), properties.pop("rootParentRunId")
    assert uuid.UUID(run) != uuid.UUID(root)
    assert properties == {
        "parentJobNamespace": "company",
        "parentJobName": "shop.train",
        "rootParentJobName": "shop",
        "rootParentJobNamespace": "company",
    }


@pytest.mark.parametrize("make", [train, register, predict])
def test_every_operator_takes_the_arguments_of_sparks_operator(make: Any) -> None:
    operator = make(openlineage_inject_parent_job_info=True, openlineage_inject_transport_info=False)
    assert operator.openlineage_inject_parent_job_info is True
    assert operator.openlineage_inject_transport_info is False
