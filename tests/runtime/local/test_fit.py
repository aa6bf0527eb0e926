"""``mlsql fit`` beside a job and with a session of its own."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.workbench import EXAMPLES, SAMPLE, WIDTH, RunPlan

from mlsql_runtime.cli.main import main
from mlsql_runtime.plan import Train
from mlsql_runtime.result import TrainResult

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def test_the_same_model_as_of_a_job(run_plan: RunPlan, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    script = EXAMPLES / "train_bayes.py"
    train = Train(
        table="data",
        model_path=str(tmp_path / "m"),
        script_path=str(script),
        fit_params=({"alpha": "0.5", "batchSize": "30"},),
        validate_table="data",
    )
    result = run_plan(train)
    result.raise_for_error()
    step = result.steps[-1]
    assert isinstance(step, TrainResult)
    capfd.readouterr()
    data = f"libsvm.`{SAMPLE}`"
    arguments = ["--fit-param", "alpha=0.5", "--fit-param", "batchSize=30", "--option", f"numFeatures={WIDTH}"]
    assert (
        main(
            [
                "fit",
                str(script),
                "--data",
                data,
                "--validate-data",
                data,
                *arguments,
                "--model-dir",
                str(tmp_path / "own"),
                "--json",
            ]
        )
        == 0
    )
    report = json.loads(capfd.readouterr().out)
    assert report["score"] == step.score
    assert report["rows"] == step.rows
    assert report["metrics"] == dict(step.fits[0].metrics)
    models = [
        pickle.loads(path.read_bytes()) for path in (tmp_path / "m/_model_1/model/0/model.pickle", tmp_path / "own/model.pickle")
    ]
    from sklearn.datasets import load_svmlight_file

    matrix, _ = load_svmlight_file(SAMPLE, n_features=WIDTH)
    expected, got = (model.predict_log_proba(matrix) for model in models)
    assert (expected == got).all() if (models[0].class_count_ == models[1].class_count_).all() else False


FIT = """
import contextlib, io, json, sys
from mlsql_runtime.cli.main import main

for arguments in json.loads(sys.argv[1]):
    output, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
        code = main(["fit", *arguments])
    print(json.dumps([code, output.getvalue(), errors.getvalue()]))
"""


@dataclass(frozen=True)
class Fit:
    """The exit code of ``mlsql fit``, and what it printed."""

    code: int
    output: str
    errors: str


@pytest.fixture(scope="module")
def fits(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Fit]:
    """Call ``mlsql fit`` in a process beside this one: each call starts a session there, and ends it."""
    folder = tmp_path_factory.mktemp("fits")
    spark.read.format("libsvm").load(SAMPLE).selectExpr("label", "1.5 as features").write.orc(str(folder / "x"))
    (folder / "train.py").write_text("")
    bayes, libsvm = str(EXAMPLES / "train_bayes.py"), ["--data", f"libsvm.`{SAMPLE}`"]
    calls = {
        "--spark": [bayes, *libsvm, "--spark", "--validate", "0.3", "--json"],
        "orc": [bayes, "--data", f"orc.`{folder / 'x'}`", "--validate", "0.3", "--json"],
        "csv": [str(folder / "train.py"), *libsvm, "--data-format", "csv"],
    }
    command = [sys.executable, "-c", FIT, json.dumps(list(calls.values()))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    return dict(zip(calls, (Fit(*json.loads(line)) for line in done.stdout.splitlines()), strict=True))


@pytest.mark.parametrize("way", ["--spark", "orc"])
def test_data_loaded_by_spark(fits: Mapping[str, Fit], way: str) -> None:
    fit = fits[way]
    assert fit.code == 0, fit.errors
    report = json.loads(fit.output)
    assert report["rows"] + report["validate_rows"] == 100
    assert ("orc needs Spark" in fit.errors) == (way == "orc")


def test_csv_files_for_scripts_are_written_by_spark(fits: Mapping[str, Fit]) -> None:
    """Here of vectors, which CSV cannot hold."""
    fit = fits["csv"]
    assert fit.code == 2, fit.errors
    assert "[mlsql] --data-format csv needs Spark: starting a local session" in fit.output
    assert "Set dataLocalFormat to json or parquet, or select other columns" in fit.errors
