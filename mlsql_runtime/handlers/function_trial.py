"""The trial of a new function on sample rows: it must give the same predictions on the driver, in a worker, and row by row.

The worker is one of Spark; in a job without Spark it is a process that calls the function in the same way.

Networks compute in single precision, and their libraries add in another order for another number of rows or threads. Where
large terms cancel, few of the seven digits remain to compare: the tolerance is relative to the largest prediction of a column.
Text, whole numbers and all else that is not a floating-point number must be equal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mlsql_runtime.errors import ScriptFailed
from mlsql_runtime.feed.decoding.rows import to_rows
from mlsql_runtime.feed.decoding.sql_types import is_list
from mlsql_runtime.feed.decoding.vectors import is_vector, to_dense, vector_widths
from mlsql_runtime.feed.session_zone import find_session_zone
from mlsql_runtime.feed.table_facts import in_zone, quote_column
from mlsql_runtime.plan import NO_ACCESS, StorageAccess
from mlsql_runtime.scoring.arguments import Columns
from mlsql_runtime.scoring.function_loader import load_function
from mlsql_runtime.scoring.loaded_function import LoadedFunction
from mlsql_runtime.scoring.udf import make_udf, to_spark_type
from mlsql_runtime.scoring.vector_operations import make_dense
from mlsql_runtime.scoring.worker_process import score_in_worker
from mlsql_runtime.script.repeated_warnings import show_once
from mlsql_runtime.store.function_records import FunctionRecord

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

TOLERANCE = 1e-3  # of the largest number of a column; measured: up to 4e-5, by a network of eight layers on unscaled data
NOISE = 1e-8  # a smaller difference is rounding, as in columns of nothing but rounding errors
EXACT = 2.0**22  # whole numbers up to here are classes, counts or indices; single precision is not exact beyond
Matrix = np.ndarray[tuple[int, int], np.dtype[np.float64]]
Flags = np.ndarray[Any, np.dtype[np.bool_]]


def try_function(record: FunctionRecord, samples: Columns, spark: SparkSession | None, access: StorageAccess = NO_ACCESS) -> None:
    """Call the function on the driver, and in Spark or, without a session, in a process of its own.

    :param access: connections to the storage of package and model.
    :raises ScriptFailed: when the function fails, or its predictions differ.
    """
    function = load_function(record, access)
    samples = _in_zone(samples, find_session_zone() if spark is None else str(spark.conf.get("spark.sql.session.timeZone")))
    with show_once():
        on_driver = function.score(0, *samples.arrays)
        _check_row_by_row(function, samples, on_driver)
    if spark is None:
        in_worker = score_in_worker(record, samples.table, access)
    else:
        in_worker = _score_in_spark(record, samples, spark, access)
    if (row := first_difference(on_driver, in_worker)) is not None:
        place = "in a process of its own" if spark is None else "in Spark"
        raise ScriptFailed(
            f"function {record.function} predicts differently on the driver and {place} for the same {len(samples)} rows: "
            f"{on_driver[row]} and {in_worker[row]}; a function must depend only on its row and its model"
        )


def _score_in_spark(record: FunctionRecord, samples: Columns, spark: SparkSession, access: StorageAccess) -> pa.Array:
    table = _to_spark(samples, spark)
    columns = [quote_column(name) for name in table.columns]
    predicted = table.select(make_udf(record, access)(*columns).alias("prediction")).toArrow()
    return predicted.column("prediction").combine_chunks()


def _in_zone(samples: Columns, zone: str) -> Columns:
    """Return the samples with their times in the session's zone, as Spark passes them."""
    kinds = [in_zone(array.type, zone) for array in samples.arrays]
    arrays = (array if array.type == kind else array.cast(kind) for array, kind in zip(samples.arrays, kinds, strict=True))
    return Columns(samples.names, tuple(arrays))


def _to_spark(samples: Columns, spark: SparkSession) -> DataFrame:
    """Return the samples as a table of Spark, in one partition."""
    from pyspark.sql.types import StructField, StructType

    types = dict(zip(samples.names, (array.type for array in samples.arrays), strict=True))
    schema = StructType([StructField(name, to_spark_type(kind)) for name, kind in types.items()])
    return spark.createDataFrame(to_rows(samples.table), schema).coalesce(1)


