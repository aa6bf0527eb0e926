"""Function packages as Spark SQL functions over Arrow batches of columns."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from mlsql_runtime import codec
from mlsql_runtime.feed.decoding.sql_types import parse_type
from mlsql_runtime.feed.decoding.vectors import is_vector
from mlsql_runtime.scoring.arguments import Parameters
from mlsql_runtime.scoring.arrow_batching import Contents, set_batch_sizes
from mlsql_runtime.script.task_resources import show_devices
from mlsql_runtime.script.thread_limits import thread_variables
from mlsql_runtime.spark_errors import errors_for_driver
from mlsql_runtime.store.function_records import FunctionRecord

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import SparkSession
    from pyspark.sql.types import DataType


def make_udf(record: FunctionRecord) -> Any:
    """Return a Spark function over columns. The record travels as JSON; each Python worker loads the model once."""
    import pyarrow as pa
    from pyspark.sql.pandas.functions import arrow_udf

    document = codec.dumps(record)

    def score(batches: Iterator[pa.Array]) -> Iterator[pa.Array]:
        from pyspark import TaskContext

        from mlsql_runtime.scoring.function_loader import load_document
        from mlsql_runtime.script.repeated_warnings import show_once

        context = TaskContext.get()
        if context:
            _limit_threads(context.cpus())
            show_devices()
        with errors_for_driver(), show_once():
            function = load_document(document)
            partition = context.partitionId() if context else 0
            for columns in batches:  # Spark passes a single column as it is
                yield function.score(partition, *(columns if isinstance(columns, tuple) else (columns,)))

    # Spark reads the kind of function from real types, which ``from __future__ import annotations`` hides.
    score.__annotations__ = {"batches": Iterator[pa.Array], "return": Iterator[pa.Array]}
    return arrow_udf(score, to_spark_type(parse_type(record.returns)))  # type: ignore[call-overload]  # its stubs know no user-defined types


def to_spark_type(kind: pa.DataType) -> DataType:
    """Return the type of Spark that an Arrow type stands for."""
    from pyspark.ml.linalg import VectorUDT
    from pyspark.sql.pandas.types import from_arrow_type

    return VectorUDT() if is_vector(kind) else from_arrow_type(kind, prefer_timestamp_ntz=True)


def register_function(spark: SparkSession, name: str, record: FunctionRecord) -> None:
    """Make the function package callable in SQL as ``name``."""
    parameters = Parameters.of(record)
    contents: Contents = "text" if parameters.has_text else "columns" if parameters.width else "vectors"
    set_batch_sizes(spark, parameters.width or record.feature_width or sys.maxsize, contents)
    spark.udf.register(name, make_udf(record))


def _limit_threads(cores: int) -> None:
    """Limit numeric libraries to the cores of the task before they are imported, unless the environment does so already."""
    for name, value in thread_variables(cores).items():
        os.environ.setdefault(name, value)
