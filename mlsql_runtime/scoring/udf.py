"""Function packages as Spark SQL functions over Arrow batches of columns."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from mlsql_runtime import codec
from mlsql_runtime.errors import InputError
from mlsql_runtime.feed.decoding.sql_types import parse_type
from mlsql_runtime.feed.decoding.vectors import is_vector
from mlsql_runtime.feed.table_facts import in_zone
from mlsql_runtime.plan import NO_ACCESS, StorageAccess
from mlsql_runtime.scoring.arguments import Parameters
from mlsql_runtime.scoring.arrow_batching import Contents, set_batch_sizes
from mlsql_runtime.scoring.spark_functions import check_name
from mlsql_runtime.script.task_resources import show_devices
from mlsql_runtime.script.thread_limits import limit_threads
from mlsql_runtime.spark_errors import errors_for_driver
from mlsql_runtime.store.function_records import FunctionRecord

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import SparkSession
    from pyspark.sql.types import DataType

    from mlsql_runtime.scoring.loaded_function import LoadedFunction


def make_udf(record: FunctionRecord, access: StorageAccess = NO_ACCESS) -> Any:
    """Return a Spark function over columns. The record travels as JSON; each Python worker loads the model once.

    It is called with one batch at a time. Spark would start a Python worker, with a model of its own, for each call in a query
    of a function over an iterator of batches; all calls of this one, and of most vector functions, share a worker. There the
    result of an inner call reaches the outer one as it is, so a function that returns times, which would not be in the session's
    zone, is one over an iterator.

    :param access: connections to the storage of package and model.
    """
    import pyarrow as pa
    from pyspark.sql.pandas.functions import arrow_udf

    document, name = codec.dumps(record), record.function
    loaded: LoadedFunction | None = None  # in this task: a query may call more functions than a worker keeps

    def score(*columns: pa.Array, **named: pa.Array) -> pa.Array:
        from mlsql_runtime.script.repeated_warnings import show_once

        nonlocal loaded
        with errors_for_driver(), show_once():
            if named:
                raise InputError(
                    f"function {name} takes columns in their order, or a struct, got arguments named {', '.join(named)}"
                )
            if loaded is None:
                loaded = _load(document, access)
            return loaded.score(_find_partition(), *columns)

    def score_all(batches: Iterator[pa.Array]) -> Iterator[pa.Array]:
        for columns in batches:  # Spark passes a single column as it is
            yield score(*(columns if isinstance(columns, tuple) else (columns,)))

    # Spark reads the kind of function from real types, which ``from __future__ import annotations`` hides.
    score.__annotations__ = {"columns": pa.Array, "named": pa.Array, "return": pa.Array}
    score_all.__annotations__ = {"batches": Iterator[pa.Array], "return": Iterator[pa.Array]}
    kind = parse_type(record.returns)
    has_times = in_zone(kind, None) != kind
    return arrow_udf(score_all if has_times else score, to_spark_type(kind))  # type: ignore[call-overload]  # its stubs know no user-defined types


def _load(document: str, access: StorageAccess) -> LoadedFunction:
    """Return the function, with the threads and devices of this task."""
    from pyspark import TaskContext

    from mlsql_runtime.scoring.function_loader import load_document

    context = TaskContext.get()
    if context:
        limit_threads(context.cpus())
        show_devices()
    return load_document(document, access)


def _find_partition() -> int:
    from pyspark import TaskContext

    context = TaskContext.get()
    return context.partitionId() if context else 0


def to_spark_type(kind: pa.DataType) -> DataType:
    """Return the type of Spark that an Arrow type stands for."""
    if is_vector(kind):
        from pyspark.ml.linalg import VectorUDT  # with all of pyspark.ml, SciPy and pandas: a second

        return VectorUDT()
    from pyspark.sql.pandas.types import from_arrow_type

    return from_arrow_type(kind, prefer_timestamp_ntz=True)


def register_function(spark: SparkSession, name: str, record: FunctionRecord, access: StorageAccess = NO_ACCESS) -> None:
    """Make the function package callable in SQL as ``name``.

    :raises InputError: when Spark has a function of this name.
    """
    check_name(name, spark)
    parameters = Parameters.of(record)
    contents: Contents = "text" if parameters.has_text else "columns" if parameters.width else "vectors"
    set_batch_sizes(spark, parameters.width or record.feature_width or sys.maxsize, contents)
    spark.udf.register(name, make_udf(record, access))
