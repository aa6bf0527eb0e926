from __future__ import annotations

import os

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlsql_runtime.feed.topic.records import RecordOrigin, decode, encode, is_manifest, manifest_headers, read_origin


@given(st.lists(st.text(max_size=200), max_size=60), st.integers(600, 4000))
def test_rows_come_back_from_records_within_the_limit(texts: list[str], limit: int) -> None:
    batch = pa.record_batch({"id": pa.array(range(len(texts)), pa.int32()), "text": pa.array(texts, pa.string())})
    records = list(encode(batch, limit))
    assert sum(rows for _, rows in records) == len(texts)
    assert all(len(content) <= limit or rows == 1 for content, rows in records)
    back = [decode(bytes(content)) for content, _ in records]
    assert pa.Table.from_batches(back, batch.schema).to_pydict() == batch.to_pydict()


def test_records_are_about_as_large_as_they_may_be() -> None:
    batch = pa.record_batch({"x": pa.array([float(i) for i in range(100_000)])})
    sizes = [len(content) for content, _ in encode(batch, 65_536)]
    assert max(sizes) <= 65_536
    assert len(sizes) <= 1.2 * batch.nbytes / 65_536


def test_one_long_row_goes_alone_between_short_ones() -> None:
    batch = pa.record_batch({"text": ["a", os.urandom(50_000).hex(), "c"]})
    assert [rows for _, rows in encode(batch, 1000)] == [1, 1, 1]


def test_a_slice_travels_without_the_rest() -> None:
    batch = pa.record_batch({"text": ["x" * 1000] * 1000}).slice(10, 2)
    [(content, rows)] = encode(batch, 100_000)
    assert (rows, len(content) < 4000) == (2, True)


def test_stamps_cross_headers() -> None:
    stamp = RecordOrigin("run-1", 3, 17, 2, 400)
    assert read_origin(stamp.headers()) == stamp


@pytest.mark.parametrize(
    "headers", [[], [("mlsql.run", b"r")], [*RecordOrigin("r", 1, 2, 3, 4).headers(), ("mlsql.rows", b"many")]]
)
def test_other_records_have_no_stamp(headers: list[tuple[str, bytes]]) -> None:
    assert read_origin(headers) is None


def test_a_manifest_is_distinguished_from_a_batch() -> None:
    assert is_manifest(manifest_headers())
    assert not is_manifest(RecordOrigin("r", 1, 2, 3, 4).headers())
