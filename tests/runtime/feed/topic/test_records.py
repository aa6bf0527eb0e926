from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlsql_runtime.errors import IntegrityError
from mlsql_runtime.feed.topic.receive import decode_records
from mlsql_runtime.feed.topic.records import RecordOrigin, decode, encode, is_manifest, manifest_headers, read_origin
from mlsql_runtime.feed.topic.table import SentPartition


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


@dataclass(frozen=True)
class Record:
    """A record as kafka-python returns it."""

    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]
    topic: str = "orders"
    partition: int = 0
    offset: int = 7


@pytest.mark.parametrize("damage", [lambda text: None, lambda text: b"", lambda text: text[:100], lambda text: text[:-200]])
def test_a_damaged_record_is_an_error_that_names_it(damage: Callable[[bytes], bytes | None]) -> None:
    [(content, rows)] = encode(pa.record_batch({"x": [1.0, 2.0]}), 1000)
    record = Record(damage(bytes(content)), RecordOrigin("run", 0, 1, 0, rows).headers())
    parts = [SentPartition(run="run", partition=0, attempt=1, records=1, rows=2)]
    with pytest.raises(IntegrityError, match=r"^topic orders, partition 0, offset 7 is damaged: "):
        list(decode_records(iter([record]), "orders", parts))


def test_offsets_that_lead_out_of_a_record_are_not_followed() -> None:
    batch, sink = pa.record_batch({"text": ["a", "b" * 100]}), pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    offsets, wrong = (np.array([0, 1, end], np.int32).tobytes() for end in (101, 1 << 30))
    content = sink.getvalue().to_pybytes()
    assert content.count(offsets) == 1
    with pytest.raises(pa.ArrowInvalid):
        decode(content.replace(offsets, wrong))


def test_headers_without_values_are_not_a_stamp() -> None:
    assert read_origin([(name, None) for name, _ in RecordOrigin("r", 1, 2, 3, 4).headers()]) is None
