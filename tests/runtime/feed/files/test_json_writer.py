"""JSON lines from Arrow. ``tests/runtime/local/test_json_files.py`` compares them with those of Spark's own writer."""

from __future__ import annotations

import base64
import io
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlsql_runtime.errors import DataError
from mlsql_runtime.feed.decoding.vectors import VECTOR_TYPE
from mlsql_runtime.feed.files.json_writer import is_json_exact, json_text, write_json_files, write_json_lines
from mlsql_runtime.feed.files.table import TableFiles
from mlsql_runtime.feed.table_facts import encode_schema


def lines_of(batch: pa.RecordBatch) -> list[dict[str, Any]]:
    file = io.BytesIO()
    write_json_lines(batch, file)
    return [json.loads(line) for line in file.getvalue().splitlines()]


def expected(value: Any) -> Any:
    """What a JSON reader finds for a Python value."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, list):
        return [expected(item) for item in value]
    if isinstance(value, dict):
        return {key: expected(item) for key, item in value.items() if item is not None}
    return value


VALUES: dict[str, tuple[pa.DataType, st.SearchStrategy[Any]]] = {
    "double": (pa.float64(), st.floats()),
    "whole": (pa.float64(), st.integers(-(1 << 53), 1 << 53).map(float)),
    "long": (pa.int64(), st.integers(-(1 << 63), (1 << 63) - 1)),
    "text": (pa.string(), st.text()),
    "bytes": (pa.binary(), st.binary(max_size=9)),
    "flag": (pa.bool_(), st.booleans()),
    "lists": (pa.list_(pa.list_(pa.string())), st.lists(st.none() | st.lists(st.none() | st.text()))),
    "object": (
        pa.struct([("a", pa.float64()), ("b\n", pa.string()), ("c", pa.list_(pa.int32()))]),
        st.fixed_dictionaries({"a": st.none() | st.floats(), "b\n": st.none() | st.text(), "c": st.none() | st.just([1, None])}),
    ),
}


@pytest.mark.parametrize("kind", VALUES)
@given(data=st.data())
def test_values_are_read_back_as_they_were(kind: str, data: st.DataObject) -> None:
    arrow_type, values = VALUES[kind]
    rows = data.draw(st.lists(st.none() | values, min_size=1, max_size=8))
    start = data.draw(st.integers(0, len(rows) - 1))
    batch = pa.RecordBatch.from_arrays([pa.array(rows, arrow_type), pa.array(range(len(rows)))], ["x", 'n"'])
    found = lines_of(batch.slice(start))
    assert [json.dumps(row.get("x"), sort_keys=True) for row in found] == [
        json.dumps(expected(row), sort_keys=True) for row in rows[start:]
    ]
    assert [row['n"'] for row in found] == list(range(start, len(rows)))
    assert all(("x" in row) == (value is not None) for row, value in zip(found, rows[start:], strict=True))


@given(st.lists(st.floats(width=32), min_size=1))
def test_single_precision_has_its_own_shortest_digits(values: list[float]) -> None:
    found = [float(json.loads(text)) for text in json_text(pa.array(values, pa.float32())).to_pylist()]
    assert list(map(repr, found)) == [repr(float(str(np.float32(value)))) for value in values]


def test_vectors_have_the_fields_of_their_kind() -> None:
    dense = {"type": 1, "size": None, "indices": None, "values": [0.5, 2.0]}
    sparse = {"type": 0, "size": 3, "indices": [1], "values": [math.inf]}
    batch = pa.RecordBatch.from_arrays([pa.array([dense, sparse, None], VECTOR_TYPE)], ["features"])
    assert lines_of(batch) == [
        {"features": {"type": 1, "values": [0.5, 2.0]}},
        {"features": {"type": 0, "size": 3, "indices": [1], "values": ["Infinity"]}},
        {},
    ]


def test_maps_keep_null_values() -> None:
    maps = pa.array([[(1, "x"), (2, None)], [], None], pa.map_(pa.int32(), pa.string()))
    assert json_text(maps).to_pylist() == ['{"1":"x","2":null}', "{}", None]


def test_wide_rows_are_written_a_few_megabytes_at_a_time() -> None:
    rows, width = 64, 50_000
    values = pa.array(np.arange(rows * width) % 7 + 0.5)
    vectors = pa.ListArray.from_arrays(pa.array(np.arange(rows + 1, dtype=np.int32) * width), values)

    class Recorder(io.BytesIO):
        sizes: list[int] = []

        def write(self, text: Any) -> int:
            self.sizes.append(len(text))
            return super().write(text)

    file = Recorder()
    write_json_lines(pa.record_batch({"features": vectors}), file)
    assert max(file.sizes) < 8 << 20
    assert [json.loads(line)["features"] for line in file.getvalue().splitlines()] == vectors.to_pylist()


def test_files_appear_together_one_for_each_that_spark_wrote(tmp_path: Path) -> None:
    schema = pa.schema([("x", pa.int64())])
    (tmp_path / "data.parquet").mkdir()
    for number in range(2):
        pq.write_table(pa.table({"x": [number, None]}, schema), tmp_path / f"data.parquet/part-{number}.snappy.parquet")
    table = TableFiles(
        path=str(tmp_path / "data.parquet"),
        format="parquet",
        options={},
        rows=4,
        schema=encode_schema(schema),
        json_path=str(tmp_path / "data"),
    )
    write_json_files(table, tmp_path / "data", lambda: False)
    assert {path.name: path.read_text() for path in (tmp_path / "data").iterdir()} == {
        "part-00000.json": '{"x":0}\n{}\n',
        "part-00001.json": '{"x":1}\n{}\n',
    }


def test_a_cancelled_run_leaves_no_folder(tmp_path: Path) -> None:
    schema = pa.schema([("x", pa.int64())])
    pq.write_table(pa.table({"x": [1]}, schema), tmp_path / "part.parquet")
    table = TableFiles(
        path=str(tmp_path), format="parquet", options={}, rows=1, schema=encode_schema(schema), json_path=str(tmp_path / "data")
    )
    with pytest.raises(DataError, match="the script ended while its files were written"):
        write_json_files(table, tmp_path / "data", lambda: True)
    assert [path.name for path in tmp_path.iterdir()] == ["part.parquet"]


def test_rows_that_are_missing_are_an_error(tmp_path: Path) -> None:
    schema = pa.schema([("x", pa.int64())])
    pq.write_table(pa.table({"x": [1]}, schema), tmp_path / "part.parquet")
    table = TableFiles(
        path=str(tmp_path), format="parquet", options={}, rows=2, schema=encode_schema(schema), json_path=str(tmp_path / "data")
    )
    with pytest.raises(DataError, match="Spark wrote 2 rows, its files hold 1"):
        write_json_files(table, tmp_path / "data", lambda: False)
    assert [path.name for path in tmp_path.iterdir()] == ["part.parquet"]


@pytest.mark.parametrize(
    ("kind", "is_exact"),
    [
        (VECTOR_TYPE, True),
        (pa.map_(pa.string(), pa.list_(pa.decimal128(10, 2))), True),
        (pa.map_(pa.float64(), pa.string()), False),
        (pa.duration("us"), False),
        (pa.timestamp("us", "Europe/Berlin"), True),
        (pa.timestamp("us", "+03:00"), True),
        (pa.timestamp("us", "GMT+03:00"), False),
        (pa.struct([]), False),
        (pa.list_(pa.null()), False),
        (pa.struct([pa.field("value", pa.binary()), pa.field("metadata", pa.binary(), metadata={"variant": "true"})]), False),
    ],
)
def test_types_whose_json_is_spark_s(kind: pa.DataType, is_exact: bool) -> None:
    assert is_json_exact(kind) == is_exact