def _check_row_by_row(function: LoadedFunction, samples: Columns, together: pa.Array) -> None:
    """Check that a prediction does not depend on the other rows of its batch: Spark chooses the batches."""
    if function.record.contract == "row":
        return
    alone = pa.concat_arrays([function.score(0, *samples.slice(row, 1).arrays) for row in range(len(samples))])
    if (row := first_difference(together, alone)) is not None:
        raise ScriptFailed(
            f"function {function.record.function} predicts differently for a row alone and among {len(samples)} rows: "
            f"{alone[row]} and {together[row]}; a prediction must not depend on the other rows"
        )


def first_difference(first: pa.Array, second: pa.Array) -> int | None:
    """Return the index of the first row whose predictions differ, or None.

    :param first: predictions of one type, null for none, shape (n,); ``second`` likewise.
    """
    differs = _find_differences(first, second)
    return int(differs.argmax()) if differs.any() else None


def _find_differences(first: pa.Array, second: pa.Array) -> Flags:
    """Return which rows differ, shape (n,)."""
    kind = first.type
    if is_vector(kind):
        return _compare_vectors(first, second)
    if pa.types.is_floating(kind):
        return _compare_vectors(*(_to_vectors(array) for array in (first, second)))
    has_floats = is_list(kind) and pa.types.is_floating(kind.value_type)
    if has_floats and not (first.flatten().null_count or second.flatten().null_count):
        return _compare_vectors(make_dense(first), make_dense(second))
    if pa.types.is_struct(kind):
        differs: Flags = np.array(first.is_null()) != np.array(second.is_null())
        for one, other in zip(first.flatten(), second.flatten(), strict=True):
            differs |= _find_differences(one, other)
        return differs
    return np.array([not _is_equal(*pair) for pair in zip(first.to_pylist(), second.to_pylist(), strict=True)], dtype=bool)


def _is_equal(first: Any, second: Any) -> bool:
    """Compare values of Python, with NaN equal to itself."""
    if isinstance(first, (list, tuple)) and isinstance(second, (list, tuple)):
        return len(first) == len(second) and all(map(_is_equal, first, second))
    if isinstance(first, dict) and isinstance(second, dict):
        return first.keys() == second.keys() and all(_is_equal(first[key], second[key]) for key in first)
    return bool(first == second or (first != first and second != second))


def _to_vectors(numbers: pa.Array) -> pa.StructArray:
    """Return numbers as vectors of one number, null for null."""
    present = pc.cast(pc.is_valid(numbers), pa.int32()).to_numpy(zero_copy_only=False)
    starts = pa.array(np.concatenate(([0], np.cumsum(present))), pa.int32())
    return make_dense(pa.ListArray.from_arrays(starts, numbers.drop_null(), mask=pa.array(present == 0)))


def _compare_vectors(first: pa.StructArray, second: pa.StructArray) -> Flags:
    """Compare vectors of any widths and kinds."""
    widths, other_widths = vector_widths(first), vector_widths(second)
    differs: Flags = widths != other_widths
    for width in np.unique(widths[~differs & (widths >= 0)]).tolist():
        rows = np.flatnonzero(~differs & (widths == width))
        a, b = (to_dense(vectors.take(pa.array(rows)), width) for vectors in (first, second))
        differs[rows] = ~_is_same(a, b).all(axis=1)
    return differs


def _is_same(a: Matrix, b: Matrix) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Compare number by number, shape (n, width)."""
    is_whole = ((a == np.rint(a)) & (b == np.rint(b)) & (np.abs(a) <= EXACT)).all(axis=0)
    scale = np.where(np.isfinite(a), np.abs(a), 0.0).max(axis=0)
    return np.where(is_whole, a == b, np.isclose(a, b, rtol=0.0, atol=np.maximum(TOLERANCE * scale, NOISE), equal_nan=True))
