"""The same job on a Spark standalone cluster."""

from __future__ import annotations

from pathlib import Path

import pyspark
import pytest
from support.cluster import Cluster
from support.workbench import DATA, EXAMPLES, Script

from airflow_provider_mlsql.hooks.mlsql import MLSQLHook
from mlsql_runtime.errors import InputError, PreflightFailed
from mlsql_runtime.plan import Plan, PythonEnv, Register, Save, Select, Train
from mlsql_runtime.result import RegisterResult, SaveResult, TrainResult


@pytest.fixture
def hook(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> MLSQLHook:
    monkeypatch.setenv("AIRFLOW_CONN_CLUSTER", f'{{"conn_type": "spark", "host": "{cluster.url}"}}')
    monkeypatch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
    return MLSQLHook("cluster", conf={"spark.executor.memory": "600m", "spark.cores.max": "2"})


def test_the_whole_job_on_a_cluster(hook: MLSQLHook, tmp_path: Path, script: Script, capfd: pytest.CaptureFixture[str]) -> None:
    model = str(tmp_path / "m")
    result = hook.run(
        Plan(
            job_id="cluster",
            statements=(
                DATA,
                Train(
                    table="data",
                    model_path=model,
                    script_path=str(EXAMPLES / "train_bayes.py"),
                    fit_params=({"alpha": "1"}, {"alpha": "2"}),
                    validate_table="data",
                ),
                Register(model_path=model, function="jack", script_path=str(EXAMPLES / "predict_bayes.py")),
                Select(table="out", sql="select label, jack(features) as p from data"),
                Save(table="out", format="parquet", path=f"file://{tmp_path}/out"),
            ),
        )
    )
    train, register, save = result.steps
    assert isinstance(train, TrainResult)
    assert [fit.status for fit in train.fits] == ["success", "success"]
    assert train.score is not None
    assert train.score >= 0.9
    assert isinstance(register, RegisterResult)
    assert register.registered
    assert isinstance(save, SaveResult)
    assert save.rows == 100
    log = capfd.readouterr().out
    assert f"Spark {pyspark.__version__} on spark://127.0.0.1:" in log
    assert "[fit 1] mlsql_validation_score:" in log  # from an executor, live


def test_the_hook_checks_every_executor(hook: MLSQLHook, tmp_path: Path) -> None:
    found = hook.preflight(model_path=str(tmp_path / "m"), paths=[str(tmp_path)])
    assert sorted(report.executor for report in found.hosts) == ["0", "1"]
    assert [report.host for report in found.hosts] == ["127.0.0.1", "127.0.0.2"]
    assert found.silent == ()
    assert not (tmp_path / "m").exists()


def test_executors_are_asked_for_their_interpreter_before_data_move(hook: MLSQLHook, tmp_path: Path, script: Script) -> None:
    missing = Train(
        table="data", model_path=str(tmp_path / "m"), script_path=script("pass"), python=PythonEnv(path="/no/such/python3")
    )
    with pytest.raises(PreflightFailed, match="there is no Python interpreter /no/such/python3 on "):
        hook.run(Plan(job_id="missing", statements=(DATA, missing)))
    assert not (tmp_path / "m").exists()


def test_an_executor_checks_built_in_algorithms_before_data_move(hook: MLSQLHook, tmp_path: Path) -> None:
    groups = tuple({"moduleName": "sklearn.svm", "className": name} for name in ("SVC", "SVX"))
    train = Train(table="data", model_path=str(tmp_path / "m"), script_path="builtin:sklearn", fit_params=groups)
    with pytest.raises(InputError, match=r"^fitParam\.1: sklearn\.svm has no class 'SVX'; did you mean 'SVR'\?$"):
        hook.run(Plan(job_id="builtin", statements=(DATA, train)))
    assert not (tmp_path / "m").exists()
