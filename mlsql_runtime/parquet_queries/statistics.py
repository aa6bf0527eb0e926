"""Row groups in which no row can meet a condition, by the statistics in a file's footer: they are not read.

A condition is only judged where the statistics decide it for every row; all else counts as possible. Statistics leave out NaN,
which Spark takes for greater than any number. Those of text may be shortened, but still bound the values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mlsql_runtime.parquet_queries.expressions import And, Column, Compare, Expression, IsNull, Not, Or

_Bounds = Callable[[Any, Any, Any], bool]
# Whether a value between the least and the greatest may compare so with a constant.
_POSSIBLE: Mapping[str, _Bounds] = {
    "equal": lambda low, high, constant: bool(low <= constant <= high),
    "less": lambda low, high, constant: bool(low < constant),
    "less_equal": lambda low, high, constant: bool(low <= constant),
    "greater": lambda low, high, constant: bool(high > constant),
    "greater_equal": lambda low, high, constant: bool(high >= constant),
}


@dataclass(frozen=True)
class ColumnStatistics:
    """What is known about a column of a row group: ``bounds`` are the least and the greatest value without nulls and NaN.

    ``nulls`` is the number of nulls; both are None if they are unknown.
    """

    rows: int
    nulls: int | None
    bounds: tuple[Any, Any] | None
    is_floating: bool


def read_statistics(group: pq.RowGroupMetaData, names: Mapping[int, str]) -> dict[int, ColumnStatistics]:
    """Return the statistics of the flat columns of a row group.

    :param names: of columns in the file, by their numbers.
    """
    chunks = {chunk.path_in_schema: chunk for chunk in (group.column(place) for place in range(group.num_columns))}
    found = {}
    for number, name in names.items():
        chunk = chunks.get(name)
        if chunk is None or not chunk.is_stats_set:
            continue
        if (statistics := chunk.statistics) is not None:
            found[number] = ColumnStatistics(
                rows=group.num_rows,
                nulls=statistics.null_count if statistics.has_null_count else None,
                bounds=(statistics.min, statistics.max) if statistics.has_min_max else None,
                is_floating=chunk.physical_type in ("FLOAT", "DOUBLE"),
            )
    return found


def is_possible(condition: Expression, known: Mapping[int, ColumnStatistics]) -> bool:
    """Return whether a row of a row group may meet a condition.

    :param known: the statistics of columns, by their numbers.
    """
    if isinstance(condition, And):
        return all(is_possible(each, known) for each in condition.values)
    if isinstance(condition, Or):
        return any(is_possible(each, known) for each in condition.values)
    if isinstance(condition, IsNull) and isinstance(condition.value, Column):
        found = known.get(condition.value.number)
        return found is None or found.nulls != 0
    if isinstance(condition, Not) and isinstance(condition.value, IsNull) and isinstance(condition.value.value, Column):
        found = known.get(condition.value.value.number)
        return found is None or found.nulls != found.rows
    if isinstance(condition, Compare) and isinstance(condition.value, Column):
        found = known.get(condition.value.number)
        return found is None or _compares(condition.operation, condition.constant, found)
    return True


def _compares(operation: str, constant: pa.Scalar, found: ColumnStatistics) -> bool:
    if found.nulls == found.rows:
        return False
    if found.bounds is None or operation not in _POSSIBLE or (found.is_floating and operation.startswith("greater")):
        return True
    if any(bound != bound for bound in found.bounds):  # some writers count NaN
        return True
    try:
        return _POSSIBLE[operation](*found.bounds, constant.as_py())
    except (TypeError, ValueError, OverflowError):  # such as times with a zone and without
        return True
