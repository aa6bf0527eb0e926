"""Frames of every Spark type: through files, through Kafka's records, and as ``mlsql fit`` writes them, without Spark."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from support import frames

from mlsql_runtime.errors import DataError
from mlsql_runtime.feed.decoding.frames import make_empty_frame, read_frame, read_frames, to_frame
from mlsql_runtime.feed.files.table import TableFiles
from mlsql_runtime.feed.topic import records
from mlsql_runtime.local.arrow_tables import read_table, write_table
from mlsql_runtime.local.data_source import DataSource

AsVectors = Callable[[Iterable[Any]], pa.StructArray]
Describe = Callable[..., TableFiles]


@given(frames.rows())
def test_every_type_arrives_as_documented(rows: list[dict[str, Any]]) -> None:
    table = frames.to_table(rows)
    frames.assert_as_documented(to_frame(table), rows)
    half = len(rows) // 2
    frames.assert_as_documented(to_frame(pa.concat_tables([table.slice(0, half), table.slice(half)])), rows)


@given(frames.rows())
def test_files_and_records_of_kafka_and_mlsql_fit_give_the_same_frame(
    describe_table: Describe, rows: list[dict[str, Any]]
) -> None:
    table = frames.to_table(rows)
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as environment:
        environment.setenv("TZ", frames.ZONE)
        (Path(folder) / "t").mkdir()
        pq.write_table(table, Path(folder) / "t/part-0.parquet")
        of_files = read_frame(describe_table(Path(folder) / "t", "parquet", table.schema, len(rows)), (), None)
        local = read_table(DataSource("--data", "parquet", f"{folder}/t"))
        of_fit = read_frame(write_table(local, Path(folder) / "data", None), (), None)
    sent = [records.decode(message) for batch in table.to_batches() for message, _ in records.encode(batch, 1 << 12)]
    of_kafka = to_frame(pa.Table.from_batches(sent, table.schema))
    for frame in (of_files, of_fit, of_kafka):
        frames.assert_as_documented(frame, rows)


def test_vectors_become_arrays_of_all_their_numbers(as_vectors: AsVectors) -> None:
    frame = to_frame(pa.table({"v": as_vectors([[1, 2], None, (3, {1: 4})])}))
    assert [None if v is None else v.tolist() for v in frame["v"]] == [[1, 2], None, [0, 4, 0]]
    assert {v.dtype for v in frame["v"] if v is not None} == {np.dtype("float64")}


def test_columns_of_doubles_are_one_block_that_estimators_take_without_a_copy() -> None:
    frame = to_frame(pa.table({"a": [1.0, 2.0], "b": [3.0, None], "name": ["x", None]}))
    numbers = frame[["a", "b"]].to_numpy()
    assert numbers.flags.f_contiguous
    assert frame["a"].to_numpy().flags.writeable
    assert str(frame["b"].tolist()) == "[3.0, nan]"


@pytest.mark.parametrize(
    ("kind", "values", "dtype"),
    [(pa.int64(), [1, 2], "int64"), (pa.bool_(), [True, False], "bool"), (pa.string(), ["a", "b"], "object")],
)
def test_a_label_without_nulls_has_the_type_of_numpy(kind: pa.DataType, values: list[Any], dtype: str) -> None:
    frame = to_frame(pa.table({"x": pa.array(values, kind), "y": pa.array(values, kind)}), "y")
    assert frame["y"].dtype == dtype
    assert frame["y"].tolist() == frame["x"].tolist() == values


def test_a_label_with_nulls_is_refused() -> None:
    with pytest.raises(DataError, match="column 'y' holds 1 nulls in 2 rows"):
        to_frame(pa.table({"y": [1, None]}), "y")


def test_times_in_a_zone_that_only_java_knows_are_in_utc() -> None:
    kind = pa.timestamp("us", "GMT+03:00")
    frame = to_frame(pa.table({"t": pa.array([0, None], kind), "l": pa.array([[0], None], pa.list_(kind))}))
    assert str(frame["t"].dtype) == "datetime64[us, UTC]"
    assert str(frame["l"][0]) == "[datetime.datetime(1970, 1, 1, 0, 0, tzinfo=zoneinfo.ZoneInfo(key='UTC'))]"


def test_a_map_with_nested_keys_is_a_list_of_pairs() -> None:
    kind = pa.map_(pa.struct([("k", pa.int64())]), pa.map_(pa.string(), pa.int64()))
    assert to_frame(pa.table({"m": pa.array([[({"k": 1}, [("a", 2)])]], kind)}))["m"].tolist() == [[({"k": 1}, {"a": 2})]]


def test_batches_have_the_columns_of_the_training_in_its_order(tmp_path: Path, describe_table: Describe) -> None:
    table = pa.table({"y": ["n", "y", "n"], "a": [1, 2, None], "b": [0.5, None, 1.5]})
    pq.write_table(table, tmp_path / "part-0.parquet")
    files = describe_table(tmp_path, "parquet", table.schema, 3)
    parts = list(read_frames(files, ["b", "a", "y"], "y", 2))
    assert [list(part.columns) for part in parts] == [["b", "a", "y"]] * 2
    assert [part.index.tolist() for part in parts] == [[0, 1], [0]]
    together = pd.concat(parts, ignore_index=True)
    pd.testing.assert_frame_equal(together, read_frame(files, ["b", "a", "y"], "y"))
    assert list(read_frame(files, [], "y").columns) == ["y", "a", "b"]


def test_a_frame_without_rows_has_columns_and_types(tmp_path: Path, describe_table: Describe, as_vectors: AsVectors) -> None:
    table = pa.table({"a": [1], "v": as_vectors([[1, 2]]), "y": [True]})
    empty = make_empty_frame(describe_table(tmp_path, "parquet", table.schema, 0), ["v", "a", "y"], "y")
    assert {name: str(kind) for name, kind in empty.dtypes.items()} == {"v": "object", "a": "Int64", "y": "bool"}
    assert len(empty) == len(read_frame(describe_table(tmp_path, "parquet", table.schema, 0), [], None)) == 0
