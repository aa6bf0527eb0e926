"""What others offer to score a table in Spark with a scikit-learn model; each gets what suits it best.

All but the row UDF want arrays: ``vector_to_array`` is part of what they do for a table of vectors.
"""

import functools
import logging
import pickle
import warnings
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from mlsql_runtime.feed.decoding.vectors import VectorColumns, join_vectors
from mlsql_runtime.scoring import arrow_batching as transport
from scorers.cases import Case
from scorers.ways import Way, in_spark

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

NOTHING = "an Arrow UDF that does nothing"
MEASURED = f"{NOTHING}, batches measured by Spark"
BATCH_UDF = "predict_batch_udf"
PANDAS = "pandas iterator UDF"
ROW = "row UDF, pickled"
MLFLOW = "MLflow spark_udf"
BATCH_SIZE = 10_000  # as many rows as Spark puts into an Arrow batch


@functools.lru_cache(maxsize=1)
def model_of(model_dir: str) -> Any:
    """Return the model, loaded once per process."""
    with open(f"{model_dir}/model.pickle", "rb") as file:
        return pickle.load(file)


def features() -> "Column":
    """Return the vectors as arrays."""
    from pyspark.ml.functions import vector_to_array
    from pyspark.sql.functions import col

    return vector_to_array(col("features"))


def nothing(table: "DataFrame", name: str = NOTHING) -> Way:
    """Ours without a model: the same types in and out, one constant number for each row."""
    from pyspark.ml.linalg import VectorUDT
    from pyspark.sql.functions import col
    from pyspark.sql.pandas.functions import arrow_udf

    def answer(batches: Iterator[pa.Array]) -> Iterator[pa.Array]:
        constant = functools.lru_cache(maxsize=2)(_constant)
        for batch in batches:
            yield constant(len(batch))

    return in_spark(name, table, arrow_udf(answer, VectorUDT())(col("features")), is_checked=False)


def nothing_measured(table: "DataFrame") -> Way:
    """Do the same in batches that Spark measures after every row, as is its default (``scoring/arrow_batching.py``)."""
    way, conf = nothing(table, MEASURED), table.sparkSession.conf

    def run() -> None:
        before = conf.get(transport.BYTES)
        conf.set(transport.BYTES, f"{64 << 20}")
        try:
            way.run()
        finally:
            conf.set(transport.BYTES, before)

    return replace(way, run=run)


def _constant(rows: int) -> pa.StructArray:
    return join_vectors(
        VectorColumns(
            sparse=np.zeros(rows, dtype=bool),
            null=np.zeros(rows, dtype=bool),
            widths=np.ones(rows, dtype=np.int64),
            starts=np.arange(rows + 1),
            columns=np.empty(0, dtype=np.int64),
            values=np.ones(rows),
        )
    )


def predict_batch(table: "DataFrame", case: Case, model_dir: str) -> Way:
    """``pyspark.ml.functions.predict_batch_udf``, which makes matrices itself."""
    from pyspark.ml.functions import predict_batch_udf
    from pyspark.sql.types import DoubleType

    def make() -> Any:
        return model_of(model_dir).predict

    score = predict_batch_udf(make, return_type=DoubleType(), batch_size=BATCH_SIZE, input_tensor_shapes=[[case.width]])
    return in_spark(BATCH_UDF, table, score(features()))


def pandas_iterator(table: "DataFrame", model_dir: str) -> Way:
    """As one writes it by hand."""
    import pandas as pd
    from pyspark.sql.pandas.functions import pandas_udf

    def score(batches: Iterator[pd.Series]) -> Iterator[pd.Series]:
        model = model_of(model_dir)
        for batch in batches:
            yield pd.Series(model.predict(np.stack(batch)))

    return in_spark(PANDAS, table, pandas_udf(score, "double")(features()))  # type: ignore[call-overload]


def pickled_row(table: "DataFrame", model_dir: str) -> Way:
    """Spark's oldest kind of function."""
    from pyspark.sql.functions import col, udf
    from pyspark.sql.types import DoubleType

    def score(vector: Any) -> float:
        return float(model_of(model_dir).predict([vector.toArray()])[0])

    return in_spark(ROW, table, udf(score, DoubleType(), useArrow=False)(col("features")))


def mlflow(spark: "SparkSession", table: "DataFrame", case: Case, model_dir: str, folder: str) -> list[Way]:
    """MLflow's sklearn flavour, saved with the signature of a tensor, so that an array column is one.

    A narrow table may also be given column by column, to the same model without a signature.
    """
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    logging.getLogger("mlflow").setLevel(logging.ERROR)
    signature = ModelSignature(inputs=Schema([TensorSpec(np.dtype(np.float64), (-1, case.width))]))
    of_array = _mlflow_udf(spark, model_dir, f"{folder}/array", signature)
    ways = [in_spark(f"{MLFLOW}, array", table, of_array(features()))]
    if case.width <= 100:
        of_columns = _mlflow_udf(spark, model_dir, f"{folder}/columns", None)
        columns = (features()[at] for at in range(case.width))
        ways.append(in_spark(f"{MLFLOW}, columns", table, of_columns(*columns)))
    return ways


def _mlflow_udf(spark: "SparkSession", model_dir: str, folder: str, signature: Any) -> Any:
    import mlflow.pyfunc
    import mlflow.sklearn

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mlflow.sklearn.save_model(
            model_of(model_dir), folder, signature=signature, pip_requirements=[], serialization_format="cloudpickle"
        )
        return mlflow.pyfunc.spark_udf(spark, folder, result_type="double", env_manager="local")
