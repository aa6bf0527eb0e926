"""The same job on a Spark standalone cluster."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pyspark
import pytest
from support.cluster import Cluster
from support.workbench import DATA, EXAMPLES

from airflow_provider_mlsql.hooks.mlsql import MLSQLHook
from mlsql_runtime.errors import InputError
from mlsql_runtime.plan import Plan, Register, Save, Select, Train
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store.functions import read_pointer
from mlsql_runtime.store.versions import read_manifest


@pytest.fixture
def hook(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> MLSQLHook:
    monkeypatch.setenv("AIRFLOW_CONN_CLUSTER", f'{{"conn_type": "spark", "host": "{cluster.url}"}}')
    monkeypatch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
    return MLSQLHook("cluster", conf={"spark.executor.memory": "600m", "spark.cores.max": "2"})


def test_a_job_on_a_cluster_until_an_executor_finds_a_mistake(
    hook: MLSQLHook, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    model, other = str(tmp_path / "m"), tmp_path / "other"
    bayes = Train(
        table="data",
        model_path=model,
        script_path=str(EXAMPLES / "train_bayes.py"),
        fit_params=({"alpha": "1"}, {"alpha": "2"}),
        validate_table="data",
    )
    groups = tuple({"moduleName": "sklearn.svm", "className": name} for name in ("SVC", "SVX"))
    statements = (
        DATA,
        bayes,
        Register(model_path=model, function="jack", script_path=str(EXAMPLES / "predict_bayes.py")),
        Select(table="out", sql="select label, jack(features) as p from data"),
        Save(table="out", format="parquet", path=f"file://{tmp_path}/out"),
        Train(table="data", model_path=str(other), script_path="builtin:sklearn", fit_params=groups),
    )
    with pytest.raises(InputError, match=r"^fitParam\.1: sklearn\.svm has no class 'SVX'; did you mean 'SVR'\?$"):
        hook.run(Plan(job_id="cluster", statements=statements))
    assert not other.exists()  # no data have moved
    trained = read_manifest(Location.of(model))
    assert [fit.status for fit in trained.fits] == ["success", "success"]
    assert trained.best.score is not None
    assert trained.best.score >= 0.9
    pointer = read_pointer(Location.of(model), "jack")
    assert pointer is not None
    assert [move.version for move in pointer.history] == [trained.version]
    assert pq.read_table(tmp_path / "out").num_rows == 100
    log = capfd.readouterr().out
    assert f"Spark {pyspark.__version__} on spark://127.0.0.1:" in log
    assert "[fit 1] mlsql_validation_score:" in log  # from an executor, live


def test_the_hook_checks_every_executor(hook: MLSQLHook, tmp_path: Path) -> None:
    found = hook.preflight(model_path=str(tmp_path / "m"), paths=[str(tmp_path)])
    assert sorted(report.executor for report in found.hosts) == ["0", "1"]
    assert [report.host for report in found.hosts] == ["127.0.0.1", "127.0.0.2"]
    assert found.silent == ()
    assert not (tmp_path / "m").exists()
