"""One Kafka record for each Arrow batch: its bytes, and the headers that tell where it belongs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass

import pyarrow as pa

RECORD_BYTES = 512 << 10
# Several times as fast as brokers are, and features compress well: sparse ones to a third. Arrow leaves alone what does not.
_OPTIONS = pa.ipc.IpcWriteOptions(compression="lz4")
_PREFIX = "mlsql."
_MANIFEST = _PREFIX + "manifest"


@dataclass(frozen=True)
class RecordOrigin:
    """Which run a record belongs to, which Spark partition and task attempt sent it, its number among theirs, its rows."""

    run: str
    partition: int
    attempt: int
    sequence: int
    rows: int

    def headers(self) -> list[tuple[str, bytes]]:
        return [(_PREFIX + name, str(value).encode()) for name, value in zip(_FIELDS, astuple(self), strict=True)]


_FIELDS = tuple(RecordOrigin.__dataclass_fields__)


def read_origin(headers: Sequence[tuple[str, bytes]]) -> RecordOrigin | None:
    """The stamp of a record that this transport sent, None for any other record."""
    found = dict(headers)
    try:
        run, *numbers = (found[_PREFIX + name] for name in _FIELDS)
        return RecordOrigin(run.decode(), *map(int, numbers))
    except (KeyError, ValueError):
        return None


def manifest_headers() -> list[tuple[str, bytes]]:
    """Headers of the record that ends a feed: its manifest."""
    return [(_MANIFEST, b"1")]


def is_manifest(headers: Sequence[tuple[str, bytes]]) -> bool:
    """Whether a record has them."""
    return any(name == _MANIFEST for name, _ in headers)


def encode(batch: pa.RecordBatch, limit: int) -> Iterator[tuple[memoryview, int]]:
    """The batch as (Arrow IPC stream, rows) of at most ``limit`` bytes each; a single row that is larger goes alone."""
    room = limit * 15 // 16  # Arrow's own bytes take the rest
    step = batch.num_rows if batch.nbytes <= room else max(1, batch.num_rows * room // batch.nbytes)
    for offset in range(0, batch.num_rows, step or 1):
        yield from _encode(batch.slice(offset, step), limit)


def _encode(batch: pa.RecordBatch, limit: int) -> Iterator[tuple[memoryview, int]]:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema, options=_OPTIONS) as writer:
        writer.write_batch(batch)
    message = memoryview(sink.getvalue())
    if len(message) <= limit or batch.num_rows == 1:
        yield message, batch.num_rows
    else:
        half = batch.num_rows // 2
        yield from _encode(batch.slice(0, half), limit)
        yield from _encode(batch.slice(half), limit)


def decode(message: bytes, columns: Sequence[int] | None = None) -> pa.RecordBatch:
    """The batch; what could not be compressed stays on the message's own memory.

    :param columns: the places of those to decode, ascending; None for all.
    :raises pa.ArrowInvalid: when the bytes are not such a stream.
    """
    options = pa.ipc.IpcReadOptions(included_fields=None if columns is None else list(columns))
    return pa.ipc.open_stream(message, options=options).read_next_batch()
