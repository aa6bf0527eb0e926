"""show: the first rows of a table as JSON values, bounded."""

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
    from mlsql_runtime.run_context import RunContext

MAX_COLUMNS = 100
VALUE_CHARACTERS = 1000  # of a value's JSON; a longer one becomes text and is cut
TOTAL_CHARACTERS = 256 << 10  # of all rows as JSON


def show(statement: Show, context: RunContext) -> ShowResult:
    """As many rows as fit into a result, whatever they hold."""
    table = context.table(statement.table)
    columns = tuple(table.columns[:MAX_COLUMNS])
    numbered = table.toDF(*(f"_{number}" for number in range(len(table.columns))))  # names may occur twice
    found = numbered.select([f"_{number}" for number in range(len(columns))]).limit(statement.rows + 1).collect()
    rows = _bounded([_value(item) for item in row] for row in found[: statement.rows])
    return ShowResult(table=statement.table, columns=columns, rows=rows, more=len(rows) < len(found))


def _bounded(rows: Iterable[list[Any]]) -> tuple[tuple[Any, ...], ...]:
    """The first rows, until they are too much."""
    kept: list[tuple[Any, ...]] = []
    room = TOTAL_CHARACTERS
    for row in rows:
        short = tuple(map(_shortened, row))
        room -= len(json.dumps(short))
        if room < 0:
            break
        kept.append(short)
    return tuple(kept)


def _shortened(value: Any) -> Any:
    text = json.dumps(value, ensure_ascii=False)
    return value if len(text) <= VALUE_CHARACTERS else f"{text[:VALUE_CHARACTERS]}…"


def _value(value: Any) -> Any:
    """A value of Spark as JSON: a dense vector is a list, a sparse one an object, what JSON lacks is text."""
    from pyspark.ml.linalg import DenseVector, SparseVector
    from pyspark.sql import Row

    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, DenseVector):
        return [_value(float(item)) for item in value.values]
    if isinstance(value, SparseVector):
        values = [_value(float(item)) for item in value.values]
        return {"size": int(value.size), "indices": [int(index) for index in value.indices], "values": values}
    if isinstance(value, Row):
        return {name: _value(item) for name, item in zip(value.__fields__, value, strict=True)}
    if isinstance(value, Mapping):
        return {_key(key): _value(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_value(item) for item in value]
    if isinstance(value, (bytes, bytearray)):
        return base64.b64encode(value).decode()
    if isinstance(value, (date, time)):
        return value.isoformat()
    return str(value)  # decimals, intervals


def _key(key: Any) -> str:
    plain = _value(key)
    return plain if isinstance(plain, str) else json.dumps(plain, ensure_ascii=False)
