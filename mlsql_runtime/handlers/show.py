"""The show statement: the first rows of a table as JSON values, bounded."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterable, Mapping
from datetime import date, time
from typing import TYPE_CHECKING, Any

from mlsql_runtime.plan import Show
from mlsql_runtime.result import ShowResult

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, Row

    from mlsql_runtime.run_context import RunContext

MAX_COLUMNS = 100
VALUE_CHARACTERS = 1000  # of a value's JSON; a longer one is cut and becomes text
TOTAL_CHARACTERS = 256 << 10  # of all rows as JSON


def show(statement: Show, context: RunContext) -> ShowResult:
    """Return the first rows, as many as fit into a result."""
    table = context.table(statement.table)
    columns = tuple(table.columns[:MAX_COLUMNS])
    numbered = table.toDF(*(f"_{number}" for number in range(len(table.columns))))  # names may occur twice
    collected = _collect(numbered.select([f"_{number}" for number in range(len(columns))]).limit(statement.rows + 1))
    rows = _limit_size([_to_json(item) for item in row] for row in collected[: statement.rows])
    return ShowResult(table=statement.table, columns=columns, rows=rows, more=len(rows) < len(collected))


def _collect(table: DataFrame) -> list[Row]:
    """Return the rows; what Python has no values for, such as the year 10000 and intervals of months, as Spark's text."""
    from pyspark.sql.functions import col
    from pyspark.sql.types import BooleanType, NumericType, StringType

    try:
        return table.collect()
    except (ValueError, TypeError, OverflowError, NotImplementedError):
        plain = (BooleanType, NumericType, StringType)
        columns = [field.name if isinstance(field.dataType, plain) else col(field.name).cast("string") for field in table.schema]
        return table.select(*columns).collect()


def _limit_size(rows: Iterable[list[Any]]) -> tuple[tuple[Any, ...], ...]:
    """Return the first rows whose JSON fits into ``TOTAL_CHARACTERS``."""
    kept: list[tuple[Any, ...]] = []
    room = TOTAL_CHARACTERS
    for row in rows:
        limit = VALUE_CHARACTERS
        while len(text := json.dumps(short := [_shorten(value, limit) for value in row])) > room and not kept and limit > 1:
            limit //= 2  # of the first row there is something to see, however wide it is
        room -= len(text)
        if room < 0:
            break
        kept.append(tuple(short))
    return tuple(kept)


def _shorten(value: Any, limit: int) -> Any:
    text = json.dumps(value, ensure_ascii=False)
    return value if len(text) <= limit else f"{text[:limit]}…"


def _to_json(value: Any) -> Any:
    """Return a value of Spark as JSON. A dense vector becomes a list, a sparse one an object, a matrix a list of its rows.

    A type that JSON lacks becomes text.
    """
    from pyspark.ml.linalg import DenseVector, Matrix, SparseVector
    from pyspark.sql import Row

    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, DenseVector):
        return [_to_json(float(item)) for item in value.values]
    if isinstance(value, SparseVector):
        values = [_to_json(float(item)) for item in value.values]
        return {"size": int(value.size), "indices": [int(index) for index in value.indices], "values": values}
    if isinstance(value, Matrix):
        return [[_to_json(float(item)) for item in row] for row in value.toArray()]
    if isinstance(value, Row):
        return {name: _to_json(item) for name, item in zip(value.__fields__, value, strict=True)}
    if isinstance(value, Mapping):
        return {_to_key(key): _to_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_to_json(item) for item in value]
    if isinstance(value, (bytes, bytearray)):
        return base64.b64encode(value).decode()
    if isinstance(value, (date, time)):
        return value.isoformat()
    return str(value)  # decimals, intervals


def _to_key(key: Any) -> str:
    plain = _to_json(key)
    return plain if isinstance(plain, str) else json.dumps(plain, ensure_ascii=False)
