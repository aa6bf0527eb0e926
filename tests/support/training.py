"""Train statements on the sample, and their results."""

from __future__ import annotations

from pathlib import Path

from mlsql_runtime.plan import Train
from mlsql_runtime.result import RunResult, TrainResult
from support.workbench import EXAMPLES

BAYES = str(EXAMPLES / "train_bayes.py")
SAVE = "import mlsql, mlsql_model; mlsql_model.sk_save_model({'a': 1});"


def trained(model: Path | str, **options: object) -> Train:
    """Return a statement that trains on the sample, with naive Bayes unless ``options`` name another script."""
    return Train(**{"table": "data", "model_path": str(model), "script_path": BAYES, **options})  # type: ignore[arg-type]


def train_result(result: RunResult) -> TrainResult:
    """Return the result of the first training, or raise the error of the run."""
    result.raise_for_error()
    return next(step for step in result.steps if isinstance(step, TrainResult))
