"""Values of every Spark type that frames document, and what a frame shows of them."""

from __future__ import annotations

import datetime as dt
import math
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from hypothesis import strategies as st

ZONE = "Europe/Berlin"
_EARLY, _LATE = dt.datetime(1900, 1, 1), dt.datetime(2262, 1, 1)
_FLOATS = st.floats(allow_nan=False)
_TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=5)
_INSTANTS = st.datetimes(_EARLY, _LATE, timezones=st.just(dt.timezone.utc))


def _whole(bits: int) -> st.SearchStrategy[int]:
    return st.integers(-(1 << (bits - 1)), (1 << (bits - 1)) - 1)


def _lists(values: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    return st.lists(values | st.none(), max_size=4)


#: Of each Spark type, in its SQL name: the pandas type of its columns, the Arrow type, and values other than null.
TYPES: dict[str, tuple[str, pa.DataType, st.SearchStrategy[Any]]] = {
    "tinyint": ("Int8", pa.int8(), _whole(8)),
    "smallint": ("Int16", pa.int16(), _whole(16)),
    "int": ("Int32", pa.int32(), _whole(32)),
    "bigint": ("Int64", pa.int64(), _whole(64)),
    "float": ("float32", pa.float32(), st.floats(allow_nan=False, width=32)),
    "double": ("float64", pa.float64(), _FLOATS),
    "boolean": ("boolean", pa.bool_(), st.booleans()),
    "string": ("object", pa.string(), _TEXT),
    "decimal(20,3)": ("object", pa.decimal128(20, 3), _whole(64).map(lambda n: Decimal(n).scaleb(-3))),
    "binary": ("object", pa.binary(), st.binary(max_size=5)),
    "date": ("datetime64[ms]", pa.date32(), st.dates(dt.date(1, 1, 1), dt.date(9999, 12, 31))),
    "timestamp": (f"datetime64[us, {ZONE}]", pa.timestamp("us", ZONE), _INSTANTS),
    "timestamp_ntz": ("datetime64[us]", pa.timestamp("us"), st.datetimes()),
    "array<double>": ("object", pa.list_(pa.float64()), _lists(_FLOATS)),
    "array<bigint>": ("object", pa.list_(pa.int64()), _lists(_whole(64))),
    "array<boolean>": ("object", pa.list_(pa.bool_()), _lists(st.booleans())),
    "array<string>": ("object", pa.list_(pa.string()), _lists(_TEXT)),
    "array<array<int>>": ("object", pa.list_(pa.list_(pa.int32())), _lists(_lists(_whole(32)))),
    "map<string,bigint>": (
        "object",
        pa.map_(pa.string(), pa.int64()),
        st.dictionaries(_TEXT, _whole(64) | st.none(), max_size=3),
    ),
    "struct<a:bigint,b:string,c:array<date>>": (
        "object",
        pa.struct([("a", pa.int64()), ("b", pa.string()), ("c", pa.list_(pa.date32()))]),
        st.fixed_dictionaries({"a": _whole(64) | st.none(), "b": _TEXT | st.none(), "c": st.none() | _lists(st.dates())}),
    ),
}


def rows(min_size: int = 0, max_size: int = 8) -> st.SearchStrategy[list[dict[str, Any]]]:
    """Return rows with one column of each type, with nulls; the names are ``c0``, ``c1`` …"""
    columns = {f"c{place}": values | st.none() for place, (_, _, values) in enumerate(TYPES.values())}
    return st.lists(st.fixed_dictionaries(columns), min_size=min_size, max_size=max_size)


def to_table(given: list[dict[str, Any]]) -> pa.Table:
    """Return rows of :func:`rows` as an Arrow table."""
    arrays = {}
    for place, (_, kind, _) in enumerate(TYPES.values()):
        values = [row[f"c{place}"] for row in given]
        if pa.types.is_map(kind):
            values = [None if value is None else list(value.items()) for value in values]
        arrays[f"c{place}"] = pa.array(values, kind)
    return pa.table(arrays)


def assert_as_documented(frame: pd.DataFrame, given: list[dict[str, Any]]) -> None:
    """Check types and values of a frame that was made of rows of :func:`rows`."""
    assert list(frame.columns) == [f"c{place}" for place in range(len(TYPES))]
    assert [str(kind) for kind in frame.dtypes] == [dtype for dtype, _, _ in TYPES.values()]
    assert len(frame) == len(given)
    for name, spark_type in zip(frame.columns, TYPES, strict=True):
        values = frame[name].tolist()
        for value in values:
            check_kind(value, spark_type)
        assert [plain(value) for value in values] == [plain(row[name]) for row in given], spark_type


def check_kind(value: Any, spark_type: str) -> None:
    """Check that arrays of numbers and booleans are ndarrays of their type, and of objects where elements are null."""
    numpy_types = {"array<double>": "float64", "array<bigint>": "int64", "array<boolean>": "bool"}
    if value is None or spark_type not in numpy_types:
        assert not isinstance(value, np.ndarray)
        return
    assert isinstance(value, np.ndarray)
    assert value.dtype == ("object" if any(each is None for each in value.tolist()) else numpy_types[spark_type])


def plain(value: Any) -> Any:
    """Return a value as Python has it, whatever library it is from; None for every kind of null, and for NaN."""
    if value is None or value is pd.NA or value is pd.NaT or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, dt.datetime):
        value = value.to_pydatetime(warn=False) if isinstance(value, pd.Timestamp) else value
        return (value.astimezone(dt.timezone.utc).replace(tzinfo=None) if value.tzinfo else value).isoformat()
    if isinstance(value, dt.date):
        return dt.datetime(value.year, value.month, value.day).isoformat()
    return value
