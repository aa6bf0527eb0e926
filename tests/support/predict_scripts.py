"""Predict scripts, and what their functions have to return."""

from __future__ import annotations

import pickle

from sklearn.datasets import load_svmlight_file

from mlsql_runtime.result import RegisterResult, RunResult
from support.workbench import EXAMPLES, SAMPLE, SEED, WIDTH

PREDICT = str(EXAMPLES / "predict_bayes.py")
ROW_PREDICT = str(SEED / "predict.py")
BATCH = """
import python_fun

def predict(X, model):
    {body}

python_fun.batch_udf(predict{arguments})
"""

OVER_COLUMNS = """
import python_fun

def predict(X, model):
    {body}

python_fun.batch_udf(predict, input={takes!r}, returns={returns!r})
"""


def registered(result: RunResult) -> RegisterResult:
    """Return the result of the first statement after the sample was loaded; raise the error of the run."""
    result.raise_for_error()
    step = result.steps[0]
    assert isinstance(step, RegisterResult)
    return step


def error_of(result: RunResult) -> tuple[str, str]:
    """Return kind and message of the error of a run."""
    assert result.error is not None
    return result.error["kind"], result.error["message"]


def sklearn_predictions(model_path: str, alg_index: int) -> list[tuple[float, float]]:
    """Return label and prediction of each row of the sample, by the model of a group of version 1."""
    X, y = load_svmlight_file(SAMPLE, n_features=WIDTH)
    with open(f"{model_path}/_model_1/model/{alg_index}/model.pickle", "rb") as file:
        return list(zip(y.tolist(), pickle.load(file).predict(X).tolist(), strict=True))
