"""A model in S3 from training to prediction, with a connection whose keys are seen nowhere."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import pytest
from jars import fetch_jars
from support.airflow import Airflow
from support.secured_s3 import SecuredS3, secured_s3
from support.waiting import wait_until
from support.workbench import SAMPLE

from mlsql_runtime.submission.processes import MARK

AZURE_KEY = "hush-of-azure"
TRAIN = """
import os, time
import numpy as np
import mlsql, mlsql_model

X, y = mlsql.all_data()
print(mlsql.params(), dict(os.environ))
mlsql_model.sk_save_model(float(np.mean(y)))
folder = mlsql.fit_param["folder"]
open(folder + "/running", "w").close()
while not os.path.exists(folder + "/go on"):
    time.sleep(0.05)
print("mlsql_validation_score:0.9")
"""
PREDICT = """
import numpy as np
import mlsql_model, python_fun

def predict(X, model):
    return np.full((X.shape[0], 1), model)

python_fun.batch_udf(predict, load=mlsql_model.load)
"""
DAG = """
from airflow.sdk import DAG
from airflow_provider_mlsql.operators.predict import MLSQLPredictOperator
from airflow_provider_mlsql.operators.register import MLSQLRegisterOperator
from airflow_provider_mlsql.operators.train import MLSQLTrainOperator
from airflow_provider_mlsql.sensors.model import MLSQLModelSensor

FOLDER, CONF = {folder!r}, {conf!r}
DATA = {{"format": "libsvm", "path": {data!r}, "options": {{"numFeatures": 692}}}}
MODEL = {{"model_path": "s3://models/flow", "storage_conn_id": "store"}}
with DAG("storage_flow", schedule=None):
    train = MLSQLTrainOperator(
        task_id="train",
        data=DATA,
        python_script_path=FOLDER + "/train.py",
        fit_params={{"folder": FOLDER}},
        conf=CONF,
        **MODEL,
    )
    wait = MLSQLModelSensor(task_id="wait", poke_interval=1, deferrable=True, **MODEL)
    register = MLSQLRegisterOperator(
        task_id="register", function_name="judge", python_script_path=FOLDER + "/predict.py", **MODEL
    )
    predict = MLSQLPredictOperator(
        task_id="predict",
        data=DATA,
        functions={{"judge": "s3://models/flow"}},
        sql="select judge(features) as p from data",
        output="parquet.`s3a://models/out`",
        storage_conn_id="store",
        conf=CONF,
    )
    train >> wait >> register >> predict
"""


@pytest.fixture
def s3() -> Iterator[SecuredS3]:
    with secured_s3() as server:
        yield server


class _Flow:
    """The DAG in the background."""

    def __init__(self, airflow: Airflow, folder: Path, environment: dict[str, str]) -> None:
        self.log = ""

        def run() -> None:
            self.log = airflow.test("storage_flow", dags=folder / "dags", **environment)

        self._folder, self._thread = folder, threading.Thread(target=run)
        self._thread.start()
        wait_until(lambda: (folder / "running").exists() or not self._thread.is_alive(), seconds=180)

    def finish(self) -> None:
        (self._folder / "go on").touch()
        self._thread.join(timeout=300)
        assert not self._thread.is_alive()


def test_a_model_in_s3_by_a_connection_whose_keys_are_seen_nowhere(s3: SecuredS3, airflow: Airflow, tmp_path: Path) -> None:
    for name in ("dags", "events", "tmp"):
        (tmp_path / name).mkdir()
    conf = {
        "spark.jars": ",".join(map(str, sorted(fetch_jars("s3a").iterdir()))),
        "spark.eventLog.enabled": "true",
        "spark.eventLog.dir": (tmp_path / "events").as_uri(),
        "spark.eventLog.compress": "false",
        "spark.hadoop.fs.azure.account.key.acc.dfs.core.windows.net": AZURE_KEY,
    }
    (tmp_path / "train.py").write_text(TRAIN)
    (tmp_path / "predict.py").write_text(PREDICT)
    (tmp_path / "dags" / "flow.py").write_text(DAG.format(folder=str(tmp_path), conf=conf, data="s3a://models/data.txt"))
    s3.write("data.txt", Path(SAMPLE).read_bytes())
    environment = {"AIRFLOW_CONN_STORE": s3.connection(), "TMPDIR": str(tmp_path / "tmp")}
    hidden = (s3.key, s3.secret)
    flow = _Flow(airflow, tmp_path, environment)
    running = [process for process in psutil.process_iter() if is_of_job(process)]
    shown = [f"{' '.join(process.cmdline())} {process.environ()}" for process in running]
    flow.finish()
    log = flow.log
    assert len(running) >= 4  # JVM, driver, Spark's Python worker, script
    assert [text for text in shown if any(secret in text for secret in hidden)] == []
    values = airflow.xcoms("storage_flow")
    assert set(values) == {"train", "wait", "register", "predict"}, log[-9000:]
    assert (values["train"]["model_path"], values["train"]["version"]) == ("s3://models/flow", 1)
    assert values["wait"] == values["train"]
    assert values["register"]["registered"] is True
    stored = s3.read_bucket()
    parts = [pq.read_table(io.BytesIO(content)).num_rows for key, content in stored.items() if key.startswith("out/part-")]
    assert sum(parts) == values["predict"]["rows"] == 100
    assert {"flow/_model_1/manifest.json", "flow/_model_1/model/0/model.pickle"} <= stored.keys()
    files = {str(path): path.read_bytes() for path in (*tmp_path.rglob("*"), *airflow.home.rglob("*")) if path.is_file()}
    events = b"".join(content for name, content in files.items() if name.startswith(str(tmp_path / "events")))
    everything = {"log": log.encode(), **stored, **files}
    assert [name for name, content in everything.items() if any(secret.encode() in content for secret in hidden)] == []
    # Spark has them, and does not show them
    assert b'"spark.hadoop.fs.s3a.secret.key":"*********(redacted)"' in events
    assert b'"fs.s3a.access.key":"*********(redacted)"' in events
    assert f'"fs.s3a.endpoint":"{s3.endpoint}"'.encode() in events
    assert b'"fs.azure.account.key.acc.dfs.core.windows.net":"*********(redacted)"' in events
    assert AZURE_KEY.encode() not in events
    assert [path for path in (tmp_path / "tmp").iterdir() if path.name.startswith("mlsql")] == []


def is_of_job(process: psutil.Process) -> bool:
    try:
        return MARK in process.environ()
    except (psutil.Error, OSError):
        return False
