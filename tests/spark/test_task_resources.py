"""Graphics cards that Spark assigns to tasks: each script and each function sees its own."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest
from support.cluster import Cluster
from support.workbench import DATA, Script

from mlsql_runtime.plan import Plan, Predict, Register, Save, Secrets, Select, Train
from mlsql_runtime.submission.client_mode import ClientJob
from mlsql_runtime.submission.spark_submit import build_command

pytestmark = pytest.mark.usefixtures("starts_jvm")

# Each group waits for the other, so that both have their devices at the same time.
TRAIN = """
import json, os, pathlib, time, mlsql, mlsql_model
folder = pathlib.Path(mlsql.fit_param["folder"])
seen = {"resources": mlsql.resources(), "visible": os.environ["CUDA_VISIBLE_DEVICES"]}
(folder / mlsql.internal_system_param["algIndex"]).write_text(json.dumps(seen))
while len(list(folder.iterdir())) < 2:
    time.sleep(0.05)
mlsql_model.sk_save_model(0)
"""
PREDICT = """
import json, os, pathlib, uuid, mlsql, python_fun
from pyspark import TaskContext

FOLDER = pathlib.Path(mlsql.fit_param["folder"])

def note(place):
    if TaskContext.get() is not None:  # on the driver there are none
        seen = {"resources": mlsql.resources(), "visible": os.environ["CUDA_VISIBLE_DEVICES"]}
        (FOLDER / f"{place}-{uuid.uuid4().hex}").write_text(json.dumps(seen))

def load(directory):
    note("load")

def predict(X, model):
    note("predict")
    return X[:, 0]

python_fun.batch_udf(predict, load=load, sparse=False)
"""
BATCH = """
import json, os, pathlib, uuid, mlsql
given = mlsql.internal_system_param
seen = {"resources": mlsql.resources(), "visible": os.environ["CUDA_VISIBLE_DEVICES"]}
(pathlib.Path(mlsql.fit_param["folder"]) / f"batch-{uuid.uuid4().hex}").write_text(json.dumps(seen))
open(given["tempOutputLocalPath"], "w").write(open(given["tempDataLocalPath"]).read())
"""


def test_each_task_sees_the_graphics_card_that_spark_assigns_to_it(
    cluster: Cluster, tmp_path: Path, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One executor has both cards of its worker."""
    monkeypatch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
    trained, asked = tmp_path / "trained", tmp_path / "asked"
    for folder in (trained, asked):
        folder.mkdir()
    model = str(tmp_path / "m")
    plan = Plan(
        job_id="resources",
        statements=(
            DATA,
            Train(table="data", model_path=model, script_path=script(TRAIN), fit_params=({"folder": str(trained)},) * 2),
            Register(
                model_path=model, function="guess", script_path=script(PREDICT, "predict.py"), params={"folder": str(asked)}
            ),
            Select(table="answers", sql="select guess(features) as x from data"),
            Save(table="answers", format="parquet", path=str(tmp_path / "answers")),
            Predict(
                table="data",
                model_path=model,
                script_path=script(BATCH, "batch.py"),
                params={"folder": str(asked)},
                result="again",
            ),
        ),
    )
    conf = {
        "spark.cores.max": "2",
        "spark.executor.cores": "2",
        "spark.executor.memory": "600m",
        "spark.executor.resource.gpu.amount": "2",
        "spark.task.resource.gpu.amount": "1",
    }
    job = ClientJob(plan, Secrets(), cluster.url, conf)
    job.run(partial(build_command, cluster.url), lambda line: print(line.text)).raise_for_error()
    groups = [json.loads((trained / index).read_text()) for index in ("0", "1")]
    assert sorted(group["visible"] for group in groups) == ["4", "7"]
    seen = {file.name: json.loads(file.read_text()) for file in asked.iterdir()}
    assert {name.partition("-")[0] for name in seen} == {"load", "predict", "batch"}
    for each in (*groups, *seen.values()):
        assert each["resources"] == {"gpu": [each["visible"]]}
