"""An environment in an archive, where there is no cluster to bring it to."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.environments import make_venv, pack
from support.workbench import DATA, RunPlan, Script

from mlsql_runtime.plan import Plan, Predict, Preflight, PythonEnv, Secrets, Train
from mlsql_runtime.result import PreflightResult, TrainResult
from mlsql_runtime.submission.client_mode import ClientJob
from mlsql_runtime.submission.spark_submit import build_command

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.usefixtures("starts_jvm")

TRAIN = """
import os, sys, mlsql, mlsql_model
folder = mlsql.internal_system_param["tempDataLocalPath"]
rows = sum(1 for name in os.listdir(folder) if name.endswith(".json") for _ in open(os.path.join(folder, name)))
mlsql.report(packed=sys.executable.endswith("/env/bin/python"), rows=rows)
open(mlsql_model.model_dir() + "/model", "w").write("x")
"""
PREDICT = """
import sys, mlsql
assert sys.executable.endswith("/env/bin/python")
given = mlsql.internal_system_param
with open(given["tempDataLocalPath"]) as rows, open(given["tempOutputLocalPath"], "w") as out:
    out.writelines('{"a": 1}\\n' for _ in rows)
"""


def test_a_packed_environment_runs_scripts_locally(
    run_plan: RunPlan, spark: SparkSession, tmp_path: Path, script: Script, capsys: pytest.CaptureFixture[str]
) -> None:
    make_venv(tmp_path / "made")
    archive = pack(tmp_path / "made", tmp_path / "packed.tgz")
    python = PythonEnv(path="env/bin/python", archives=(f"{archive}#env",))
    model = str(tmp_path / "m")
    train = Train(table="data", model_path=model, script_path=script(TRAIN), python=python)
    predict = Predict(table="data", model_path=model, script_path=script(PREDICT, "batch.py"), result="p")
    spark.sparkContext.addArchive(f"{archive}#env")  # as spark-submit does for a job that names it
    first = run_plan(Preflight(python=python), train, predict)
    first.raise_for_error()
    found, trained = first.steps
    assert isinstance(found, PreflightResult)
    assert found.problems == ()
    assert str(found.hosts[0].interpreter).endswith("/env/bin/python")
    assert isinstance(trained, TrainResult)
    assert dict(trained.fits[0].metrics) == {"packed": 1.0, "rows": 100.0}
    # A later job brings the archive along.
    later = ClientJob(Plan(job_id="local", statements=(DATA, predict)), Secrets(), "local[1]", {})
    later.run(partial(build_command, "local[1]"), lambda line: print(line.text)).raise_for_error()
    assert "predict: the script runs with env/bin/python, as the training of version 1 did" in capsys.readouterr().out
