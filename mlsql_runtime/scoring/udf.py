"""A function package as a vectorised Spark SQL function: vector in, vector out, Arrow batches in between."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from mlsql_runtime import codec
from mlsql_runtime.scoring import arrow_batching as transport
from mlsql_runtime.spark_errors import errors_for_driver
from mlsql_runtime.store.function_records import FunctionRecord

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import SparkSession


def make_udf(record: FunctionRecord) -> Any:
    """A Spark function over a vector column. The record travels as JSON; each Python worker loads the model once."""
    from pyspark.ml.linalg import VectorUDT
    from pyspark.sql.pandas.functions import arrow_udf

    document = codec.dumps(record)

    def score(batches: Iterator[pa.Array]) -> Iterator[pa.Array]:
        from pyspark import TaskContext

        from mlsql_runtime.scoring.cores import keep_to
        from mlsql_runtime.scoring.function_loader import load_document

        context = TaskContext.get()
        if context:
            keep_to(context.cpus())
        with errors_for_driver():
            function = load_document(document)
            partition = context.partitionId() if context else 0
            for vectors in batches:
                yield function.score(partition, vectors)

    score.__annotations__ = _iterator_annotations()
    return arrow_udf(score, VectorUDT())  # type: ignore[call-overload]  # its stubs know no user-defined types


def _iterator_annotations() -> dict[str, Any]:
    """Spark reads the kind of function from real types, which ``from __future__ import annotations`` hides."""
    import pyarrow as pa

    return {"batches": Iterator[pa.Array], "return": Iterator[pa.Array]}


def register_function(spark: SparkSession, name: str, record: FunctionRecord) -> None:
    """Make the package callable in SQL as ``name``."""
    transport.prepare(spark, record.feature_width or sys.maxsize)
    spark.udf.register(name, make_udf(record))
