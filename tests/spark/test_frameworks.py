"""The pages of docs/how-to/frameworks, as they are: trained, registered and asked, with data as files and through Kafka."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlsql_model
import numpy as np
import pytest
from support.workbench import EXAMPLES, SAMPLE, TESTS

from mlsql_runtime import engine
from mlsql_runtime.language import compile_script
from mlsql_runtime.plan import Plan
from mlsql_runtime.result import RegisterResult, StepResult, TrainResult

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, Row, SparkSession

    from mlsql_runtime.kafka.settings import KafkaSettings

PAGES = TESTS.parent / "docs" / "how-to" / "frameworks"


def in_keras(folder: str, X: Any) -> Any:
    return mlsql_model.load(folder).predict(X, verbose=0)


def in_tensorflow(folder: str, X: Any) -> Any:
    return mlsql_model.load(folder).predict(X.astype("float32")).numpy()


def in_pytorch(folder: str, X: Any) -> Any:
    import torch

    kept = torch.load(f"{folder}/model.pt", weights_only=True)
    first, bias, second, last = kept["weights"].values()
    inner = torch.relu(torch.from_numpy(X / kept["scale"]).float() @ first.T + bias)
    return torch.softmax(inner @ second.T + last, dim=1).numpy()


# What the framework itself answers: of a model's folder and an ndarray of shape (n, d), probabilities of shape (n, 2).
OWN: Mapping[str, Callable[[str, Any], Any]] = {
    "keras": in_keras,
    "tensorflow": in_tensorflow,
    **({"pytorch": in_pytorch} if importlib.util.find_spec("torch") else {}),  # too big for everybody's environment
}


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", (PAGES / f"{page}.md").read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("page", ["keras", "tensorflow", "pytorch"])
def test_the_page_shows_the_example_scripts(page: str) -> None:
    assert blocks(page, "python")[:2] == [(EXAMPLES / f"{what}_{page}.py").read_text() for what in ("train", "predict")]


def run_page(spark: SparkSession, page: str, text: str, models: Path) -> tuple[StepResult, ...]:
    """Run MLSQL of a page, and return its results. Both groups of its training have succeeded."""
    compiled = compile_script(text, folder=EXAMPLES, variables={"data": SAMPLE, "models": str(models)})
    result = engine.run(Plan(job_id=page, statements=compiled.statements), spark)
    result.raise_for_error()
    trained = result.steps[0]
    assert isinstance(trained, TrainResult)
    assert [fit.status for fit in trained.fits] == ["success", "success"]
    assert all({"loss", "validation_accuracy"} <= set(fit.metrics) for fit in trained.fits)
    assert trained.score is not None
    assert trained.score >= 0.9
    return result.steps


def through_kafka(text: str, page: str, settings: KafkaSettings) -> str:
    """Return MLSQL of a page, with options of its training by which data go through Kafka."""
    training, end, rest = text.partition("\nas groups;\n")
    assert end
    servers = settings.public["bootstrap_servers"]
    options = f'enableDataLocal="false" and `kafkaParam.bootstrap.servers`="{servers}" and `kafkaParam.topic`="{page}"'
    return f"{training}\n    and {options}{end}{rest}"


@pytest.mark.parametrize("page", OWN)
def test_two_groups_are_trained_and_the_better_one_predicts_in_sql(
    spark: SparkSession, kafka_settings: KafkaSettings, tmp_path: Path, page: str
) -> None:
    """Keras gets its data through Kafka, the others as files. That both give the same batches is tested in test_through_kafka."""
    (text,) = blocks(page, "sql")
    _, registered, _ = run_page(spark, page, through_kafka(text, page, kafka_settings) if page == "keras" else text, tmp_path)
    assert isinstance(registered, RegisterResult)
    folder = f"{tmp_path}/{page}/_model_1/model/{registered.alg_index}"
    check(spark.table("predicted"), folder, OWN[page])
    # Four partitions, of which two tasks score at the same time, each in a process that imports the framework by itself.
    spread = (
        spark.table("predicted").select("features", "label").repartition(4).selectExpr("*", "digit(features) as probabilities")
    )
    check(spread.selectExpr("*", "vec_argmax(probabilities) as class"), folder, OWN[page])


def check(predicted: DataFrame, folder: str, own: Callable[[str, Any], Any]) -> None:
    """Check that SQL predicts for each row what the framework predicts."""
    rows: list[Row] = predicted.collect()
    assert len(rows) == 100
    expected = own(folder, np.array([row.features.toArray() for row in rows]))
    np.testing.assert_allclose([row.probabilities.toArray() for row in rows], expected, rtol=1e-4, atol=1e-6)
    assert [row["class"] for row in rows] == expected.argmax(axis=1).tolist()
