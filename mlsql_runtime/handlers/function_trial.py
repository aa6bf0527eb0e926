"""The trial of a new function on sample rows: it must give the same predictions on the driver, in Spark, and row by row.

Networks compute in single precision, and their libraries add in another order for another number of rows or threads. Where
large terms cancel, few of the seven digits remain to compare: the tolerance is relative to the largest prediction of a column.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from mlsql_runtime.errors import DataError, ScriptFailed
from mlsql_runtime.feed.decoding.vectors import from_serialized, is_vector, to_dense, vector_widths
from mlsql_runtime.feed.table_facts import quote_column
from mlsql_runtime.plan import Register
from mlsql_runtime.scoring.function_loader import LoadedFunction, load_function
from mlsql_runtime.scoring.udf import make_udf
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store import layout
from mlsql_runtime.store.function_records import FunctionRecord
from mlsql_runtime.store.manifest import Manifest

if TYPE_CHECKING:
    from pyspark.ml.linalg import Vector
    from pyspark.sql import SparkSession

    from mlsql_runtime.run_context import RunContext

SAMPLE_ROWS = 5
TOLERANCE = 1e-3  # of the largest number of a column; measured: up to 4e-5, by a network of eight layers on unscaled data
NOISE = 1e-8  # a smaller difference is rounding, as in columns of nothing but rounding errors
EXACT = 2.0**22  # whole numbers up to here are classes, counts or indices; single precision is not exact beyond
Matrix = np.ndarray[tuple[int, int], np.dtype[np.float64]]


def find_samples(statement: Register, context: RunContext, manifest: Manifest, version_dir: Location) -> list[Vector]:
    """Return a few feature vectors, of the statement's sample table or those kept with the version."""
    column = manifest.data.feature_column or "features"
    if statement.sample_table is not None:
        table = context.table(statement.sample_table)
        if column not in table.columns:
            raise DataError(
                f"the sample table '{statement.sample_table}' has no column '{column}'; it has {', '.join(table.columns)}"
            )
        name = quote_column(column)
        return [row[0] for row in table.filter(f"{name} is not null").select(name).limit(SAMPLE_ROWS).collect()]
    place = version_dir / layout.SAMPLES
    if not place.exists():
        return []
    import pyarrow.parquet as pq

    from mlsql_runtime.feed.decoding.rows import to_rows

    kept = pq.read_table(io.BytesIO(place.read()))
    if column not in kept.column_names or not is_vector(kept.schema.field(column).type):
        return []
    rows: list[dict[str, Any]] = to_rows(kept.select([column]))
    return [row[column] for row in rows if row[column] is not None]


def try_function(record: FunctionRecord, samples: list[Vector], spark: SparkSession) -> None:
    """Call the function on the driver and in Spark.

    :raises ScriptFailed: when the function fails, or its predictions differ.
    """
    from pyspark.ml.linalg import VectorUDT
    from pyspark.sql.types import StructField, StructType

    vectors = from_serialized([VectorUDT().serialize(sample) for sample in samples])
    function = load_function(record)
    on_driver = function.score(0, vectors)
    _check_row_by_row(function, vectors, on_driver)
    table = spark.createDataFrame([(sample,) for sample in samples], StructType([StructField("features", VectorUDT())]))
    rows = table.select(make_udf(record)("features").alias("prediction")).collect()
    in_spark = from_serialized([None if row.prediction is None else VectorUDT().serialize(row.prediction) for row in rows])
    if (row := first_difference(on_driver, in_spark)) is not None:
        raise ScriptFailed(
            f"function {record.function} predicts differently on the driver and in Spark for the same {len(samples)} rows: "
            f"{on_driver[row]} and {in_spark[row]}; a function must depend only on its row and its model"
        )


def _check_row_by_row(function: LoadedFunction, vectors: pa.StructArray, together: pa.StructArray) -> None:
    """Check that a prediction does not depend on the other rows of its batch: Spark chooses the batches."""
    if function.record.contract == "row":
        return
    alone = pa.concat_arrays([function.score(0, vectors.slice(row, 1)) for row in range(len(vectors))])
    if (row := first_difference(together, alone)) is not None:
        raise ScriptFailed(
            f"function {function.record.function} predicts differently for a row alone and among {len(vectors)} rows: "
            f"{alone[row]} and {together[row]}; a prediction must not depend on the other rows"
        )


def first_difference(first: pa.StructArray, second: pa.StructArray) -> int | None:
    """Return the index of the first row whose predictions differ, or None.

    :param first: vectors of any widths and kinds, null for no prediction, shape (n,); ``second`` likewise.
    """
    widths, other_widths = vector_widths(first), vector_widths(second)
    differs = widths != other_widths
    for width in np.unique(widths[~differs & (widths >= 0)]).tolist():
        rows = np.flatnonzero(~differs & (widths == width))
        a, b = (to_dense(vectors.take(pa.array(rows)), width) for vectors in (first, second))
        differs[rows] = ~_is_same(a, b).all(axis=1)
    return int(differs.argmax()) if differs.any() else None


def _is_same(a: Matrix, b: Matrix) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Compare number by number, shape (n, width)."""
    is_whole = ((a == np.rint(a)) & (b == np.rint(b)) & (np.abs(a) <= EXACT)).all(axis=0)
    scale = np.where(np.isfinite(a), np.abs(a), 0.0).max(axis=0)
    return np.where(is_whole, a == b, np.isclose(a, b, rtol=0.0, atol=np.maximum(TOLERANCE * scale, NOISE), equal_nan=True))
