"""Function packages as Spark SQL functions: vectors in, vectors out, in Arrow batches."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from mlsql_runtime import codec
from mlsql_runtime.scoring.arrow_batching import set_batch_sizes
from mlsql_runtime.script.thread_limits import thread_variables
from mlsql_runtime.spark_errors import errors_for_driver
from mlsql_runtime.store.function_records import FunctionRecord

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def make_udf(record: FunctionRecord) -> Any:
    """Return a Spark function over a vector column. The record travels as JSON; each Python worker loads the model once."""
    import pyarrow as pa
    from pyspark.ml.linalg import VectorUDT
    from pyspark.sql.pandas.functions import arrow_udf

    document = codec.dumps(record)

    def score(batches: Iterator[pa.Array]) -> Iterator[pa.Array]:
        from pyspark import TaskContext

        from mlsql_runtime.scoring.function_loader import load_document

        context = TaskContext.get()
        if context:
            _limit_threads(context.cpus())
        with errors_for_driver():
            function = load_document(document)
            partition = context.partitionId() if context else 0
            for vectors in batches:
                yield function.score(partition, vectors)

    # Spark reads the kind of function from real types, which ``from __future__ import annotations`` hides.
    score.__annotations__ = {"batches": Iterator[pa.Array], "return": Iterator[pa.Array]}
    return arrow_udf(score, VectorUDT())  # type: ignore[call-overload]  # its stubs know no user-defined types


def register_function(spark: SparkSession, name: str, record: FunctionRecord) -> None:
    """Make the function package callable in SQL as ``name``."""
    set_batch_sizes(spark, record.feature_width or sys.maxsize)
    spark.udf.register(name, make_udf(record))


def _limit_threads(cores: int) -> None:
    """Limit numeric libraries to the cores of the task before they are imported, unless the environment does so already."""
    for name, value in thread_variables(cores).items():
        os.environ.setdefault(name, value)
