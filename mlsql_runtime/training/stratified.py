"""Hold out the same fraction of each class: exactly, without sorting the table or bringing a class to one task.

Each row has a random draw. Of a class with n rows those with the k smallest draws are held out, where k is fraction · n, rounded.
Two passes find the k-th draw of each class: how many draws are in each of many ranges, then the draws in the range of the k-th.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from mlsql_runtime.errors import DataError
from mlsql_runtime.feed.table_facts import has_classes, quote_column
from mlsql_runtime.plan import Train
from mlsql_runtime.store.signature import MAX_CLASSES

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

DRAW, HELD = "__mlsql_draw", "__mlsql_held_out"
_LABEL, _RANGE, _LAST = "__mlsql_label", "__mlsql_range", "__mlsql_last"
RANGES = 1024


def count_held_out(rows: int, fraction: float) -> int:
    """Return how many rows of a class are held out."""
    return int(fraction * rows + 0.5)


def require_label(statement: Train, label: str | None) -> str:
    """Return the label column.

    :raises DataError: when the table has none.
    """
    if label is None:
        raise DataError(
            f"stratify needs a label, and the table '{statement.table}' has no column for it; name it as label_column"
        )
    return label


def check_classes(label: str, classes: int, nulls: int) -> None:
    """Check that a label column has classes.

    :raises DataError: when there are too many, or null or NaN is one.
    """
    if nulls:
        raise DataError(f"column '{label}' holds {nulls} nulls, and stratify needs classes; filter them out in SQL", column=label)
    if classes > MAX_CLASSES:
        raise DataError(f"column '{label}' has more than {MAX_CLASSES} different labels; stratify is for classes", column=label)


def refuse_type(label: str, kind: str) -> DataError:
    """Return the error for a label column of a type that has no classes."""
    return DataError(
        f"column '{label}' is of type {kind}; stratify is for labels of type int, double, string or boolean: cast it in SQL",
        column=label,
    )


def mark_held_out(table: DataFrame, label: str, fraction: float) -> DataFrame:
    """Return the table with the column ``HELD``.

    :param table: has the column ``DRAW``, and is persisted: its label and draw are read three times.
    :raises DataError: when the label column has no classes.
    """
    from pyspark.sql import functions as F
    from pyspark.sql.types import DoubleType, LongType, StructField, StructType

    field = table.schema[label]
    if not has_classes(field.dataType):
        raise refuse_type(label, field.dataType.simpleString())
    spark, draw = table.sparkSession, F.col(DRAW)
    draws = table.select(F.col(quote_column(label)).alias(_LABEL), draw, F.floor(draw * RANGES).alias(_RANGE))
    sizes = {row[0]: row[1] for row in draws.groupBy(_LABEL).count().limit(MAX_CLASSES + 2).collect()}
    check_classes(label, len(sizes), nulls=sum(size for each, size in sizes.items() if each is None or each != each))
    counts: dict[Any, dict[int, int]] = defaultdict(dict)
    for row in draws.groupBy(_LABEL, _RANGE).count().collect():
        counts[row[0]][row[1]] = row[2]
    places = {each: find_range(counts[each], count_held_out(size, fraction)) for each, size in sizes.items()}
    of_label = StructField(_LABEL, field.dataType)
    ranges = spark.createDataFrame(
        [(each, place[0]) for each, place in places.items()], StructType([of_label, StructField(_RANGE, LongType())])
    )
    candidates: dict[Any, list[float]] = defaultdict(list)
    for row in draws.join(F.broadcast(ranges), [_LABEL, _RANGE]).select(_LABEL, DRAW).collect():
        candidates[row[0]].append(row[1])
    last = [(each, sorted(candidates[each])[rank - 1] if rank else -1.0) for each, (_, rank) in places.items()]
    lasts = spark.createDataFrame(last, StructType([of_label, StructField(_LAST, DoubleType())]))
    joined = table.join(F.broadcast(lasts), F.col(quote_column(label)) == F.col(_LABEL))
    return joined.withColumn(HELD, draw <= F.col(_LAST)).drop(_LABEL, _LAST)


def find_range(counts: dict[int, int], rank: int) -> tuple[int, int]:
    """Return the range that holds the draw with a rank, from 1, among all draws of a class, and its rank within the range."""
    for place in sorted(counts):
        if rank <= counts[place]:
            return place, rank
        rank -= counts[place]
    raise ValueError(f"there is no rank {rank}")
