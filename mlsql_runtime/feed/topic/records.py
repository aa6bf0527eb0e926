"""Kafka records of a feed: an Arrow batch each, with headers that say which task attempt sent it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass

import pyarrow as pa

RECORD_BYTES = 512 << 10
# LZ4 is several times as fast as brokers, and sparse features shrink to a third. Arrow stores what does not shrink as it is.
_OPTIONS = pa.ipc.IpcWriteOptions(compression="lz4")
_PREFIX = "mlsql."
_MANIFEST = _PREFIX + "manifest"


@dataclass(frozen=True)
class RecordOrigin:
    """The run, Spark partition and task attempt that a record is from, its number among theirs, and its number of rows."""

    run: str
    partition: int
    attempt: int
    sequence: int
    rows: int

    def headers(self) -> list[tuple[str, bytes]]:
        return [(_PREFIX + name, str(value).encode()) for name, value in zip(_FIELDS, astuple(self), strict=True)]


_FIELDS = tuple(RecordOrigin.__dataclass_fields__)


def read_origin(headers: Sequence[tuple[str, bytes]]) -> RecordOrigin | None:
    """Return the origin of a record that :mod:`send` sent, None for any other record."""
    found = dict(headers)
    try:
        run, *numbers = (found[_PREFIX + name] for name in _FIELDS)
        return RecordOrigin(run.decode(), *map(int, numbers))
    except (KeyError, ValueError, AttributeError, TypeError):  # a header may have no value
        return None


def manifest_headers() -> list[tuple[str, bytes]]:
    """Return the headers of the last record of a feed, its manifest."""
    return [(_MANIFEST, b"1")]


def is_manifest(headers: Sequence[tuple[str, bytes]]) -> bool:
    """Return whether a record is the manifest of a feed."""
    return any(name == _MANIFEST for name, _ in headers)


def encode(batch: pa.RecordBatch, limit: int) -> Iterator[tuple[memoryview, int]]:
    """Yield the batch as (Arrow IPC stream, rows) of at most ``limit`` bytes each; a single larger row is a record of its own."""
    room = limit * 15 // 16  # the rest is for Arrow's own bytes
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


def decode(message: bytes | None, columns: Sequence[int] | None = None) -> pa.RecordBatch:
    """Return the batch of a record. Buffers that were not compressed are views of the message's memory.

    :param columns: the indices of the columns to decode, ascending; None for all.
    :raises pa.ArrowException: when the bytes are not an Arrow IPC stream, as OSError, EOFError and ValueError, too.
    """
    if message is None:
        raise ValueError("it has no value")
    options = pa.ipc.IpcReadOptions(included_fields=None if columns is None else list(columns))
    try:
        batch = pa.ipc.open_stream(message, options=options).read_next_batch()
    except StopIteration:
        raise EOFError("it ends before its rows") from None
    _ = batch.schema.names  # which may be no text
    batch.validate(full=True)  # lengths and offsets, by which Arrow would read memory that is not its own
    return batch
