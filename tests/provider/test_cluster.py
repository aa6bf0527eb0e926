"""The same job on a Spark standalone cluster: a master and two workers, each a process of its own."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyspark
import pytest
from support.workbench import DATA, EXAMPLES, Script

from airflow_provider_mlsql.hooks.mlsql import MLSQLHook
from mlsql_runtime.errors import InterpreterError
from mlsql_runtime.plan import Plan, PythonEnv, Register, Save, Select, Train
from mlsql_runtime.result import RegisterResult, SaveResult, TrainResult

SPARK_HOME = str(Path(pyspark.__file__).parent)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def spark_process(folder: Path, *arguments: str, ready: str) -> Iterator[None]:
    """A Spark daemon in the foreground, from the line that says it is ready until it is ended by its process."""
    env = {**os.environ, "SPARK_HOME": SPARK_HOME, "SPARK_LOCAL_IP": "127.0.0.1", "PYSPARK_PYTHON": sys.executable}
    command = [f"{SPARK_HOME}/bin/spark-class", *arguments]
    with subprocess.Popen(command, env=env, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as daemon:
        try:
            assert daemon.stdout is not None
            said = []
            for line in daemon.stdout:
                said.append(line)
                if ready in line:
                    break
            else:
                pytest.fail(f"{arguments[0]} ended: {''.join(said)}")
            yield
        finally:
            daemon.terminate()
            daemon.communicate(timeout=60)


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder, port = tmp_path_factory.mktemp("cluster"), free_port()
    url = f"spark://127.0.0.1:{port}"
    with contextlib.ExitStack() as stack:
        ports = ["--host", "127.0.0.1", "--port", str(port), "--webui-port", "0"]
        stack.enter_context(spark_process(folder, "org.apache.spark.deploy.master.Master", *ports, ready="New state: ALIVE"))
        for _ in range(2):
            options = ["--host", "127.0.0.1", "--webui-port", "0", "-c", "1", "-m", "1g", "-d", str(folder), url]
            stack.enter_context(
                spark_process(
                    folder, "org.apache.spark.deploy.worker.Worker", *options, ready="Successfully registered with master"
                )
            )
        yield url


@pytest.fixture
def hook(master: str, monkeypatch: pytest.MonkeyPatch) -> MLSQLHook:
    monkeypatch.setenv("AIRFLOW_CONN_CLUSTER", f'{{"conn_type": "spark", "host": "{master}"}}')
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
                Register(model_path=model, function="jack", script_path=str(EXAMPLES / "predict_row.py")),
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


def test_executors_are_asked_for_their_interpreter_before_data_move(hook: MLSQLHook, tmp_path: Path, script: Script) -> None:
    missing = Train(
        table="data", model_path=str(tmp_path / "m"), script_path=script("pass"), python=PythonEnv(path="/no/such/python3")
    )
    with pytest.raises(InterpreterError, match="there is no Python interpreter /no/such/python3 on "):
        hook.run(Plan(job_id="missing", statements=(DATA, missing)))
    assert not (tmp_path / "m").exists()
