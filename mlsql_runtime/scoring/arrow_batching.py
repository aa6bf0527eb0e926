"""Sizes of the Arrow batches in which Spark passes columns to functions: settings of a session.

Spark 4.2 measures an Arrow batch after every row, to keep it below a number of bytes. Dense vectors have no indices, and Spark
counts their missing lists from the beginning each time. That takes time in the square of the batch's rows, and more than their
transport to Python (benchmarks/results/scoring.md). So we switch the measuring off where batches stay small anyway, and make
short batches elsewhere. Text may be of any length: with a function over text columns Spark measures, and batches are short only
if there are vectors, too.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

ROWS = "spark.sql.execution.arrow.maxRecordsPerBatch"
BYTES = "spark.sql.execution.arrow.maxBytesPerBatch"
FEW_ROWS = "1000"
UNMEASURED = str(2**31 - 1)
NARROW = 1000  # numbers of a vector: 10,000 such rows, with indices, take 120 MB
_SPARK_DEFAULTS = {ROWS: "10000", BYTES: f"{64 << 20}b"}
_OURS = {ROWS: FEW_ROWS, BYTES: UNMEASURED}
# A session remembers in its own configuration what was registered in it: functions belong to the session as well.
_WIDEST = "spark.mlsql.widestFunction"  # the width of the widest vectors of a registered function
_ANY_WIDTH = "spark.mlsql.vectorFunctions"  # whether functions of vectors of any width have been called
_COLUMNS = "spark.mlsql.columnFunctions"  # whether functions of columns of numbers or times are registered
_TEXT = "spark.mlsql.textFunctions"  # whether functions of text are registered
Contents = Literal["vectors", "columns", "text"]


def set_batch_sizes(spark: SparkSession, width: int = 0, contents: Contents = "vectors") -> None:
    """Set the sizes of batches before a function is registered.

    Sizes that are neither Spark's defaults nor ours are the user's, and are left alone.

    :param width: the width of its vectors, or the number of its columns; 0 for a function of vectors of any width.
    :param contents: what a batch holds: vectors or arrays; only single numbers and times; or also what may be of any size.
    """
    conf = spark.conf
    # Spark 4.2 fails when it passes vectors of Parquet and ORC files to Arrow functions as columns.
    conf.set("spark.sql.execution.arrow.pythonUDF.columnarInput.enabled", "false")
    if any(conf.get(name) not in (_SPARK_DEFAULTS[name], _OURS[name]) for name in _OURS):
        return

    def remember(name: str, is_so: bool) -> bool:
        is_so = is_so or conf.get(name, "false") == "true"
        conf.set(name, str(is_so).lower())
        return is_so

    is_wide = contents == "vectors" or (contents == "columns" and width > NARROW)
    widest = max(width if is_wide else 0, int(conf.get(_WIDEST, "0") or 0))
    conf.set(_WIDEST, str(widest))
    takes_any = remember(_ANY_WIDTH, contents == "vectors" and width == 0)
    takes_columns = remember(_COLUMNS, contents == "columns")
    takes_text = remember(_TEXT, contents == "text")
    is_unmeasured = (widest > 0 or takes_columns) and widest <= NARROW and not takes_text
    is_short = takes_any or widest > NARROW or (widest > 0 and takes_text)
    for name, is_ours in ((BYTES, is_unmeasured), (ROWS, is_short)):
        if is_ours:
            conf.set(name, _OURS[name])
        else:
            conf.unset(name)


def find_most_rows(spark: SparkSession) -> int:
    """Return the most rows of a batch that the user, or else Spark, wants a function to get."""
    given = spark.conf.get(ROWS)
    rows = int(_SPARK_DEFAULTS[ROWS] if given in (None, FEW_ROWS) else given)
    return rows if rows > 0 else sys.maxsize  # zero is no limit


@contextmanager
def limit_batch_bytes(spark: SparkSession) -> Iterator[None]:
    """Restore Spark's own limit of bytes for the jobs in the block, which call functions over other columns than vectors."""
    before = spark.conf.get(BYTES)
    if before == UNMEASURED:
        spark.conf.unset(BYTES)
    try:
        yield
    finally:
        if before == UNMEASURED:
            spark.conf.set(BYTES, UNMEASURED)
