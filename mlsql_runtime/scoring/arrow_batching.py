"""How Spark hands vectors to functions: settings of a session.

Spark 4.2 measures an Arrow batch after every row, to keep it below a number of bytes. Dense vectors have no indices, and for that
their missing lists are counted from the beginning each time: that takes time in the square of the batch's rows, and more than
their way to Python (benchmarks/results/scoring.md). So Spark does not measure where batches stay small anyway, and makes short
ones elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

ROWS = "spark.sql.execution.arrow.maxRecordsPerBatch"
BYTES = "spark.sql.execution.arrow.maxBytesPerBatch"
FEW_ROWS = "1000"
UNMEASURED = str(2**31 - 1)
NARROW = 1000  # numbers of a vector: 10,000 rows of them, with indices, are 120 MB
_SPARKS = {ROWS: "10000", BYTES: f"{64 << 20}b"}
_OURS = {ROWS: FEW_ROWS, BYTES: UNMEASURED}
_WIDEST = "spark.mlsql.widestFunction"  # this session's memory: the widest vectors of a registered function, 0 before the first
_ANY = "spark.mlsql.vectorFunctions"  # whether functions of any vectors have been called


def prepare(spark: SparkSession, width: int = 0) -> None:
    """Before a function over vectors is registered. Sizes that are neither Spark's defaults nor ours, the user's, are left alone.

    :param width: of its vectors; 0 for a function of any vectors.
    """
    conf = spark.conf
    # Columns of Parquet and ORC files would come to Arrow functions without becoming rows, at which Spark 4.2 fails for vectors.
    conf.set("spark.sql.execution.arrow.pythonUDF.columnarInput.enabled", "false")
    if any(conf.get(name) not in (_SPARKS[name], _OURS[name]) for name in _OURS):
        return
    widest = max(width, int(conf.get(_WIDEST, "0") or 0))
    takes_any = width == 0 or conf.get(_ANY, "false") == "true"
    conf.set(_WIDEST, str(widest))
    conf.set(_ANY, str(takes_any).lower())
    is_narrow = 0 < widest <= NARROW
    for name, is_ours in ((BYTES, is_narrow), (ROWS, takes_any or not is_narrow)):
        if is_ours:
            conf.set(name, _OURS[name])
        else:
            conf.unset(name)


@contextmanager
def measured(spark: SparkSession) -> Iterator[None]:
    """For what is no function over vectors: Spark's own limit of bytes, in jobs that run inside."""
    before = spark.conf.get(BYTES)
    if before == UNMEASURED:
        spark.conf.unset(BYTES)
    try:
        yield
    finally:
        if before == UNMEASURED:
            spark.conf.set(BYTES, UNMEASURED)
